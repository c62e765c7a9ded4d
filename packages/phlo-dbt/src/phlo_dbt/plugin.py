"""What phlo-dbt contributes through phlo's hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phlo.plugins import hookimpl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import click
    from dagster import Definitions
    from phlo.config import Settings
    from phlo.project import Project
    from phlo.values import ProjectQuery, TableAsset
    from pydantic_settings import BaseSettings


@hookimpl
def phlo_register_settings() -> type[BaseSettings]:
    """Return the settings class of ``PHLO_DBT_*``."""
    from phlo_dbt.settings import DbtSettings

    return DbtSettings


@hookimpl
def phlo_register_tables(project: Project) -> Sequence[TableAsset]:
    """Return the tables that dbt models make."""
    from phlo_dbt.folders import DbtWorkspace

    workspace = DbtWorkspace.of(project.settings)
    if not workspace.exists:
        return []
    from phlo_dbt.manifest import table_assets
    from phlo_dbt.own_assets import has_own_assets

    return table_assets(workspace, audits=not has_own_assets(project))


@hookimpl
def phlo_register_queries(project: Project) -> Sequence[ProjectQuery]:
    """Return the SQL of dbt models, which is in the dialect of DuckDB."""
    from phlo_dbt.folders import DbtWorkspace

    workspace = DbtWorkspace.of(project.settings)
    if not workspace.exists:
        return []
    from phlo_dbt.manifest import written_queries

    return written_queries(workspace)


@hookimpl
def phlo_register_definitions(project: Project) -> Definitions:
    """Return the models of the project's dbt as assets, unless the project defines them itself."""
    from dagster import Definitions

    from phlo_dbt.folders import DbtWorkspace

    if not DbtWorkspace.of(project.settings).exists:
        return Definitions()
    from phlo_dbt.assets import build_dbt_assets
    from phlo_dbt.own_assets import has_own_assets

    assets = None if has_own_assets(project) else build_dbt_assets(project)
    return Definitions(assets=[assets] if assets else [])


@hookimpl
def phlo_register_resources(settings: Settings) -> Mapping[str, Any]:
    """Return the resource ``dbt``, for the project's own ``@dbt_assets``."""
    from phlo_dbt.folders import DbtWorkspace

    workspace = DbtWorkspace.of(settings)
    if not workspace.exists:
        return {}
    from phlo_dbt.own_assets import dbt_resource

    return {"dbt": dbt_resource(workspace)}


@hookimpl
def phlo_register_excluded_folders(settings: Settings) -> Sequence[Path]:
    """Exclude the dbt project: its Python files are models, which dbt runs."""
    from phlo_dbt.folders import DbtWorkspace

    return [DbtWorkspace.of(settings).source_dir]


@hookimpl
def phlo_provide_import_hint(error: BaseException) -> str | None:
    """Provide the command that writes the manifest which ``@dbt_assets`` misses."""
    if type(error).__name__ == "DagsterDbtManifestNotFoundError":
        return "`phlo dbt parse` writes target/manifest.json."
    return None


@hookimpl
def phlo_register_commands(group: click.Group) -> None:
    """Return the command ``phlo dbt``."""
    lazy: Any = group
    lazy.add_lazy("dbt", "phlo_dbt.command:dbt", "Run dbt by hand, as phlo runs it.")
