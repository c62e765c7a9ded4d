"""What the pages of operations say of files, settings and figures, held without a container."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import click
from phlo.plugins import plugin_manager
from phlo_cli.commands.init import write_project
from phlo_cli.main import build_cli

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
OPERATIONS = ROOT / "docs" / "operations"


def instructions(name):
    """Return what stands behind an instruction of the Dockerfile, line by line."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return re.findall(rf"^(?:# )?{name} (.+)$", joined, re.MULTILINE)


def test_the_page_shows_the_dockerfile_as_it_is():
    page = (OPERATIONS / "one-machine.md").read_text()
    assert f"```dockerfile\n{DOCKERFILE}```" in page


def test_the_image_installs_distributions_and_extras_of_this_repository():
    files = (tomllib.loads(p.read_text()) for p in ROOT.glob("packages/*/pyproject.toml"))
    extras = {f["project"]["name"]: f["project"].get("optional-dependencies", {}) for f in files}
    (always, scaled) = (line for line in instructions("RUN") if "pip install" in line)
    assert always == "pip install --no-cache-dir /tmp/dist/*.whl"
    for word in shlex.split(scaled.replace("pip install --no-cache-dir", "")):
        name, _, wanted = word.removesuffix("]").partition("[")
        assert set(filter(None, wanted.split(","))) <= extras[name].keys(), word
    assert "\npip install dist/*.whl\n" in (ROOT / "docs/guide/getting-started.md").read_text()


def test_the_image_copies_what_a_new_project_has(tmp_path):
    templates = plugin_manager().hook.phlo_register_templates()
    for template in (t for several in templates for t in several):
        write_project(template, tmp_path / template.name)
        for copied in instructions("COPY"):
            *sources, _ = (word for word in copied.split() if not word.startswith("--"))
            there = [(tmp_path / template.name / source).exists() for source in sources]
            assert all(there) or sources == ["dist"]


def test_the_image_starts_a_command_and_asks_a_page_that_are_there():
    import dagster_webserver.webserver as web

    (health,) = re.findall(r"urlopen\('http://127.0.0.1:(\d+)(/\w+)'\)", DOCKERFILE)
    (words,) = map(json.loads, instructions("CMD"))
    command = build_cli().get_command(click.Context(click.Group()), words[1])
    values = command.make_context("dev", list(words[2:])).params
    assert str(values["port"]) == health[0]
    assert f'"{health[1]}"' in Path(web.__file__).read_text()


def test_the_cluster_page_names_the_settings_that_its_example_runs_with():
    page = (OPERATIONS / "cluster.md").read_text()
    example = (ROOT / "tests/scale/test_examples.py").read_text()
    lake = (ROOT / "packages/phlo-testing/src/phlo_testing/trino.py").read_text()
    used = set(re.findall(r'"(PHLO_(?!PROJECT_DIR|TEST_)\w+)"', example + lake))
    assert len(used) > 10
    assert used - set(re.findall(r"`(PHLO_\w+)`", page)) == set()


def test_figures_of_capacity_are_those_that_were_measured():
    compared = (ROOT / "docs/compare.md").read_text()
    page = (OPERATIONS / "capacity.md").read_text()
    figures = re.findall(r"^\| (.+?) \| ([\d.]+ s) \|", page, re.MULTILINE)
    assert len(figures) == 6
    assert [row for row in figures if f"| {row[0]} | {row[1]} |" not in compared] == []
