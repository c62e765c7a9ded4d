"""`phlo plugin`: what is installed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from phlo.errors import nearest
from phlo.plugins import list_plugins

from phlo_cli.output import cell, output_options

if TYPE_CHECKING:
    from phlo.plugins import PluginInfo

    from phlo_cli.output import Output


@click.group()
def plugin() -> None:
    """See what plugins are installed."""


@plugin.command("list")
@output_options()
def list_command(output: Output) -> None:
    """List installed plugins with their versions; JSON has their hooks and check classes too.

    PHLO_DISABLED_PLUGINS switches plugins off by name; they are listed as not enabled.
    `phlo plugin info NAME` shows all of one.
    """
    output.rows(
        [_row(info) for info in list_plugins()],
        columns=("name", "distribution", "version", "enabled"),
        empty="No plugin is installed.",
    )


@plugin.command()
@click.argument("name")
@output_options()
def info(name: str, output: Output) -> None:
    """Show what the plugin NAME brings: hooks, commands, settings, check classes."""
    plugins = {info.name: info for info in list_plugins()}
    if name not in plugins:
        near = nearest(name, plugins)
        hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(plugins)}."
        raise click.BadParameter(f"no plugin is called {name!r}. {hint}", param_hint="NAME")
    row = _row(plugins[name]) | {"settings": _variables(name)}
    if output.as_json:
        output.json(row)
        return
    for label in ("name", "distribution", "version", "module", "enabled"):
        output.line(f"{label:<14}{cell(row[label])}")
    for label in ("hooks", "settings", "checks"):
        for number, value in enumerate(row[label]):
            output.line(f"{label if not number else '':<14}{value}")


def _row(info: PluginInfo) -> dict[str, Any]:
    return asdict(info) | {"enabled": info.is_enabled}


def _variables(name: str) -> list[str]:
    """Name the settings that a plugin reads."""
    from phlo.plugins import plugin_manager

    hooks = plugin_manager().hook.phlo_register_settings.get_hookimpls()
    kinds: list[Any] = [hook.function() for hook in hooks if hook.plugin_name == name]
    return [
        f"{kind.model_config.get('env_prefix', '')}{field}".upper()
        for kind in kinds
        for field in kind.model_fields
    ]
