"""Dagster resources that core provides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster import ResourceDefinition, resource
from phlo.lake import open_lake

if TYPE_CHECKING:
    from phlo.protocols import QueryEngine


def engine_resource() -> ResourceDefinition:
    """Build the resource of the project's query engine; a step that needs it opens it."""

    @resource(description="The project's query engine: Trino when configured, else DuckDB.")
    def trino() -> QueryEngine:
        return open_lake().engine

    return trino
