"""`phlo plugin`: what is installed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from phlo.plugins import list_plugins

from phlo_cli.output import output_options

if TYPE_CHECKING:
    from phlo.plugins import PluginInfo

    from phlo_cli.output import Output


@click.group()
def plugin() -> None:
    """See what plugins are installed."""


@plugin.command("list")
@output_options()
def list_command(output: Output) -> None:
    """List installed plugins with their versions, the hooks they answer and their check classes.

    PHLO_DISABLED_PLUGINS switches plugins off by name; they are listed as not enabled.
    """
    output.rows(
        [_row(info, as_json=output.as_json) for info in list_plugins()],
        columns=("name", "distribution", "version", "enabled", "hooks", "checks"),
        empty="No plugin is installed.",
    )


def _row(info: PluginInfo, *, as_json: bool) -> dict[str, Any]:
    hooks = info.hooks if as_json else tuple(hook.removeprefix("phlo_") for hook in info.hooks)
    return asdict(info) | {"enabled": info.is_enabled, "hooks": hooks}
