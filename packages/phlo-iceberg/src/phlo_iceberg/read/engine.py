"""The embedded query engine: DuckDB over Iceberg tables, SQL in Trino's dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import duckdb
import pyarrow as pa
from phlo.config import get_settings
from phlo.errors import QueryError
from phlo.limits import QueryLimits
from phlo.sql import Identifier, quote_table, sql

from phlo_iceberg.read.connection import connect, use_object_store
from phlo_iceberg.read.state import TableState, allow_only_files_of
from phlo_iceberg.service_errors import explain, explain_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pyarrow.dataset as ds
    from phlo.names import TableName
    from phlo.protocols import Staged
    from phlo.values import ProjectQuery, SqlFinding

BATCH_ROWS = 20_000
"""Rows of a batch. A reader and each of DuckDB's threads hold one: larger ones read no faster."""


class States(Protocol):
    """Where the engine finds the state of a table: the store."""

    def state(self, table: TableName, at: Staged | str | None = None) -> TableState:
        """See :meth:`phlo_iceberg.store.IcebergStore.state`."""
        ...


@explain_errors
class DuckDBEngine:
    """Answers Trino's SQL over the tables of a store.

    Every query has a connection of its own, whose tables are views made from one look at the
    catalog; it can read the tables' files and nothing else of the machine.

    Args:
        store: Finds tables.
        catalog_name: A first part of table names that is taken as this catalog, and dropped.
        limits: What one query may take; by default what the project's settings say.
    """

    dialect = "duckdb"

    def __init__(
        self, store: States, catalog_name: str = "lake", limits: QueryLimits | None = None
    ) -> None:
        self._store, self._catalog_name = store, catalog_name
        self._limits = limits or QueryLimits.of(get_settings())

    def query(
        self,
        sql: str,
        *,
        at: Mapping[TableName, Staged | str] | None = None,
        relations: Mapping[str, ds.Dataset] | None = None,
        parameters: Sequence[Any] | None = None,
    ) -> pa.RecordBatchReader:
        """Run one SELECT (see :class:`phlo.protocols.QueryEngine`)."""
        # Here and below: what only looks at the catalog need not import sqlglot.
        from phlo_iceberg.read.dialect.connection import prepare
        from phlo_iceberg.read.dialect.translation import parse, translate

        parsed = parse(sql, frozenset(relations or ()), self._catalog_name)
        states = [self._store.state(t, (at or {}).get(t)) for t in parsed.tables]
        schemas = {s.name: s.arrow_schema for s in states}
        schemas |= {name: rows.schema for name, rows in (relations or {}).items()}
        query = translate(parsed, schemas, parameters)
        connection = connect(self._limits)
        self._make_readable(connection, states, relations or {})
        untranslated = prepare(connection, query.uses)
        allow_only_files_of(connection, states)
        try:
            reader = self._limits.read(
                connection, query.sql, list(parameters) if parameters else None, BATCH_ROWS
            )
            return _with_query(reader, sql, untranslated)
        except duckdb.Error as exc:
            raise _query_error(exc, sql) from exc

    def columns(self, table: TableName, *, at: Staged | str | None = None) -> pa.Schema:
        """Return the names and types of a table's columns, in order."""
        return self._store.state(table, at).arrow_schema

    def tables(self, sql: str, *, relations: Iterable[str] = ()) -> set[TableName]:
        """Return the tables that a SELECT reads (see :class:`phlo.protocols.QueryEngine`)."""
        from phlo_iceberg.read.dialect.translation import parse

        return set(parse(sql, frozenset(relations), self._catalog_name).tables)

    def examine(self, query: ProjectQuery) -> list[SqlFinding]:
        """Tell what engines do not answer alike (see :class:`phlo.protocols.SqlExaminer`)."""
        from phlo_iceberg.read.dialect.examine import examine_duckdb, examine_trino

        if query.dialect == self.dialect:
            return examine_duckdb(query.sql)
        return examine_trino(query.sql, self._catalog_name, self.columns)

    def register(
        self,
        connection: duckdb.DuckDBPyConnection,
        tables: Mapping[TableName, Staged | str | None],
        *,
        relations: Mapping[str, ds.Dataset] | None = None,
    ) -> list[TableState]:
        """Make tables readable by name in a DuckDB connection.

        Args:
            connection: Views are made or replaced in it.
            tables: What to read of each table: a stage, a ref, or ``None`` for ``main``.
            relations: Further tables by bare name.

        Returns:
            The states now readable.
        """
        states = [self._store.state(name, at) for name, at in tables.items()]
        self._make_readable(connection, states, relations or {})
        return states

    def _make_readable(
        self,
        connection: duckdb.DuckDBPyConnection,
        states: Sequence[TableState],
        relations: Mapping[str, ds.Dataset],
    ) -> None:
        for name, rows in relations.items():
            connection.register(name, rows)
        for state in states:
            self._create_view(connection, state)

    def _create_view(self, connection: duckdb.DuckDBPyConnection, state: TableState) -> None:
        use_object_store(connection, state.io, state.metadata.location)
        connection.execute(
            sql("CREATE SCHEMA IF NOT EXISTS {s}", s=Identifier(state.name.namespace))
        )
        rows = state.relation(state.all_tasks)
        connection.execute(
            sql("CREATE OR REPLACE VIEW {v} AS {rows}", v=quote_table(state.name), rows=rows)
        )


def _with_query(
    reader: pa.RecordBatchReader, text: str, untranslated: Sequence[Exception]
) -> pa.RecordBatchReader:
    """Name the query in errors that its rows raise while they are read.

    Args:
        reader: Reads the rows.
        text: The query.
        untranslated: What a function could not read of the rows so far; TRY took it for null.
    """

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            for batch in reader:
                _raise_first(untranslated, text)
                yield batch
            _raise_first(untranslated, text)
        except (duckdb.Error, pa.ArrowException, OSError) as exc:
            raise _query_error(exc, text) from exc

    return pa.RecordBatchReader.from_batches(reader.schema, batches())


def _raise_first(errors: Sequence[Exception], text: str) -> None:
    if errors:
        raise _query_error(errors[0], text) from errors[0]


def _query_error(exc: Exception, text: str) -> Exception:
    """Return why a query failed: a file, a service, the machine, or the query itself."""
    explained = explain(exc)
    if explained is not exc:
        return explained
    from phlo_iceberg.read.dialect.row_errors import describe_row_error

    message = describe_row_error(str(exc), text)
    return QueryError(f"The query failed: {message}", got=text, expected="valid SQL")
