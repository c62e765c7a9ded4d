import json
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from dagster import AssetKey, AssetSelection, DagsterInstance, define_asset_job
from phlo.config import get_settings
from phlo.names import TableName
from phlo.values import Merge, Replace
from phlo_dbt.folders import DbtWorkspace
from phlo_dbt.manifest import parse_manifest

STG_EVENTS = """
{{
    config(
        materialized='incremental',
        unique_key='id',
        on_schema_change='append_new_columns'
    )
}}

SELECT
    id,
    timestamp,
    value,
    category,
    _dlt_load_id,
    CURRENT_TIMESTAMP() as _transformed_at
FROM {{ source('raw', 'events') }}

{% if is_incremental() %}
WHERE timestamp > (SELECT MAX(timestamp) FROM {{ this }})
{% endif %}
"""

EVENTS_CLEANED = """
{{
    config(
        materialized='incremental',
        unique_key='id'
    )
}}

SELECT
    id,
    timestamp,
    COALESCE(value, 0) as value,
    UPPER(category) as category,
    _dlt_load_id
FROM {{ ref('stg_events') }}
WHERE value IS NOT NULL

{% if is_incremental() %}
AND timestamp > (SELECT MAX(timestamp) FROM {{ this }})
{% endif %}
"""

DAILY_AGGREGATES = """
{{
    config(
        materialized='table'
    )
}}

SELECT
    DATE(timestamp) as date,
    category,
    COUNT(*) as event_count,
    AVG(value) as avg_value,
    MIN(value) as min_value,
    MAX(value) as max_value,
    STDDEV(value) as stddev_value
FROM {{ ref('events_cleaned') }}
GROUP BY 1, 2
"""

SOURCES = """
version: 2

sources:
  - name: raw
    description: Raw ingested data
    tables:
      - name: events
        description: Event data from API
        meta:
          dagster_asset_key: "dlt_events"
"""

EVENTS_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("timestamp", pa.timestamp("us", tz="UTC")),
        pa.field("value", pa.float64()),
        pa.field("category", pa.string()),
        pa.field("_dlt_load_id", pa.string()),
    ]
)
EVENTS = TableName("bronze", "events")
# The asset that makes bronze.events, so that the source has something to map to.
EVENTS_ASSET = """
from dagster import asset


@asset
def dlt_events() -> None: ...
"""


class DbtSandbox:
    """A phlo project with a dbt project in it, and what it published."""

    def __init__(self, project, instance) -> None:
        self.project, self.instance = project, instance
        self.root = project.root
        self.dbt_dir = project.root / "workflows/transforms/dbt"
        self.write("dbt_project.yml", "name: shop\nversion: '1.0'\nconfig-version: 2\n")

    def write(self, path: str, text: str) -> None:
        self.project.write(f"workflows/transforms/dbt/{path}", text)

    def write_guide(self) -> None:
        """The guide's three models as written, and its source."""
        self.write("models/bronze/sources.yml", SOURCES)
        self.write("models/bronze/stg_events.sql", STG_EVENTS)
        self.write("models/silver/events_cleaned.sql", EVENTS_CLEANED)
        self.write("models/gold/daily_aggregates.sql", DAILY_AGGREGATES)

    def load_events(self, *rows: tuple) -> None:
        """Merge events into bronze.events: id, hour of 2025-01-01, value, category."""
        batch = [
            {
                "id": key,
                "timestamp": datetime(2025, 1, 1, hour, tzinfo=UTC),
                "value": value,
                "category": category,
                "_dlt_load_id": "load",
            }
            for key, hour, value, category in rows
        ]
        table = pa.Table.from_pylist(batch, schema=EVENTS_SCHEMA)
        self.put(EVENTS, table, Merge(("id",)))

    def put(self, name: TableName, table: pa.Table, how=None) -> None:
        store = self.project.lake.store
        staged = store.stage(name, ds.dataset(table), how or Replace(), schema=table.schema)
        store.publish([staged])

    def materialize(self, *names: str, tags=None):
        """Run the models named, or all, in process on the project's Dagster."""
        definitions = self.project.definitions()
        models = next(a for a in definitions.assets if a.node_def.name == "dbt_models")
        job = definitions.resolve_implicit_global_asset_job_def()
        keys = [AssetKey.from_user_string(n) for n in names] or list(models.keys)
        return job.execute_in_process(
            instance=self.instance, asset_selection=keys, raise_on_error=False, tags=tags
        )

    def check(self, *keys):
        """Run checks alone."""
        definitions = self.project.definitions()
        selection = AssetSelection.checks(*keys)
        job = define_asset_job("checks", selection).resolve(
            asset_graph=definitions.resolve_asset_graph()
        )
        return job.execute_in_process(instance=self.instance, raise_on_error=False)

    def rows(self, name: str, *columns: str) -> list[tuple]:
        """Rows of a published table, sorted, read by pyiceberg itself."""
        from pyiceberg.catalog import load_catalog

        state = self.root / ".phlo"
        catalog = load_catalog(
            "lake",
            type="sql",
            uri=f"sqlite:///{state / 'catalog.db'}",
            warehouse=f"file://{state / 'warehouse'}",
        )
        found = catalog.load_table(name).scan().to_arrow().to_pylist()
        catalog.engine.dispose()
        names = columns or tuple(found[0] if found else ())
        return sorted(
            (tuple(row[n] for n in names) for row in found),
            key=lambda row: json.dumps(row, default=str),
        )


_parsed_macros: list[bytes] = []


def reuse_parsed_macros(workspace) -> None:
    """Hand a new project what dbt keeps of parsing its own macros, so that it parses them once."""
    for folder in (workspace.parse_dir, workspace.target_dir):
        if _parsed_macros:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "partial_parse.msgpack").write_bytes(_parsed_macros[0])
    if not _parsed_macros:
        parse_manifest(workspace)
        _parsed_macros.append((workspace.parse_dir / "partial_parse.msgpack").read_bytes())


@pytest.fixture
def dbt_project(phlo_project, monkeypatch):
    """A project with a dbt folder, and bronze.events made by dlt_events."""
    from phlo.plugins import hookimpl, plugin_manager
    from phlo.values import TableAsset

    class Ingestion:
        @hookimpl
        def phlo_register_tables(self, project):
            return [TableAsset(EVENTS, ("dlt_events",))]

    plugin_manager().register(Ingestion(), name="test-ingestion")
    with DagsterInstance.ephemeral() as instance:
        sandbox = DbtSandbox(phlo_project, instance)
        reuse_parsed_macros(DbtWorkspace.of(get_settings()))
        yield sandbox
