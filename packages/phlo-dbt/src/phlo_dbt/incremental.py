"""How a model's rows become part of its table: dbt's strategies in terms of the table store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds
from phlo.errors import DataQualityError, InvalidArgumentError, SchemaChangeError
from phlo.names import TableName
from phlo.sql import Identifier, Sql, all_of, identifiers, literal, sql
from phlo.values import Append, Merge, Replace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import duckdb
    from phlo.protocols import StoredTable
    from phlo.values import How

    Node = Mapping[str, Any]

_KINDS = (
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
    lambda kind: pa.types.is_binary(kind) or pa.types.is_large_binary(kind),
)
# Settings of dbt-duckdb's merge by which a stored row of the same key may stay beside a new one.
_CONDITIONS = (
    "incremental_predicates",
    "predicates",
    "merge_clauses",
    "merge_insert_condition",
    "merge_on_using_columns",
)
_REPLACE = Replace(compares_metadata=True)


def _open(file: Path) -> ds.Dataset:
    """Open a Parquet file; UUIDs stay UUIDs."""
    return ds.dataset(str(file), format=ds.ParquetFileFormat(arrow_extensions_enabled=True))


@dataclass(frozen=True)
class Incoming:
    """The rows a model made.

    Attributes:
        connection: Reads them, and the model's own table as it is now.
        file: Parquet file that holds them.
    """

    connection: duckdb.DuckDBPyConnection
    file: Path

    @property
    def rows(self) -> ds.Dataset:
        """The rows, scanned as often as needed."""
        return _open(self.file)


@dataclass(frozen=True)
class Landing:
    """What to stage for a model.

    Attributes:
        rows: The rows.
        schema: The table's columns when they have landed.
        how: How the rows become part of the table.
        on_schema_change: What the store does with columns that are not in ``schema``.
    """

    rows: ds.Dataset
    schema: pa.Schema
    how: How
    on_schema_change: str = "add_columns"


def plan_built(incoming: Incoming, node: Node, current: StoredTable | None) -> Landing:
    """Plan the stage of a relation that dbt built as it shall be, and that replaces the table.

    A snapshot's rows are merged by dbt's own key, so that the history is not written anew.

    Args:
        incoming: All rows.
        node: The model or snapshot.
        current: The table that dbt's copy was made of; ``None``: it did not read one.

    Raises:
        DataQualityError: A row of a model that merges has no key, or two rows have the same one.
    """
    rows = incoming.rows
    if current is None:
        return Landing(rows, rows.schema, _REPLACE, "sync")
    if node["resource_type"] == "snapshot":
        key = _snapshot_key(node)
        if _only_adds(incoming, key, node):
            return Landing(rows, rows.schema, Merge((key,), compares_metadata=True))
    elif _promises_unique_key(node):
        key_columns = [n for n in _written_key(node) if n in rows.schema.names]
        if key_columns:
            _refuse_bad_keys(incoming, key_columns, node)
    how = Replace(revises=current.snapshot_id, compares_metadata=True)
    return Landing(rows, rows.schema, how, "sync")


def _promises_unique_key(node: Node) -> bool:
    config = node["config"]
    by_key = (config.get("incremental_strategy") or "default") in ("default", "merge")
    return by_key and not any(config.get(name) for name in _CONDITIONS)


def _snapshot_key(node: Node) -> str:
    names = node["config"].get("snapshot_meta_column_names") or {}
    return names.get("dbt_scd_id") or "dbt_scd_id"


def _only_adds(incoming: Incoming, key: str, node: Node) -> bool:
    """Return whether every published row is among the new ones by its key, which none has twice."""
    counts = incoming.connection.execute(
        sql(
            "SELECT count(*) - count(DISTINCT {k}), (SELECT count(*) FROM {published} AS t "
            "WHERE NOT EXISTS (SELECT 1 FROM {new} AS n WHERE n.{k} = t.{k})) FROM {new}",
            k=Identifier(key),
            published=_published_copy(node),
            new=sql("read_parquet({f})", f=str(incoming.file)),
        )
    ).fetchall()
    return counts == [(0, 0)]


def _published_copy(node: Node) -> TableName:
    """Return the view over the published rows that ``phlo_copy_published`` put aside."""
    return TableName(node["schema"], f"{node['alias']}__published")


def plan_landing(incoming: Incoming, node: Node, current: StoredTable | None) -> Landing:
    """Plan the stage of the rows of one query.

    Args:
        incoming: Its rows.
        node: The model.
        current: The table it adds to; ``None``: the table becomes these rows.

    Raises:
        InvalidArgumentError: The model's configuration cannot be carried out.
        SchemaChangeError: ``on_schema_change`` refuses the model's columns.
        DataQualityError: A row has no key, or two rows have the same one.
    """
    rows = incoming.rows
    if node["config"]["materialized"] != "incremental":
        return Landing(rows, rows.schema, _REPLACE, "sync")
    key, strategy = _key(node, rows.schema), node["config"].get("incremental_strategy")
    is_merge = bool(key) and strategy not in ("append", "delete+insert")
    if is_merge:
        _refuse_bad_keys(incoming, key, node)
    if current is None:
        return Landing(rows, rows.schema, _REPLACE, "sync")
    mode = node["config"].get("on_schema_change") or "ignore"
    schema = _merged_schema(rows.schema, current.schema, mode, node)
    change = "sync" if mode == "sync_all_columns" else "add_columns"
    if key and strategy == "delete+insert":
        return Landing(_delete_and_insert(incoming, key, node, schema), schema, _REPLACE, change)
    if not is_merge:
        return Landing(rows, schema, Append(on_rerun="append"), change)
    kept = [name for name in schema.names if name not in rows.schema.names]
    if kept:
        rows = _with_stored_values(incoming, key, node, kept)
    return Landing(rows, schema, Merge(key, compares_metadata=True), change)


def _with_stored_values(
    incoming: Incoming, key: Sequence[str], node: Node, kept: Sequence[str]
) -> ds.Dataset:
    """Fill columns that new rows lack with what is stored: dbt updates only what it is given."""
    file = incoming.file.with_suffix(".kept.parquet")
    incoming.connection.execute(
        sql(
            "COPY (SELECT n.*, {kept} FROM read_parquet({new}) AS n "
            "LEFT JOIN {table} AS t ON {same}) TO {file} (FORMAT parquet)",
            kept=[sql("t.{c}", c=Identifier(name)) for name in kept],
            new=str(incoming.file),
            table=_own_table(node),
            same=_same_key(key),
            file=str(file),
        )
    )
    return _open(file)


def _delete_and_insert(
    incoming: Incoming, key: Sequence[str], node: Node, schema: pa.Schema
) -> ds.Dataset:
    """Return the whole table anew: stored rows whose key is not among the new ones, and these."""
    file = incoming.file.with_suffix(".whole.parquet")
    new = sql("read_parquet({file})", file=str(incoming.file))
    incoming.connection.execute(
        sql(
            "COPY (SELECT COLUMNS(lambda c: list_contains([{names}], c)) FROM ("
            "SELECT * FROM {table} AS t WHERE NOT EXISTS (SELECT 1 FROM {new} AS n WHERE {same}) "
            "UNION ALL BY NAME SELECT * FROM {new})) TO {file} (FORMAT parquet)",
            names=[literal(name) for name in schema.names],
            table=_own_table(node),
            new=new,
            same=_same_key(key),
            file=str(file),
        )
    )
    return _open(file)


def _own_table(node: Node) -> TableName:
    return TableName(node["schema"], node["alias"])


def _same_key(key: Sequence[str]) -> Sql:
    return all_of([sql("n.{c} = t.{c}", c=Identifier(column)) for column in key])


def _written_key(node: Node) -> tuple[str, ...]:
    key = node["config"].get("unique_key") or ()
    return (key,) if isinstance(key, str) else tuple(key)


def _key(node: Node, schema: pa.Schema) -> tuple[str, ...]:
    """Return the columns of ``unique_key``; SQL names have no case."""
    columns = {name.lower(): name for name in schema.names}
    unknown = [column for column in _written_key(node) if column.lower() not in columns]
    if unknown:
        raise InvalidArgumentError(
            f"unique_key {unknown[0]!r} is no column of the model {node['name']} "
            f"({node['original_file_path']}).",
            got=repr(unknown[0]),
            expected=f"one of {schema.names}",
            hint="Name a column, or a list of columns.",
        )
    exact = set(schema.names)
    return tuple(c if c in exact else columns[c.lower()] for c in _written_key(node))


def _refuse_bad_keys(incoming: Incoming, key: Sequence[str], node: Node) -> None:
    names = identifiers(key)
    found = incoming.connection.execute(
        sql(
            "SELECT {key}, count(*) FROM read_parquet({file}) GROUP BY {key} "
            "HAVING count(*) > 1 OR {nulls} ORDER BY ALL LIMIT 3",
            key=names,
            file=str(incoming.file),
            nulls=Sql(" OR ".join(sql("{n} IS NULL", n=name) for name in names)),
        )
    ).fetchall()
    if found:
        raise DataQualityError(
            f"unique_key {list(key)} of the model {node['name']} ({node['original_file_path']}) "
            f"is not unique, or null: {[dict(zip(key, row, strict=False)) for row in found]}.",
            hint="Deduplicate in the model, or correct unique_key.",
        )


def _merged_schema(new: pa.Schema, current: pa.Schema, mode: str, node: Node) -> pa.Schema:
    """Return the table's columns after the run, by dbt's ``on_schema_change``."""
    added = [f for f in new if f.name not in current.names]
    missing = [n for n in current.names if n not in new.names]
    if (mode == "fail" and (added or missing)) or (mode == "ignore" and missing):
        raise SchemaChangeError(
            f"The columns of the model {node['name']} ({node['original_file_path']}) changed, "
            f"and on_schema_change is {mode!r}.",
            got=f"added {[f.name for f in added]}, missing {missing}",
            expected=f"the columns {current.names}",
            hint="Set on_schema_change='append_new_columns', or build it anew: phlo materialize "
            f"{node['name']} --full-refresh",
        )
    if mode == "sync_all_columns":
        return pa.schema([_same_kind(f, current, node) for f in new])
    kept = [new.field(n) if n in new.names else current.field(n) for n in current.names]
    return pa.schema(kept if mode == "ignore" else [*kept, *added])


def _same_kind(field: pa.Field, current: pa.Schema, node: Node) -> pa.Field:
    """Return a column to keep in step; another type would take the stored values away."""
    old = current.field(field.name).type if field.name in current.names else field.type
    if old == field.type or any(kind(old) and kind(field.type) for kind in _KINDS):
        return field
    raise SchemaChangeError(
        f"Column {field.name!r} of the model {node['name']} ({node['original_file_path']}) "
        "changed its type.",
        got=str(field.type),
        expected=str(old),
        hint=f"Build it anew: phlo materialize {node['name']} --full-refresh. Or rename the "
        "column.",
        column=field.name,
    )
