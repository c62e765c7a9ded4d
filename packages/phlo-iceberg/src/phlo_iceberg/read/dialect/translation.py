"""One query of a user, from Trino's dialect to what DuckDB runs."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from phlo.errors import QueryError
from phlo.names import TableName
from phlo.sql import quote_identifier, quote_table
from sqlglot import exp
from sqlglot.optimizer.scope import traverse_scope

from phlo_iceberg.read.dialect import types as t
from phlo_iceberg.read.dialect.parser import MARK, as_written, parse_select
from phlo_iceberg.read.dialect.queries import Context, Output, translate_query
from phlo_iceberg.read.dialect.rules import MAY_DIFFER, TABLESAMPLE, WITHOUT_ORDER
from phlo_iceberg.read.dialect.values import refuse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

logger = logging.getLogger(__name__)

KNOWN_QUERIES = 256
"""Queries whose translation is kept: checks and audits ask the same ones again."""


@dataclass(frozen=True)
class Parsed:
    """A query that is parsed, and whose tables are known.

    Attributes:
        text: As the user wrote it.
        statement: Its tree.
        tables: The tables that it reads.
    """

    text: str
    statement: exp.Query
    tables: frozenset[TableName]


@dataclass(frozen=True)
class Translated:
    """A query for DuckDB.

    Attributes:
        sql: Its text, with ``$1``, ``$2``, ... for parameters.
        uses: Macros and Python functions to make in the connection.
        columns: Names and types that Trino gives.
    """

    sql: str
    uses: frozenset[str]
    columns: tuple[Output, ...]


@lru_cache(maxsize=KNOWN_QUERIES)
def parse(text: str, relations: frozenset[str], catalog: str) -> Parsed:
    """Parse one SELECT and find its tables.

    Args:
        text: SQL in Trino's dialect.
        relations: Bare names that are no tables of the catalog.
        catalog: A first part of names that is taken for the catalog.

    Raises:
        QueryError: It cannot be parsed, is no SELECT, or reads what is no table of the catalog.
    """
    statement = parse_select(text)
    return Parsed(text, statement, frozenset(find_tables(statement, relations, catalog)))


Schemas = tuple[tuple[TableName | str, "pa.Schema"], ...]


def translate(
    query: Parsed,
    schemas: Mapping[TableName | str, pa.Schema],
    parameters: Sequence[Any] | None = None,
) -> Translated:
    """Translate a query over tables whose columns are known.

    Args:
        query: The parsed query.
        schemas: Columns of each table, and of each relation by its bare name.
        parameters: Values for ``?``; their types matter.

    Raises:
        QueryError: A construct has no rule, or its types do not fit, as Trino would say too.
    """
    kinds = tuple(type_of_value(value) for value in parameters or ())
    return _translated(_ById(query), tuple(schemas.items()), kinds)


class _ById:
    """A parsed query, equal to one of the same text: trees are slow to compare."""

    def __init__(self, query: Parsed) -> None:
        self.query = query

    def __hash__(self) -> int:
        return hash(self.query.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and (
            (self.query.text, self.query.tables) == (other.query.text, other.query.tables)
        )


@lru_cache(maxsize=KNOWN_QUERIES)
def _translated(query: _ById, schemas: Schemas, parameters: tuple[t.Type, ...]) -> Translated:
    outputs = {
        name if isinstance(name, TableName) else name.lower(): (name, columns_of(schema))
        for name, schema in schemas
    }

    def table(node: exp.Table) -> tuple[str, list[Output]]:
        name = TableName(node.db, node.name) if node.db else node.name.lower()
        held, columns = outputs[name]
        return (
            quote_table(held) if isinstance(held, TableName) else quote_identifier(held)
        ), columns

    outermost = query.query.statement  # its LIMIT is a look at some rows: nobody is warned
    for construct, reason in differing_constructs(query.query, unless=outermost).items():
        logger.warning("%s may differ on Trino: %s", construct, reason)
    context = Context(table, parameters, set())
    try:
        text, columns = translate_query(query.query.statement, context)
    except QueryError:
        raise
    except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as exc:
        raise refuse("this query", "A part of it has a form that no rule knows.") from exc
    return Translated(text, frozenset(context.uses), tuple(columns))


@lru_cache(maxsize=KNOWN_QUERIES)
def columns_of(schema: pa.Schema) -> list[Output]:
    """Return the columns that Trino sees in an Arrow schema."""
    return [Output(field.name, t.from_arrow(field.type)) for field in schema]


def type_of_value(value: Any) -> t.Type:
    """Return the type that a Python value has as a parameter of a query."""
    match value:
        case None:
            return t.VARCHAR
        case bool():
            return t.BOOLEAN
        case int():
            return t.BIGINT
        case float():
            return t.DOUBLE
        case Decimal():
            scale = max(-int(value.as_tuple().exponent), 0) if value.is_finite() else 0
            return t.decimal(t.MAX_DIGITS, scale)
        case str():
            return t.VARCHAR
        case bytes():
            return t.VARBINARY
        case datetime():
            return t.timestamp(6) if value.tzinfo is None else t.timestamptz(6)
        case date():
            return t.DATE
    raise QueryError(
        f"A {type(value).__name__} cannot be a parameter of a query.",
        got=repr(value),
        expected="text, a number, a boolean, a date, a datetime, bytes or None",
    )


def differing_constructs(query: Parsed, *, unless: exp.Expr | None = None) -> dict[str, str]:
    """Name what the engines may answer differently in a query, each with why.

    Args:
        query: The query.
        unless: A part whose own LIMIT and OFFSET are not named.
    """
    constructs: dict[str, str] = {}
    for node in query.statement.walk():
        match node:
            case exp.Anonymous() if node.name.startswith(MARK):
                constructs |= _differing_call(node, node.name.removeprefix(MARK).lower())
            case exp.Query() if _takes_any_rows(node) and node is not unless:
                words = [word for word in ("LIMIT", "OFFSET") if node.args.get(word.lower())]
                constructs |= {f"{word} without ORDER BY": WITHOUT_ORDER[word] for word in words}
            case exp.TableSample():
                constructs["TABLESAMPLE"] = TABLESAMPLE
    return constructs


def _takes_any_rows(query: exp.Query) -> bool:
    return not query.args.get("order") and not query.find_ancestor(exp.Exists)


_SORTING = ("array_sort", "cardinality")
"""Functions that give the same of an array in every order."""


def _differing_call(call: exp.Anonymous, name: str) -> dict[str, str]:
    if name in MAY_DIFFER:
        return {name: MAY_DIFFER[name]}
    if name not in WITHOUT_ORDER or any(isinstance(a, exp.Order) for a in call.expressions):
        return {}
    around = call.parent.parent if isinstance(call.parent, exp.IgnoreNulls) else call.parent
    is_window = isinstance(around, exp.Window)
    if is_window and (around.args.get("order") or around.args.get("alias")):
        return {}
    is_sorted = isinstance(around, exp.Anonymous) and around.name.removeprefix(MARK) in _SORTING
    return {} if is_sorted else {f"{name} without ORDER BY": WITHOUT_ORDER[name]}


def find_tables(statement: exp.Query, relations: frozenset[str], catalog: str) -> set[TableName]:
    """Find the tables a statement reads; their catalog part is taken off in place.

    Raises:
        QueryError: A name without namespace that is no relation, or of another catalog.
    """
    tables: set[TableName] = set()
    for scope in traverse_scope(statement):
        for source in scope.tables:
            if not _is_local(source, scope.sources, relations):
                tables.add(_table_name(source, catalog))
    return tables


def _is_local(source: exp.Table, sources: Mapping[str, object], relations: frozenset[str]) -> bool:
    if isinstance(source.this, exp.Func | exp.Anonymous):
        raise QueryError(
            f"A query reads tables of the catalog, not {as_written(source.this)}.",
            got=str(as_written(source)),
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
