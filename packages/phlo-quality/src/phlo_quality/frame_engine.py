"""A query engine over frames alone, for where no plugin provides a table store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import sqlglot
from phlo.config import get_settings
from phlo.errors import MissingProviderError, QueryError
from phlo.installing import install_command
from phlo.limits import QueryLimits, open_duckdb
from sqlglot.errors import SqlglotError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa
    import pyarrow.dataset as ds
    from phlo.names import TableName
    from phlo.protocols import Staged

_BATCH_ROWS = 100_000


class FrameEngine:
    """Answers SQL over rows in memory; Trino's dialect is translated by sqlglot.

    The engine of phlo-iceberg translates more exactly, and reads tables.
    """

    dialect = "duckdb"

    def query(
        self,
        sql: str,
        *,
        at: Mapping[TableName, Staged | str] | None = None,
        relations: Mapping[str, ds.Dataset] | None = None,
        parameters: Sequence[Any] | None = None,
    ) -> pa.RecordBatchReader:
        """Run one SELECT over ``relations`` (see :class:`phlo.protocols.QueryEngine`)."""
        limits = QueryLimits.of(get_settings())
        connection = open_duckdb(limits.duckdb_settings())
        connection.execute("SET python_enable_replacements = false")
        connection.execute("SET TimeZone = 'UTC'")
        for name, rows in (relations or {}).items():
            connection.register(name, rows)
        try:
            (translated,) = sqlglot.transpile(sql, read="trino", write="duckdb")
            return limits.read(
                connection, translated, list(parameters) if parameters else None, _BATCH_ROWS
            )
        except (duckdb.Error, SqlglotError) as error:
            raise QueryError(f"DuckDB does not answer: {error}", got=sql) from error

    def columns(self, table: TableName, *, at: Staged | str | None = None) -> pa.Schema:
        """Refuse a table: there is no store.

        Raises:
            MissingProviderError: Always.
        """
        raise MissingProviderError(
            f"No plugin provides a table store, which {table} would be read from.",
            hint=install_command("phlo-iceberg"),
        )

    def tables(self, sql: str, *, relations: Iterable[str] = ()) -> set[TableName]:
        """Return no table: there is no store."""
        return set()
