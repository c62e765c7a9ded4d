"""What phlo-dlt contributes through phlo's hooks."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from phlo.plugins import hookimpl
from phlo.values import TableAsset

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from dagster import Definitions
    from phlo.project import Project
    from pydantic_settings import BaseSettings

    from phlo_dlt.spec import IngestionSpec


@hookimpl
def phlo_register_settings() -> type[BaseSettings]:
    """Hand over the settings ``PHLO_DLT_*``."""
    from phlo_dlt.settings import DltSettings

    return DltSettings


@hookimpl
def phlo_register_tables(project: Project) -> Sequence[TableAsset]:
    """Return the table of each ``@phlo_ingestion``."""
    from phlo_dlt.spec import IngestionSpec

    return [
        TableAsset(
            table=spec.table,
            asset_key=(spec.asset_name,),
            audits=True,
            names=(spec.function.__name__,),
            defined_at=spec.defined_at,
            key=spec.unique_key if spec.merge_strategy == "merge" else (),
            sensitive=tuple(c.name for c in spec.contract.columns if c.is_sensitive),
            declared_schema=partial(_table_schema, spec),
        )
        for spec in project.specs(IngestionSpec)
    ]


def _table_schema(spec: IngestionSpec) -> pa.Schema:
    from phlo_dlt.load import table_schema

    return table_schema(spec)


@hookimpl
def phlo_register_definitions(project: Project) -> Definitions:
    """Build an asset for each ``@phlo_ingestion``, and a schedule where it has a ``cron``."""
    from dagster import Definitions
    from phlo.orchestration.assembly import build_resources

    from phlo_dlt.spec import IngestionSpec

    specs = project.specs(IngestionSpec)
    if not specs:
        return Definitions()  # a project without ingestions does not wait for dlt

    from phlo_dlt.asset import build_asset
    from phlo_dlt.schedule import build_schedule

    resources = build_resources(project)
    assets = [build_asset(spec, project, resources) for spec in specs]
    schedules = [
        build_schedule(spec, asset, project.settings)
        for spec, asset in zip(specs, assets, strict=True)
    ]
    return Definitions(assets=assets, schedules=[s for s in schedules if s is not None])
