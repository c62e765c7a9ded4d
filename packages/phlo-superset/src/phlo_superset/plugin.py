"""What phlo-superset contributes through phlo's hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from phlo.plugins import hookimpl

if TYPE_CHECKING:
    import click
    from pydantic_settings import BaseSettings


@hookimpl
def phlo_register_settings() -> type[BaseSettings]:
    """Hand over the settings ``PHLO_SUPERSET_*``."""
    from phlo_superset.settings import SupersetSettings

    return SupersetSettings


@hookimpl
def phlo_register_commands(group: click.Group) -> None:
    """Add the command ``phlo superset``."""
    target = "phlo_superset.commands:superset"
    cast("Any", group).add_lazy("superset", target, "Show published marts in Superset.")
