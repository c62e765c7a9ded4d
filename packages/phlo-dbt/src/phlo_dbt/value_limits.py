"""Values of a model that no Iceberg table can hold, each named with its column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow.parquet as pq
from phlo.errors import DataQualityError
from phlo.sql import Identifier, Sql, sql

from phlo_dbt.column_metadata import stored_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    Node = Mapping[str, Any]

# What Python's datetime holds, and with it most readers of Iceberg; by Parquet's logical type, in
# days or microseconds since 1970, or since midnight.
_LIMITS = {
    "DATE": (-719_162, 2_932_896),
    "TIMESTAMP": (-62_135_596_800_000_000, 253_402_300_799_999_999),
    "TIME": (0, 86_399_999_999),
}
_RANGES = {
    "DATE": "dates from 0001-01-01 to 9999-12-31",
    "TIMESTAMP": "moments from 0001-01-01 to 9999-12-31 23:59:59.999999 (UTC)",
    "TIME": "times from 00:00:00 to 23:59:59.999999",
}
_INFINITIES = {2**31 - 1: "infinity", 2**63 - 1: "infinity"}
_INFINITIES |= {-number: f"-{name}" for number, name in _INFINITIES.items()}
_TEXTS = {
    "DATE": "SELECT CAST(make_date({n}) AS VARCHAR)",
    "TIMESTAMP": "SELECT CAST(make_timestamp({n}) AS VARCHAR)",
    "TIME": "SELECT '24:00:00'",
}


def refuse_far_moments(file: Path, node: Node) -> None:
    """Raise where a date, a timestamp or a time lies beyond what readers of Iceberg know.

    Bounds in the file's footer tell it of every column, nested ones too, without reading a row.

    Args:
        file: Parquet file of the model's rows.
        node: The model.

    Raises:
        DataQualityError: Names the column, and the value.
    """
    for column, kind, bound in _bounds(file):
        low, high = _LIMITS[kind]
        if not low <= bound <= high:
            raise DataQualityError(
                f"Column {column!r} of the model {node['name']} ({node['original_file_path']}) "
                "holds a value that readers of Iceberg do not know.",
                got=_text(kind, bound),
                expected=_RANGES[kind],
                hint="Write null, or a last day such as 9999-12-31, in the model.",
                column=column,
            )


def _bounds(file: Path) -> Iterator[tuple[str, str, int]]:
    """Yield the smallest and the largest value of each column of dates and times."""
    metadata = pq.read_metadata(file)
    for place in range(metadata.num_columns):
        kind = metadata.schema.column(place).logical_type.type
        if kind not in _LIMITS:
            continue
        for number in range(metadata.num_row_groups):
            column = metadata.row_group(number).column(place)
            bounds = column.statistics
            if bounds is not None and bounds.has_min_max:
                yield column.path_in_schema, kind, bounds.min_raw
                yield column.path_in_schema, kind, bounds.max_raw


def _text(kind: str, bound: int) -> str:
    if bound in _INFINITIES:
        return _INFINITIES[bound]
    with duckdb.connect() as connection:
        row = connection.execute(sql(_TEXTS[kind], n=bound)).fetchone()
    return str(row[0]) if row else str(bound)


def explain_conversion(
    connection: duckdb.DuckDBPyConnection, relation: Sql, node: Node, error: duckdb.Error
) -> DataQualityError | None:
    """Name the column whose values do not fit the nearest type that Iceberg has.

    Args:
        connection: Reads the relation.
        relation: The model's rows.
        node: The model.
        error: DuckDB's, of writing all columns.

    Returns:
        ``None`` where the model's own SQL failed.
    """
    columns = connection.sql(sql("SELECT * FROM {r} LIMIT 0", r=relation))
    for name, kind in zip(columns.columns, columns.types, strict=True):
        target = stored_type(kind)
        values = sql("SELECT {n} AS v FROM {r}", n=Identifier(name), r=relation)
        cast = sql("SELECT CAST(v AS {t}) AS v FROM ({v})", t=Sql(target), v=values)
        if target != str(kind) and _fails(connection, cast) and not _fails(connection, values):
            return DataQualityError(
                f"Column {name!r} of the model {node['name']} ({node['original_file_path']}) "
                f"does not fit {target}, the nearest type that Iceberg has.",
                got=str(error).splitlines()[0],
                expected=f"values of {target}",
                hint="Cast the column in the model, to DECIMAL(38, 0) or VARCHAR for instance.",
                column=name,
            )
    return None


def _fails(connection: duckdb.DuckDBPyConnection, query: Sql) -> bool:
    try:
        connection.execute(sql("SELECT max(hash(v)) FROM ({q})", q=query)).fetchall()
    except duckdb.Error:
        return True
    return False
