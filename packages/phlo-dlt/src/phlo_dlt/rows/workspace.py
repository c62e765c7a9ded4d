"""The staged rows of one load in DuckDB, with bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import sqlglot
from phlo.errors import ConfigurationError
from phlo.limits import open_duckdb
from phlo.sql import Identifier, Sql, identifiers, keep_nan, quote_identifier, sql

from phlo_dlt.rows.conformer import BATCH_NUMBER, ORIGINAL, PROBLEMS, staged_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from phlo.contract import Contract, ContractColumn
    from phlo.limits import DuckDBSettings

ROW_NUMBER = "_phlo_row_number"
"""Grows in the order in which rows arrived."""
WIDE_COLUMNS = 200
_MB_PER_COLUMN = 0.5
"""What DuckDB holds of each column at once, however few rows there are: vectors of 2,048 values."""


class Workspace:
    """A DuckDB connection that reads the extracted files as the relation ``rows``.

    The steps of a load keep what they find in relations, which are named by attributes.

    Attributes:
        rows: The contract's columns and, under names no contract can have, the row's number, its
            problems and its original values.
        broken: Number of each row that breaks a rule, and the rule.
        warned: The same for rules that only warn.
        excluded: Numbers of the rows that are not loaded.
        passed_over: Numbers of the rows that lost against another row of their key.
        survivors: The rows to load.
    """

    rows = Identifier("rows")
    broken, warned = Identifier("broken"), Identifier("warned")
    excluded = Identifier("excluded")
    passed_over, survivors = Identifier("passed_over"), Identifier("survivors")

    def __init__(
        self, files: Sequence[Path], contract: Contract, *, folder: Path, memory_limit_mb: int
    ) -> None:
        column_count = len(contract.columns)
        self._memory_limit_mb = max(memory_limit_mb, int(_MB_PER_COLUMN * column_count))
        self._is_wide = column_count > WIDE_COLUMNS
        settings: DuckDBSettings = {
            "memory_limit": f"{self._memory_limit_mb}MB",
            "temp_directory": str(folder / "duckdb"),
            "preserve_insertion_order": "false",
        }
        self._connection = open_duckdb(settings)
        self._connection.execute("SET python_enable_replacements = false")
        self._connection.execute("SET TimeZone = 'UTC'")
        chosen = [
            sql("{value} AS {name}", value=_staged_value(n, column), name=Identifier(column.name))
            for n, column in enumerate(contract.columns)
        ]
        self.run(
            "CREATE VIEW {rows} AS SELECT {chosen}, {extra}, "
            "{batch} * 4294967296 + file_row_number AS {number} "
            "FROM read_parquet([{files}], file_row_number = true)",
            rows=self.rows,
            chosen=chosen,
            extra=identifiers([PROBLEMS, ORIGINAL]),
            batch=Identifier(BATCH_NUMBER),
            number=Identifier(ROW_NUMBER),
            files=[str(file) for file in files],
        )

    def run(self, template: str, **parts: Any) -> duckdb.DuckDBPyConnection:
        """Run a statement in DuckDB's dialect, its parts quoted by :func:`phlo.sql.sql`."""
        try:
            return self._connection.execute(sql(template, **parts))
        except duckdb.OutOfMemoryException as exc:
            raise ConfigurationError(
                f"The load needs more than the {self._memory_limit_mb} MB it may take.",
                hint=f"Set PHLO_DLT_MEMORY_LIMIT_MB={2 * self._memory_limit_mb} or more.",
            ) from exc

    def write(self, query: str, path: Path) -> None:
        """Write a query's rows to a Parquet file.

        Many columns are written by Arrow: DuckDB's writer holds half a megabyte of each.
        """
        if not self._is_wide:
            self.run("COPY ({q}) TO {path} (FORMAT parquet)", q=Sql(query), path=str(path))
            return
        batches = self.batches("{q}", 2048, q=Sql(query))
        with pq.ParquetWriter(path, batches.schema) as writer:
            for batch in batches:
                writer.write_batch(batch)

    def value(self, template: str, **parts: Any) -> Any:
        """Return the first value of the first row."""
        rows = self.run(template, **parts).fetchall()
        return rows[0][0] if rows else None

    def batches(self, template: str, rows_per_batch: int, **parts: Any) -> pa.RecordBatchReader:
        """Return the result as Arrow batches, on a cursor of its own."""
        cursor = self._connection.cursor()
        return cursor.sql(sql(template, **parts)).to_arrow_reader(rows_per_batch)

    def close(self) -> None:
        """Free what the connection holds."""
        self._connection.close()


def _staged_value(number: int, column: ContractColumn) -> Sql:
    staged = quote_identifier(staged_name(number))
    return keep_nan(staged) if pa.types.is_floating(column.type) else staged


def to_duckdb(predicate: Sql) -> Sql:
    """Translate a condition from Trino's dialect to DuckDB's."""
    return Sql(sqlglot.parse_one(predicate, read="trino").sql(dialect="duckdb"))
