import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from phlo.plugins import hookimpl, plugin_manager
from phlo.values import ProjectTemplate
from phlo_cli.commands.init import write_project
from phlo_cli.main import build_cli

TEMPLATES = ("basic", "dbt-medallion", "files", "flights", "nightscout", "rest-api")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.delenv("PHLO_PROJECT_DIR")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_new_project_is_written_with_its_name(here, phlo):
    answer = phlo("init", "shop")
    assert answer.code == 0
    assert "Next: cd shop && phlo materialize orders" in answer.out
    assert "pip install" not in answer.out
    assert (here / "shop" / "README.md").read_text().startswith("# shop\n")
    assert ".phlo/" in (here / "shop" / ".gitignore").read_text().splitlines()
    assert (here / "shop" / ".env").stat().st_mode & 0o777 == 0o600
    assert not list((here / "shop").rglob("__pycache__"))


def test_plain_pytest_passes_in_a_new_project(here, phlo):
    assert phlo("init", "shop").code == 0
    done = subprocess.run(
        [Path(sys.executable).with_name("pytest"), "-q", "-p", "no:phlo"],
        cwd=here / "shop",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_what_a_run_left_in_a_template_is_not_copied(here):
    template = here / "mine"
    (template / ".phlo").mkdir(parents=True)
    (template / ".phlo" / "catalog.db").write_text("rows of somebody")
    (template / ".env").write_text("TOKEN=secret")
    (template / "data.bin").write_bytes(b"\xff\x00")
    folder = here / "new"
    written = write_project(ProjectTemplate("mine", "Mine.", str(template)), folder)
    names = {str(path.relative_to(folder)) for path in written}
    assert names == {".env", ".gitignore", "AGENTS.md", "data.bin", "pyproject.toml"}
    assert "TOKEN" not in (folder / ".env").read_text()
    assert (folder / "data.bin").read_bytes() == b"\xff\x00"


def test_no_file_is_overwritten_and_none_written_beside_it(here, phlo):
    (here / "shop").mkdir()
    (here / "shop" / "README.md").write_text("mine")
    answer = phlo("init", "shop")
    assert answer.code == 1
    assert "would write: README.md." in answer.err
    assert [p.name for p in (here / "shop").iterdir()] == ["README.md"]
    assert (here / "shop" / "README.md").read_text() == "mine"


def test_plugins_bring_templates(here, phlo):
    (here / "mine").mkdir()
    (here / "mine" / "dot_env").write_text("# PROJECT_NAME\n")

    class Plugin:
        @hookimpl
        def phlo_register_templates(self):
            packages = ("phlo-core", "phlo-to-come")
            return [ProjectTemplate("mine", "My own.", str(here / "mine"), packages)]

    plugin_manager().register(Plugin())
    assert {t["name"] for t in phlo("init", "--list", "--json").json} == {*TEMPLATES, "mine"}
    answer = phlo("init", "new", "--template", "mine")
    assert answer.code == 0
    assert "not installed: pip install phlo-to-come\n" in answer.out
    assert (here / "new" / ".env").read_text() == "# new\n"


def test_an_unknown_template_is_a_usage_error(here, phlo):
    answer = phlo("init", "shop", "--template", "nope")
    assert answer.code == 2
    assert f"'nope' is none of {', '.join(TEMPLATES)}." in answer.err


def test_what_assistants_are_told_to_type_exists(here, phlo):
    """Every `phlo` command of AGENTS.md is one, with the options named."""
    assert phlo("init", "shop").code == 0
    text = (here / "shop" / "AGENTS.md").read_text()
    typed = re.findall(r"^ {4}phlo (.*?)(?: {2}|$)", text, re.M)
    typed += re.findall(r"`phlo ([^`]*)`", text)
    assert len(typed) > 15
    for words in map(shlex.split, typed):
        command: click.Command = build_cli()
        while isinstance(command, click.Group) and words:
            words[0] = words[0].split("|")[0]
            _, found, words = command.resolve_command(click.Context(command), words)
            assert found is not None
            command = found
        options = {option for param in command.params for option in param.opts}
        assert {word for word in words if word.startswith("--")} <= options
