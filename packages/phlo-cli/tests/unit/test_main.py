from collections.abc import Iterator

import click
import pytest
from phlo.errors import PluginError
from phlo.plugins import hookimpl, plugin_manager
from phlo_cli.main import LazyGroup
from phlo_cli.plugin import phlo_register_commands


def test_help_lists_the_commands_of_all_plugins(phlo):
    class Plugin:
        @hookimpl
        def phlo_register_commands(self, group):
            group.add_lazy("hello", "not.there:hello", "Say hello.")

    plugin_manager().register(Plugin())
    answer = phlo("--help")
    assert answer.code == 0
    assert "hello " in answer.out
    assert "Say hello." in answer.out
    assert "materialize  Make assets" in answer.out


def test_two_commands_of_one_name_are_an_error():
    group = LazyGroup("phlo")
    group.add_lazy("hello", "a:b", "One.")
    with pytest.raises(PluginError, match="Two plugins bring the command `phlo hello`"):
        group.add_lazy("hello", "c:d", "Two.")


def test_a_wrong_command_gives_the_nearest(phlo):
    answer = phlo("materialise")
    assert answer.code == 2
    assert "Did you mean materialize?" in answer.err


def test_every_command_of_the_package_answers_help(phlo):
    group = LazyGroup("phlo")
    phlo_register_commands(group)
    names = group.list_commands(click.Context(group))
    assert "materialize" in names
    for name in names:
        answer = phlo(name, "--help")
        assert answer.code == 0
        assert answer.out.startswith(f"Usage: phlo {name}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("materialize",), "Name an asset, or give --select."),
        (("materialize", "nobody"), "No asset is called 'nobody'."),
        (("materialize", "dlt_refunds", "--partition", "2025-01-09"), "no partition '2025-01-09'"),
        (("materialize", "dlt_refunds", "--partition", "yesterday"), "no partition 'yesterday'"),
        (("materialize", "dlt_orders", "--partition", ""), "Is a variable empty?"),
        (("materialize", "dlt_orders", "--partition", " "), "Is a variable empty?"),
        (("status", "--group", ""), "Is a variable empty?"),
        (("catalog", "tables", "--namespace", ""), "Is a variable empty?"),
        (("logs", "--job", "nope"), "No job is called 'nope'."),
        (("materialize", "broken", "--partition", "15.1.2025"), "'15.1.2025' is not a partition"),
    ],
)
def test_wrong_use_is_exit_code_2_and_names_what_is_wrong(plain_project, phlo, arguments, message):
    answer = phlo(*arguments)
    assert answer.code == 2
    assert message in answer.err
    assert "Traceback" not in answer.err


def test_a_partition_outside_the_range_names_the_range(plain_project, phlo):
    answer = phlo("materialize", "dlt_refunds", "--partition", "2025-01-09")
    assert "expected one from 2025-01-10 to 2025-01-31" in answer.err


def test_a_folder_that_is_no_project_is_a_clear_error(tmp_path, monkeypatch, phlo):
    monkeypatch.setenv("PHLO_PROJECT_DIR", str(tmp_path / "elsewhere"))
    answer = phlo("materialize", "x")
    assert answer.code == 1
    assert "is no phlo project" in answer.err
    assert "phlo init NAME" in answer.err


def test_a_broken_workflow_file_is_told_with_file_and_line(phlo_project, phlo):
    phlo_project.write("workflows/bad.py", "import dagster\nstart = datetime(2025, 1, 1)\n")
    answer = phlo("materialize", "x")
    assert answer.code == 1
    assert "workflows/bad.py:2 fails to import: NameError" in answer.err
    assert "Add `from datetime import datetime` to the file." in answer.err
    assert "Traceback" not in answer.err


def test_plugin_list_shows_versions_and_hooks(phlo):
    rows = {row["name"]: row for row in phlo("plugin", "list", "--json").json}
    assert rows["cli"]["distribution"] == "phlo-cli"
    registers = ("commands", "definitions", "settings", "templates")
    hooks = ["phlo_provide_runner", *(f"phlo_register_{things}" for things in registers)]
    assert rows["cli"]["hooks"] == hooks
    assert rows["core"]["is_enabled"] is True
    assert rows["cli"]["checks"] == []


def test_plugin_list_shows_the_check_classes_of_a_plugin(phlo):
    (quality,) = [r for r in phlo("plugin", "list", "--json").json if r["name"] == "quality"]
    assert {"NullCheck", "KeyParityCheck"} <= set(quality["checks"])
    assert quality["checks"] == sorted(quality["checks"])
    text = phlo("plugin", "list").out
    assert max(map(len, text.splitlines())) <= 80
    info = phlo("plugin", "info", "quality").out
    assert all(name in info for name in (*quality["checks"], *quality["hooks"]))
    assert phlo("plugin", "info", "quality", "--json").json["checks"] == quality["checks"]


def test_plugin_info_shows_settings_and_refuses_an_unknown_name(phlo):
    assert "PHLO_TIMEZONE" in phlo("plugin", "info", "core", "--json").json["settings"]
    answer = phlo("plugin", "info", "qualty")
    assert (answer.code, "Did you mean 'quality'?" in answer.err) == (2, True)


def test_plugin_list_shows_what_is_switched_off(phlo, monkeypatch):
    monkeypatch.setenv("PHLO_DISABLED_PLUGINS", "quality")
    rows = {row["name"]: row for row in phlo("plugin", "list", "--json").json}
    assert rows["quality"]["is_enabled"] is False
    assert rows["quality"]["hooks"] == []
    assert rows["quality"]["checks"] == []


LEAKS = """
    import logging, os
    import dagster as dg

    @dg.asset
    def leaks(context) -> None:
        context.log.info(f"asking with {os.environ['SHOP_TOKEN']}")
        logging.getLogger("phlo_dlt.shop").warning("asking with %s", os.environ["SHOP_TOKEN"])
        try:
            raise ValueError(f"{os.environ['SHOP_TOKEN']} is refused")
        except ValueError as error:
            raise RuntimeError("no answer") from error
"""


def test_no_secret_of_a_plain_asset_is_printed_or_kept(phlo_project, phlo_process, monkeypatch):
    monkeypatch.setenv("SHOP_TOKEN", "caNARY-of-env")
    phlo_project.write("workflows/leaks.py", LEAKS)
    failed = phlo_process("--verbose", "materialize", "leaks")
    logs = phlo_process("logs", "--full")
    assert failed.code == 1
    assert "ValueError: *** is refused" in logs.out
    for answer in (failed, logs):
        assert "caNARY-of-env" not in answer.out + answer.err
    files = [f for f in phlo_project.root.joinpath(".phlo").rglob("*") if f.is_file()]
    assert not [str(file) for file in files if b"caNARY-of-env" in file.read_bytes()]


@pytest.mark.parametrize(
    ("word", "command"),
    [
        ("run", "materialize"),
        ("ls", "status"),
        ("build", "materialize"),
        ("docs", "dev"),
        ("ui", "dev"),
    ],
)
def test_a_word_of_another_tool_is_answered_with_the_command(phlo, word, command):
    answer = phlo(word, "something")
    assert answer.code == 2
    assert f"Here it is: phlo {command}" in answer.err


def test_no_help_shows_the_mark_that_keeps_its_lines_apart():
    """Click reads a backspace before an example; in a raw docstring it is no backspace."""
    from phlo_cli.main import build_cli

    def helps(command: click.Command, context: click.Context) -> Iterator[str]:
        yield command.get_help(context)
        for name in command.list_commands(context) if isinstance(command, click.Group) else ():
            inner = command.get_command(context, name)
            yield from helps(inner, click.Context(inner, info_name=name, parent=context))

    command = build_cli()
    texts = list(helps(command, click.Context(command, info_name="phlo")))
    assert len(texts) > 40
    assert [text for text in texts if "\\b" in text] == []
