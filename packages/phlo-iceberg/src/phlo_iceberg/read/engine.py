"""The embedded query engine: DuckDB over Iceberg tables, SQL in Trino's dialect."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import duckdb
import sqlglot
from phlo.config import get_settings
from phlo.errors import QueryError
from phlo.limits import QueryLimits
from phlo.names import TableName
from phlo.sql import Identifier, quote_table, sql
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import traverse_scope

from phlo_iceberg.read.state import TableState, allow_only, connect, use_object_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa
    import pyarrow.dataset as ds
    from phlo.protocols import Staged

BATCH_ROWS = 100_000


class States(Protocol):
    """Where the engine finds the state of a table: the store."""

    def state(self, table: TableName, at: Staged | str | None = None) -> TableState:
        """See :meth:`phlo_iceberg.store.IcebergStore.state`."""
        ...


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
        text, tables = translate(sql, frozenset(relations or ()), self._catalog_name)
        connection = connect(self._limits)
        states = self.register(
            connection, {t: (at or {}).get(t) for t in tables}, relations=relations
        )
        connection.execute("SET integer_division = true")
        allow_only(connection, states)
        try:
            return self._limits.read(connection, text, parameters or None, BATCH_ROWS)
        except duckdb.Error as exc:
            raise QueryError(f"The query failed: {exc}", got=sql, expected="valid SQL") from exc

    def columns(self, table: TableName, *, at: Staged | str | None = None) -> pa.Schema:
        """Names and types of a table's columns, in order."""
        return self._store.state(table, at).arrow_schema

    def tables(self, sql: str, *, relations: Iterable[str] = ()) -> set[TableName]:
        """The tables that a SELECT reads (see :class:`phlo.protocols.QueryEngine`)."""
        return set(translate(sql, frozenset(relations), self._catalog_name)[1])

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
        for name, rows in (relations or {}).items():
            connection.register(name, rows)
        states = [self._store.state(name, at) for name, at in tables.items()]
        for state in states:
            self._create_view(connection, state)
        return states

    def _create_view(self, connection: duckdb.DuckDBPyConnection, state: TableState) -> None:
        use_object_store(connection, state.io, state.metadata.location)
        connection.execute(
            sql("CREATE SCHEMA IF NOT EXISTS {s}", s=Identifier(state.name.namespace))
        )
        rows = state.relation(state.all_tasks)
        connection.execute(
            sql("CREATE OR REPLACE VIEW {v} AS {rows}", v=quote_table(state.name), rows=rows)
        )


@lru_cache(maxsize=64)  # an audit asks for the tables of each query that it runs
def translate(
    text: str, relations: frozenset[str], catalog: str
) -> tuple[str, frozenset[TableName]]:
    """DuckDB's text of one SELECT in Trino's dialect, and the tables that it reads.

    Raises:
        QueryError: It cannot be parsed, is no SELECT, or reads what is no table of the catalog.
    """
    statement = parse_select(text)
    tables = find_tables(statement, relations, catalog)
    return statement.sql(dialect="duckdb"), frozenset(tables)


def parse_select(text: str) -> exp.Query:
    """Parse one SELECT in Trino's dialect.

    Raises:
        QueryError: It is not SQL, not one statement, or not a SELECT.
    """
    try:
        statements = [s for s in sqlglot.parse(text, read="trino") if s is not None]
    except SqlglotError as exc:
        raise QueryError(
            f"The query cannot be parsed: {exc}", got=text, expected="SQL in Trino's dialect"
        ) from exc
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise QueryError(
            "A query is one SELECT.", got=text, expected="one statement that only reads"
        )
    return statements[0]


def find_tables(statement: exp.Query, relations: frozenset[str], catalog: str) -> set[TableName]:
    """The tables a statement reads; their catalog part is taken off in place.

    Raises:
        QueryError: A name without namespace that is no relation, or of another catalog.
    """
    found: set[TableName] = set()
    for scope in traverse_scope(statement):
        for source in scope.tables:
            if _is_local(source, scope.sources, relations):
                continue
            found.add(_table_name(source, catalog))
    return found


def _is_local(source: exp.Table, sources: Mapping[str, object], relations: frozenset[str]) -> bool:
    if isinstance(source.this, exp.Func | exp.Anonymous):
        raise QueryError(
            f"A query reads tables of the catalog, not {source.this.sql(dialect='trino')}.",
            got=source.sql(dialect="trino"),
            expected="namespace.table",
        )
    if source.db:
        return False
    is_cte = not isinstance(sources.get(source.alias_or_name), exp.Table)
    return is_cte or source.name in relations


def _table_name(source: exp.Table, catalog: str) -> TableName:
    if not source.db:
        raise QueryError(
            f"Table {source.name!r} has no namespace.",
            got=repr(source.name),
            expected="namespace.table",
            hint=f"Write bronze.{source.name}, or the namespace it is in.",
        )
    if source.catalog:
        if source.catalog not in (catalog, "iceberg"):
            raise QueryError(
                f"There is no catalog {source.catalog!r}.",
                got=source.sql(dialect="trino"),
                expected=f"a table of the catalog {catalog!r}",
            )
        source.set("catalog", None)
    return TableName(source.db, source.name)
