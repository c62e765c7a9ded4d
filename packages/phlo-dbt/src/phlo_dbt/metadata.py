"""What Dagster shows of a published model: rows, columns, and where they come from."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from dagster import TableColumn, TableSchema
from dagster_dbt.core.dbt_cli_event import EventHistoryMetadata, _build_column_lineage_metadata
from phlo.errors import TableNotFoundError

from phlo_dbt.manifest import relation_name
from phlo_dbt.translator import CustomDbtTranslator

if TYPE_CHECKING:
    import pyarrow as pa
    from phlo.lake import Lake
    from phlo.names import TableName
    from phlo.values import Published

    from phlo_dbt.manifest import DbtProject

logger = logging.getLogger(__name__)
_known_lineage: dict[tuple[str, str, str], dict[str, Any]] = {}

# By the start of an Arrow type's name: what sqlglot calls it. Lineage needs names, types only help.
_SQL_TYPES = {
    "bool": "boolean",
    "int": "bigint",
    "double": "double",
    "float": "double",
    "decimal": "decimal",
    "date": "date",
    "timestamp": "timestamp",
}


def published_metadata(
    dbt: DbtProject, unique_id: str, published: Published, lake: Lake
) -> dict[str, Any]:
    """The metadata of a model's materialization.

    Args:
        dbt: The dbt project.
        unique_id: The model.
        published: What its table became.
        lake: Tells the tables' columns.
    """
    schema = lake.store.load(published.table).schema
    facts: dict[str, Any] = {
        "dagster/table_name": str(published.table),
        "dagster/row_count": published.row_count,
        "dagster/column_schema": _column_schema(schema),
        "phlo/strategy": published.strategy,
        **{f"phlo/{name}": count for name, count in published.account.as_dict().items()},
        **_lineage(dbt, unique_id, schema, lake),
    }
    if published.snapshot_id is not None:
        # Text: a snapshot id is longer than the numbers that JavaScript shows exactly.
        facts["phlo/snapshot_id"] = str(published.snapshot_id)
    return facts


def _column_schema(schema: pa.Schema) -> TableSchema:
    return TableSchema([TableColumn(f.name, str(f.type), description=_doc(f)) for f in schema])


def _doc(field: pa.Field) -> str | None:
    doc = (field.metadata or {}).get(b"doc")
    return doc.decode() if doc else None


def _lineage(dbt: DbtProject, unique_id: str, schema: pa.Schema, lake: Lake) -> dict[str, Any]:
    """Which columns each column is made of, as dagster-dbt finds it in the compiled SQL.

    dagster-dbt has no public function for it. What it cannot analyse has no lineage.
    """
    node, tables = dbt.manifest["nodes"][unique_id], dbt.tables
    above = [tables[u] for u in node["depends_on"].get("nodes", []) if u in tables]
    history = EventHistoryMetadata(
        columns=_typed_columns(schema),
        parents={relation_name(table): _columns_of(table, lake) for table in above},
    )
    # Analysing SQL costs more than building a small model; repeats have the same result.
    key = (unique_id, node["checksum"]["checksum"], str(history))
    if key not in _known_lineage:
        _known_lineage[key] = _analyse(dbt, node, history)
    return _known_lineage[key]


def _analyse(
    dbt: DbtProject, node: dict[str, Any], history: EventHistoryMetadata
) -> dict[str, Any]:
    try:
        return _build_column_lineage_metadata(
            history, node, dbt.manifest, CustomDbtTranslator(), dbt.workspace.target_dir, None
        )
    except Exception:
        logger.debug("No column lineage of %s.", node["name"], exc_info=True)
        return {}


def _columns_of(table: TableName, lake: Lake) -> dict[str, dict[str, str]]:
    try:
        return _typed_columns(lake.store.load(table).schema)
    except TableNotFoundError:
        return {}


def _typed_columns(schema: pa.Schema) -> dict[str, dict[str, str]]:
    return {field.name: {"data_type": _sql_type(field.type)} for field in schema}


def _sql_type(kind: pa.DataType) -> str:
    name = str(kind)
    return next((sql for start, sql in _SQL_TYPES.items() if name.startswith(start)), "varchar")
