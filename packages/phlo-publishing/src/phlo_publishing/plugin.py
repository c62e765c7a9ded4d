"""What phlo-publishing contributes through phlo's hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from phlo.plugins import hookimpl

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import click
    from dagster import Definitions
    from phlo.config import Settings
    from phlo.events import BranchEvent
    from phlo.names import TableName
    from phlo.project import Project
    from phlo.protocols import QueryEngine, TableStore
    from phlo.values import PublishPlan
    from pydantic_settings import BaseSettings


@hookimpl
def phlo_register_settings() -> type[BaseSettings]:
    """Hand over the settings ``PHLO_POSTGRES_*``."""
    from phlo_publishing.settings import PostgresSettings

    return PostgresSettings


@hookimpl
def phlo_register_definitions(project: Project) -> Definitions:
    """Return publishing assets of tables that declare it, such as dbt models by ``meta``."""
    from dagster import Definitions

    if not any(made.meta.get("publish") for made in project.tables.values()):
        return Definitions()
    from dagster import AssetKey

    from phlo_publishing.declaration import build_asset, declared_on_tables

    declared = declared_on_tables(project)
    return Definitions(
        assets=[build_asset(spec, [AssetKey(list(made.asset_key))]) for spec, made in declared]
    )


@hookimpl
def phlo_register_resources(settings: Settings) -> Mapping[str, Any]:
    """Provide the resource ``postgres``: the configured server, else the project's own."""
    from phlo_publishing.postgres import PostgresResource

    return {"postgres": PostgresResource()}


@hookimpl
def phlo_provide_named_table(table: TableName, project: Project) -> TableName | None:
    """Provide the table that ``marts.x`` stands for: the one of the asset ``x``, else of name x."""
    if table.namespace != "marts":
        return None
    same_name = [t for t in project.tables if t.name == table.name]
    same_asset = [t for t in same_name if project.tables[t].asset_key[-1] == t.name]
    return next((tables[0] for tables in (same_asset, same_name) if len(tables) == 1), None)


@hookimpl
def phlo_register_commands(group: click.Group) -> None:
    """Add the commands ``phlo postgres`` and ``phlo publish``."""
    target = "phlo_publishing.commands:postgres"
    cast("Any", group).add_lazy("postgres", target, "Start, stop and look into the marts' server.")
    target = "phlo_publishing.commands:publish"
    cast("Any", group).add_lazy("publish", target, "Publish marts to PostgreSQL, or show the plan.")


@hookimpl
def phlo_register_publish_plans(
    project: Project, store: TableStore, engine: QueryEngine, assets: Collection[str]
) -> Sequence[PublishPlan]:
    """Hand over what publishing the declared marts would do to their tables."""
    from phlo_publishing.declaration import declared_specs

    specs = [spec for spec in declared_specs(project) if spec.name in assets]
    if not specs:
        return ()
    from phlo_publishing.planned_marts import plan_marts

    return plan_marts(project, store, engine, specs)


@hookimpl
def phlo_on_branch(event: BranchEvent) -> None:
    """Drop the marts of a branch with it."""
    if event.action == "deleted":
        from phlo_publishing.marts_of_branches import drop_marts

        drop_marts(event.branch)
