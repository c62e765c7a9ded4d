"""What phlo-publishing contributes through phlo's hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from phlo.plugins import hookimpl

if TYPE_CHECKING:
    from collections.abc import Mapping

    import click
    from phlo.config import Settings
    from pydantic_settings import BaseSettings


@hookimpl
def phlo_register_settings() -> type[BaseSettings]:
    """The settings ``PHLO_POSTGRES_*``."""
    from phlo_publishing.settings import PostgresSettings

    return PostgresSettings


@hookimpl
def phlo_register_resources(settings: Settings) -> Mapping[str, Any]:
    """The resource ``postgres``: the server in the settings, else the project's own."""
    from phlo_publishing.postgres import PostgresResource

    return {"postgres": PostgresResource()}


@hookimpl
def phlo_register_commands(group: click.Group) -> None:
    """The command ``phlo postgres``."""
    target = "phlo_publishing.commands:postgres"
    cast("Any", group).add_lazy("postgres", target, "Start, stop and look into the marts' server.")
