"""How a model's rows become part of its table: dbt's strategies in terms of the table store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds
from phlo.errors import DataQualityError, InvalidArgumentError, SchemaChangeError
from phlo.sql import Sql, identifiers, literal, sql
from phlo.values import Append, Merge, Replace, is_metadata_column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import duckdb
    from phlo.values import How

    Node = Mapping[str, Any]

_STRATEGIES = ("append", "merge", "delete+insert")
_UNSUPPORTED = ("incremental_predicates", "merge_update_columns", "merge_exclude_columns")


@dataclass(frozen=True)
class Incoming:
    """The rows a model made.

    Attributes:
        connection: Reads them for checks.
        file: Parquet file that holds them.
    """

    connection: duckdb.DuckDBPyConnection
    file: Path

    @property
    def rows(self) -> ds.Dataset:
        """The rows, scanned as often as needed."""
        return ds.dataset(str(self.file), format="parquet")


def plan_incremental(
    incoming: Incoming, node: Node, current: pa.Schema | None
) -> tuple[ds.Dataset, pa.Schema, How]:
    """What to stage for a model.

    Args:
        incoming: Its rows.
        node: The model.
        current: Columns of the table it adds to; ``None``: the table becomes these rows.

    Returns:
        Rows, the table's schema, and how the rows become part of it.

    Raises:
        InvalidArgumentError: The model's configuration cannot be carried out.
        SchemaChangeError: ``on_schema_change`` refuses the model's columns.
        DataQualityError: A row has no key, or two rows have the same one.
    """
    config, rows = node["config"], incoming.rows
    key, strategy = _key(node, rows.schema), _strategy(node)
    if key and strategy != "append":
        _refuse_bad_keys(incoming, key, node)
    if current is None:
        return rows, rows.schema, Replace()
    schema = _merged_schema(rows.schema, current, config.get("on_schema_change"), node)
    if key and strategy != "append":
        return rows, schema, Merge(key)
    return rows, schema, Append(on_rerun="append")


def _key(node: Node, schema: pa.Schema) -> tuple[str, ...]:
    given = node["config"].get("unique_key") or ()
    key = (given,) if isinstance(given, str) else tuple(given)
    unknown = [column for column in key if column not in schema.names]
    if unknown:
        raise InvalidArgumentError(
            f"unique_key {unknown[0]!r} is no column of the model {node['name']} "
            f"({node['original_file_path']}).",
            got=repr(unknown[0]),
            expected=f"one of {schema.names}",
            hint="Name a column, or a list of columns.",
        )
    return key


def _strategy(node: Node) -> str | None:
    config = node["config"]
    strategy = config.get("incremental_strategy")
    wrong = [name for name in _UNSUPPORTED if config.get(name)]
    if wrong or strategy not in (None, "default", *_STRATEGIES):
        what = wrong[0] if wrong else "incremental_strategy"
        raise InvalidArgumentError(
            f"{what} of the model {node['name']} ({node['original_file_path']}) is not "
            "supported on the embedded engine.",
            got=repr(config.get(what)),
            expected="nothing" if wrong else f"one of {list(_STRATEGIES)}",
            hint=f"Leave {what} out: rows are replaced by unique_key, others are kept.",
        )
    return strategy


def _refuse_bad_keys(incoming: Incoming, key: Sequence[str], node: Node) -> None:
    names = identifiers(key)
    found = incoming.connection.execute(
        sql(
            "SELECT {key}, count(*) FROM read_parquet({file}) GROUP BY {key} "
            "HAVING count(*) > 1 OR {nulls} ORDER BY ALL LIMIT 3",
            key=names,
            file=literal(str(incoming.file)),
            nulls=Sql(" OR ".join(sql("{n} IS NULL", n=name) for name in names)),
        )
    ).fetchall()
    if found:
        raise DataQualityError(
            f"unique_key {list(key)} of the model {node['name']} ({node['original_file_path']}) "
            f"is not unique, or null: {[dict(zip(key, row, strict=False)) for row in found]}.",
            hint="Deduplicate in the model, or correct unique_key.",
        )


def _merged_schema(
    new: pa.Schema, current: pa.Schema, on_schema_change: str | None, node: Node
) -> pa.Schema:
    """The table's columns after the run, by dbt's ``on_schema_change``."""
    added = [f for f in new if f.name not in current.names]
    missing = [n for n in current.names if n not in new.names and not is_metadata_column(n)]
    mode = on_schema_change or "ignore"
    if (mode == "fail" and (added or missing)) or (mode == "ignore" and missing):
        raise SchemaChangeError(
            f"The columns of the model {node['name']} ({node['original_file_path']}) changed, "
            f"and on_schema_change is {mode!r}.",
            got=f"added {[f.name for f in added]}, missing {missing}",
            expected=f"the columns {current.names}",
            hint="Set on_schema_change='append_new_columns', or run once with --full-refresh.",
        )
    kept = [new.field(n) if n in new.names else current.field(n) for n in current.names]
    return pa.schema(kept if mode == "ignore" else [*kept, *added])
