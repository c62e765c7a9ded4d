"""What phlo-dbt contributes through phlo's hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.plugins import hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dagster import Definitions
    from phlo.project import Project
    from phlo.values import TableAsset


@hookimpl
def phlo_register_tables(project: Project) -> Sequence[TableAsset]:
    """The tables that dbt models make."""
    from phlo_dbt.workspace import DbtWorkspace

    workspace = DbtWorkspace.of(project.settings)
    if not workspace.exists:
        return []
    from phlo_dbt.manifest import table_assets

    return table_assets(workspace)


@hookimpl
def phlo_register_definitions(project: Project) -> Definitions:
    """The models of the project's dbt as assets, their tests as checks."""
    from dagster import Definitions

    from phlo_dbt.workspace import DbtWorkspace

    if not DbtWorkspace.of(project.settings).exists:
        return Definitions()
    from phlo_dbt.assets import build_dbt_assets

    assets = build_dbt_assets(project)
    return Definitions(assets=[assets] if assets else [])
