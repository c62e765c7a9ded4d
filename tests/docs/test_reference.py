"""The reference names every hook, every setting, and every command with its options."""

import inspect
from collections.abc import Iterator
from pathlib import Path

import click
from phlo import hookspecs
from phlo.plugins import plugin_manager
from phlo_cli.main import build_cli

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def test_every_hook_is_in_the_reference_with_its_arguments():
    text = (REFERENCE / "hooks.md").read_text()
    hooks = {n: f for n, f in vars(hookspecs).items() if n.startswith("phlo_")}
    written = [f"`{n}({', '.join(inspect.signature(f).parameters)})`" for n, f in hooks.items()]
    assert [row for row in written if row not in text] == []
    assert len(hooks) == 21


def test_every_setting_is_in_the_reference_with_its_description():
    text = (REFERENCE / "configuration-reference.md").read_text()
    missing = [
        f"{kind.model_config['env_prefix']}{name.upper()}: {field.description}"
        for kind in plugin_manager().hook.phlo_register_settings()
        for name, field in kind.model_fields.items()
        if f"| `{kind.model_config['env_prefix']}{name.upper()}` | {field.description} |"
        not in text
    ]
    assert missing == []


def commands(command: click.Command, context: click.Context) -> Iterator[click.Context]:
    """Yield a command, or those of a group."""
    if not isinstance(command, click.Group):
        yield context
        return
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        yield from commands(inner, click.Context(inner, info_name=name, parent=context))


def test_every_command_is_in_the_reference_with_its_options():
    text = (REFERENCE / "cli-reference.md").read_text()
    phlo = build_cli()
    found = list(commands(phlo, click.Context(phlo, info_name="phlo")))
    missing = [context.command_path for context in found if context.command_path not in text]
    options = {o for context in found for p in context.command.params for o in p.opts}
    missing += [o for o in sorted(options) if o.startswith("--") and o not in text]
    assert missing == []
    assert len(found) > 40
