"""What Dagster shows of a published model: rows, columns, and where they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dagster import TableColumn, TableSchema
from phlo.errors import TableNotFoundError

from phlo_dbt.translator import CustomDbtTranslator

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from dagster import AssetKey, TableColumnLineage
    from phlo.lake import Lake
    from phlo.names import TableName
    from phlo.values import Published

    from phlo_dbt.lineage import LineageBudget
    from phlo_dbt.manifest import DbtProject


def published_metadata(
    dbt: DbtProject,
    unique_id: str,
    published: Published,
    lake: Lake,
    query: str,
    budget: LineageBudget,
) -> dict[str, Any]:
    """Return the metadata of a model's materialization.

    Args:
        dbt: The dbt project.
        unique_id: The model.
        published: What its table became.
        lake: Tells the tables' columns.
        query: The model's compiled SQL; empty where it has none.
        budget: What is left of the run's time for lineage.
    """
    schema = lake.store.load(published.table).schema
    lineage = _lineage(dbt, unique_id, schema, lake, query, budget)
    metadata: dict[str, Any] = {
        "dagster/table_name": str(published.table),
        "dagster/row_count": published.row_count,
        "dagster/column_schema": _column_schema(schema),
        "phlo/strategy": published.strategy,
        **{f"phlo/{name}": count for name, count in published.account.as_dict().items()},
    }
    if lineage is not None:
        metadata["dagster/column_lineage"] = lineage
    if published.snapshot_id is not None:
        # Text: a snapshot id is longer than the numbers that JavaScript shows exactly.
        metadata["phlo/snapshot_id"] = str(published.snapshot_id)
    return metadata


def _column_schema(schema: pa.Schema) -> TableSchema:
    return TableSchema([TableColumn(f.name, str(f.type), description=_doc(f)) for f in schema])


def _doc(field: pa.Field) -> str | None:
    doc = (field.metadata or {}).get(b"doc")
    return doc.decode() if doc else None


def _lineage(
    dbt: DbtProject,
    unique_id: str,
    schema: pa.Schema,
    lake: Lake,
    query: str,
    budget: LineageBudget,
) -> TableColumnLineage | None:
    if dbt.manifest["nodes"][unique_id].get("language") == "python":
        return None
    owners = {dbt.tables[uid]: uid for uid in _ancestors(dbt, unique_id) if uid in dbt.tables}

    def asset_of(table: TableName) -> AssetKey:
        props = dbt.manifest["nodes"].get(owners[table]) or dbt.manifest["sources"][owners[table]]
        return CustomDbtTranslator().get_asset_key(props)

    parents = {table: _columns_of(table, lake) for table in owners}
    return budget.column_lineage(query, schema.names, parents, asset_of)


def _ancestors(dbt: DbtProject, unique_id: str) -> set[str]:
    """Return the nodes whose tables a model's SQL names: parents, and those of ephemeral ones."""
    nodes, parents = dbt.manifest["nodes"], set[str]()
    for parent in nodes[unique_id]["depends_on"].get("nodes", []):
        parents.add(parent)
        if parent in nodes and nodes[parent]["config"].get("materialized") == "ephemeral":
            parents |= _ancestors(dbt, parent)
    return parents


def _columns_of(table: TableName, lake: Lake) -> Sequence[str]:
    try:
        return lake.store.load(table).schema.names
    except TableNotFoundError:
        return []
