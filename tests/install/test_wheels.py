"""Every distribution builds, and the command line works with core alone beside it (R150)."""

import json
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
    command = [*UV, "build", "--quiet", "--wheel", "--all-packages", "--out-dir", str(folder)]
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
        assert any(name.endswith("py.typed") for name in names), path.name


@pytest.mark.slow
def test_core_and_cli_alone_answer_help_and_list_themselves(wheels, tmp_path):
    venv = tmp_path / "venv"
    run(*UV, "venv", "--quiet", "--python", sys.executable, str(venv))
    pins = constraints(tmp_path / "pins.txt")
    own = [str(next(wheels.glob(f"{name}-*.whl"))) for name in ("phlo_core", "phlo_cli")]
    python = str(venv / "bin" / "python")
    run(*UV, "pip", "install", "--quiet", "--python", python, "--constraint", pins, *own)
    assert "materialize" in run(str(venv / "bin" / "phlo"), "--help")
    plugins = json.loads(run(str(venv / "bin" / "phlo"), "plugin", "list", "--json"))
    assert [plugin["name"] for plugin in plugins] == ["cli", "core"]


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def constraints(path):
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    path.write_text("\n".join(settings["tool"]["uv"]["constraint-dependencies"]))
    return str(path)
