"""The staged rows of one load in DuckDB, with bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import sqlglot
from phlo.sql import Identifier, Sql, identifiers, sql

from phlo_dlt.rows.conformer import BATCH_NUMBER, ORIGINAL, PROBLEMS, staged_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa
    from phlo.contract import Contract

ROWS = Identifier("rows")
ROW_NUMBER = "_phlo_row_number"
"""Grows in the order in which rows arrived."""


class Workspace:
    """A DuckDB connection that reads the extracted files as the relation ``rows``.

    ``rows`` has the contract's columns and, under names no contract can have, the row's number,
    its problems and its original values.
    """

    def __init__(
        self, files: Sequence[Path], contract: Contract, *, folder: Path, memory_limit_mb: int
    ) -> None:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{memory_limit_mb}MB",
            "temp_directory": str(folder / "duckdb"),
            "preserve_insertion_order": "false",
        }
        self._connection = duckdb.connect(config=settings)
        self._connection.execute("SET TimeZone = 'UTC'")
        names = [staged_name(i) for i in range(len(contract.columns))]
        chosen = [
            sql("{a} AS {b}", a=Identifier(a), b=Identifier(b))
            for a, b in zip(names, contract.column_names, strict=True)
        ]
        self.run(
            "CREATE VIEW {rows} AS SELECT {chosen}, {extra}, "
            "{batch} * 4294967296 + file_row_number AS {number} "
            "FROM read_parquet([{files}], file_row_number = true)",
            rows=ROWS,
            chosen=chosen,
            extra=identifiers([PROBLEMS, ORIGINAL]),
            batch=Identifier(BATCH_NUMBER),
            number=Identifier(ROW_NUMBER),
            files=[str(file) for file in files],
        )

    def run(self, template: str, **parts: Any) -> duckdb.DuckDBPyConnection:
        """Run a statement in DuckDB's dialect, its parts quoted by :func:`phlo.sql.sql`."""
        return self._connection.execute(sql(template, **parts))

    def value(self, template: str, **parts: Any) -> Any:
        """The first value of the first row."""
        row = self.run(template, **parts).fetchone()
        return row[0] if row is not None else None

    def batches(self, template: str, rows_per_batch: int, **parts: Any) -> pa.RecordBatchReader:
        """The result as Arrow batches, on a cursor of its own."""
        cursor = self._connection.cursor()
        return cursor.execute(sql(template, **parts)).to_arrow_reader(rows_per_batch)

    def close(self) -> None:
        """Free what the connection holds."""
        self._connection.close()


def to_duckdb(predicate: Sql) -> Sql:
    """A condition in Trino's dialect as DuckDB has it."""
    return Sql(sqlglot.parse_one(predicate, read="trino").sql(dialect="duckdb"))
