"""What phlo-iceberg contributes through phlo's hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.plugins import hookimpl

if TYPE_CHECKING:
    from dagster import Definitions
    from phlo.config import Settings
    from phlo.project import Project
    from phlo.protocols import QueryEngine, TableStore
    from pydantic_settings import BaseSettings


@hookimpl
def phlo_register_settings() -> type[BaseSettings]:
    """Catalog, warehouse and object store."""
    from phlo_iceberg.settings import IcebergSettings

    return IcebergSettings


@hookimpl(trylast=True)
def phlo_provide_table_store(settings: Settings) -> TableStore | None:
    """Provide the tables of an Iceberg catalog."""
    from phlo.config import load_settings

    from phlo_iceberg.catalog import open_catalog
    from phlo_iceberg.settings import IcebergSettings
    from phlo_iceberg.store import IcebergStore
    from phlo_iceberg.upkeep.policy import Policy

    own = load_settings(IcebergSettings)
    return IcebergStore(open_catalog(settings, own), Policy.of(own))


@hookimpl
def phlo_register_definitions(project: Project) -> Definitions:
    """Register the daily maintenance, on by default."""
    from phlo.config import load_settings

    from phlo_iceberg.settings import IcebergSettings
    from phlo_iceberg.upkeep.jobs import build_maintenance

    return build_maintenance(project.settings, load_settings(IcebergSettings))


@hookimpl(trylast=True)
def phlo_provide_query_engine(settings: Settings, store: TableStore) -> QueryEngine | None:
    """Return DuckDB over the Iceberg tables of this store; another store brings its own engine."""
    from phlo.config import load_settings

    from phlo_iceberg.read.engine import DuckDBEngine
    from phlo_iceberg.settings import IcebergSettings
    from phlo_iceberg.store import IcebergStore

    del settings
    if not isinstance(store, IcebergStore):
        return None
    return DuckDBEngine(store, load_settings(IcebergSettings).catalog_name)
