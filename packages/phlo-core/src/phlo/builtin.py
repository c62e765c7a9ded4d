"""What core itself contributes, through the same door as everybody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phlo.plugins import hookimpl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phlo.config import Settings
    from pydantic_settings import BaseSettings


@hookimpl
def phlo_register_settings() -> type[BaseSettings]:
    """Return the settings shared by all packages."""
    from phlo.config import Settings

    return Settings


@hookimpl
def phlo_register_resources(settings: Settings) -> Mapping[str, Any]:
    """Provide the resource ``trino``: the query engine, whichever plugin brings it."""
    from phlo.orchestration.resources import engine_resource

    return {"trino": engine_resource()}
