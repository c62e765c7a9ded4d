"""Every distribution builds, and the command line works with core alone beside it."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = [sys.executable, "-m", "uv"]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    command = [*UV, "build", "--quiet", "--all-packages", "--out-dir", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=280)
    return folder


@pytest.mark.slow
def test_every_package_builds_a_wheel_with_types_and_without_the_namespace(wheels):
    built = {path.name.split("-")[0]: path for path in wheels.glob("*.whl")}
    expected = {
        path.parent.name.replace("-", "_") for path in ROOT.glob("packages/*/pyproject.toml")
    }
    assert set(built) == expected
    for path in built.values():
        names = zipfile.ZipFile(path).namelist()
        assert "phlo/__init__.py" not in names
        assert any(name.endswith("py.typed") for name in names) or path == built["phlo_all"]


@pytest.mark.slow
def test_the_command_line_brings_the_examples_as_templates(wheels):
    """The wheel is built from the source distribution too, which must hold what links lead to."""
    (path,) = wheels.glob("phlo_cli-*.whl")
    wheel = zipfile.ZipFile(path)
    for example in ("flights", "nightscout"):
        folder = ROOT / "examples" / example
        listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=folder)
        prefix = f"phlo_cli/templates/{example}/"
        names = [name for name in wheel.namelist() if name.startswith(prefix)]
        assert {name.removeprefix(prefix) for name in names} == set(listed.splitlines())
        for name in names:
            assert wheel.read(name) == (folder / name.removeprefix(prefix)).read_bytes()


@pytest.mark.slow
def test_a_new_project_names_the_wheels_that_are_all_it_needs(wheels, tmp_path):
    """What a package uses and does not name would be missing here, and nowhere else."""
    bin_ = install(wheels, tmp_path, wheel_of(wheels, "core"), wheel_of(wheels, "cli"))
    written = run(bin_ / "phlo", "init", "shop", cwd=tmp_path)
    (line,) = re.findall(r"not installed: pip install (.*)", written)
    assert line.split() == [str(wheel_of(wheels, name)) for name in ("dlt", "iceberg", "quality")]
    install(wheels, tmp_path, *line.split())
    orders = tmp_path / "shop" / "workflows" / "ingestion" / "shop" / "orders.py"
    spec = 'partition_spec=[("ordered_at", "day"), ("id", "bucket[4]")],'
    orders.write_text(orders.read_text().replace('group="shop",', f'group="shop",\n    {spec}'))
    assert "Checks: 3 passed" in run(bin_ / "phlo", "materialize", "orders", cwd=tmp_path / "shop")
    query = "SELECT count(*) AS n FROM bronze.orders"
    answer = run(bin_ / "phlo", "query", query, "--json", cwd=tmp_path / "shop")
    assert json.loads(answer) == [{"n": 100}]


FRAME = """
import pandas as pd
from phlo_quality import RangeCheck

frame = pd.DataFrame({"n": [1.0, 50.0, None]})
result = RangeCheck(column="n", max_value=10).execute(frame, None)
assert (result.passed, result.failed_count, list(result.sample)) == (False, 1, [{"n": 50.0}])
"""


@pytest.mark.slow
def test_quality_alone_judges_a_frame(wheels, tmp_path):
    bin_ = install(wheels, tmp_path, wheel_of(wheels, "core"), wheel_of(wheels, "quality"))
    run(bin_ / "python", "-c", FRAME, cwd=tmp_path)
    assert list(tmp_path.glob(".phlo")) == []


@pytest.mark.slow
def test_core_and_cli_alone_answer_help_and_list_themselves(wheels, tmp_path):
    bin_ = install(wheels, tmp_path, "phlo-core", "phlo-cli")
    assert "materialize" in run(bin_ / "phlo", "--help")
    plugins = json.loads(run(bin_ / "phlo", "plugin", "list", "--json"))
    assert [plugin["name"] for plugin in plugins] == ["cli", "core"]


def install(wheels, folder, *packages):
    """The commands of a fresh environment with these packages alone."""
    venv, pins = folder / "venv", constraints(folder / "pins.txt")
    if not venv.exists():
        run(*UV, "venv", "--quiet", "--python", sys.executable, venv)
    options = ["--python", venv / "bin" / "python", "--constraint", pins, "--find-links", wheels]
    run(*UV, "pip", "install", "--quiet", *options, *packages)
    return venv / "bin"


def wheel_of(wheels, package):
    (path,) = wheels.glob(f"phlo_{package}-*.whl")
    return path


def run(*command, cwd=None):
    env = {name: value for name, value in os.environ.items() if not name.startswith("PHLO_")}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=280, check=False, cwd=cwd, env=env
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def constraints(path):
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    path.write_text("\n".join(settings["tool"]["uv"]["constraint-dependencies"]))
    return str(path)
