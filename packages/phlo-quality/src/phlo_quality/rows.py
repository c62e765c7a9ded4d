"""The rows that a suite judges, as checks see them when they write their SQL."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from phlo.errors import ColumnNotFoundError, QueryError, UnsupportedTypeError, nearest, one_of
from phlo.sql import Identifier, Sql, identifiers, quote_table, sql

from phlo_quality.families import Family, family_of
from phlo_quality.results import SAMPLE_ROWS
from phlo_quality.settings import get_quality_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pyarrow.dataset as ds
    from phlo.names import Partition, TableName
    from phlo.protocols import QueryEngine, Staged


@dataclass(frozen=True)
class JudgedRows:
    """Which rows are judged, and what their columns are.

    Attributes:
        table: The table they belong to.
        columns: Names and types of its columns.
        judged: What to put after FROM to read the judged rows; quoted already.
        label: Which rows these are, for people.
        partition: The run's partition, whether or not it narrows the rows.
        whole: What to put after FROM to read the whole table; made from ``table`` if left out.
        columns_of: Gives the columns of another table, in the state that is read.
    """

    table: TableName
    columns: pa.Schema
    judged: Sql
    label: str = "table"
    partition: Partition | None = None
    whole: Sql = Sql()
    columns_of: Callable[[TableName], pa.Schema] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not self.whole:
            object.__setattr__(self, "whole", quote_table(self.table))

    @property
    def is_whole(self) -> bool:
        """Whether the judged rows are the whole table."""
        return self.judged == self.whole

    def of_table(self) -> JudgedRows:
        """Return all rows of the table, which stay readable when delivered rows are gone."""
        return self if self.judged != DELIVERED_RELATION else replace(self, judged=self.whole)

    def of_other(self, table: TableName) -> JudgedRows:
        """Return all rows of another table, for a rule that compares columns with its."""
        assert self.columns_of is not None, "These rows were read without other tables."
        return JudgedRows(table, self.columns_of(table), quote_table(table))

    def require(self, names: Iterable[str]) -> None:
        """Refuse names that are no columns.

        Raises:
            ColumnNotFoundError: Names the column and the nearest ones there are.
        """
        for name in names:
            if name not in self.columns.names:
                raise missing_column(name, self.table, self.columns.names)

    def family(self, column: str, *allowed: str, by: object = None) -> Family:
        """Return the family of a column.

        Args:
            column: Its name.
            *allowed: Families the caller can judge; none allows all.
            by: The caller, for the message.

        Raises:
            UnsupportedTypeError: The column is of another family.
        """
        kind = self.columns.field(column).type
        family = family_of(kind)
        if allowed and family not in allowed:
            raise UnsupportedTypeError(
                f"Column {column!r} of {self.table} holds {family} ({kind}); "
                f"{type(by).__name__} cannot judge that.",
                got=family.value,
                expected=" or ".join(allowed),
                hint="Name another column, or correct the column's type.",
                column=column,
            )
        return family

    def is_float(self, column: str) -> bool:
        """Return whether a column may hold NaN."""
        return pa.types.is_floating(self.columns.field(column).type)

    def scale(self, column: str) -> int:
        """Number of digits after the point that a decimal or whole column holds."""
        kind = self.columns.field(column).type
        return kind.scale if pa.types.is_decimal(kind) else 0  # pyright: ignore[reportAttributeAccessIssue]

    def is_timestamp(self, column: str) -> bool:
        """Return whether a column holds points in time rather than days."""
        return pa.types.is_timestamp(self.columns.field(column).type)

    def has_zone(self, column: str) -> bool:
        """Return whether a column's timestamps have a time zone."""
        return self.is_timestamp(column) and self.columns.field(column).type.tz is not None

    def comparable(self, value: Any, column: str) -> Any:
        """Write a value in a column's own terms, so that SQL compares like with like.

        A number for a decimal or whole column stays exact, one for a 32-bit float is rounded as
        the column's values are, and a time is in the column's zone, not the session's.
        """
        if self.is_float(column) and not isinstance(value, date):
            return self._as_float(value, column)
        if isinstance(value, float) and math.isfinite(value) and not self.is_float(column):
            return Decimal(repr(value))
        if isinstance(value, date) and self.is_timestamp(column):
            moment = value if isinstance(value, datetime) else datetime.combine(value, time())
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return moment if self.has_zone(column) else moment.astimezone(UTC).replace(tzinfo=None)
        return value

    def _as_float(self, value: float | Decimal, column: str) -> Any:
        if abs(value) > sys.float_info.max:
            value = math.inf if value > 0 else -math.inf
        if not pa.types.is_float32(self.columns.field(column).type):
            return value
        return sql("CAST({v} AS REAL)", v=float(value))

    def is_missing(self, column: str) -> Sql:
        """Build a condition that a row has no value in a column: null, or NaN."""
        name = Identifier(column)
        if self.is_float(column):
            return sql("({c} IS NULL OR is_nan({c}))", c=name)
        return sql("{c} IS NULL", c=name)

    def has_values(self, columns: Sequence[str]) -> Sql:
        """Build a condition that a row has values in all of these columns: no null, no NaN."""
        tests = [sql("{c} IS NOT NULL", c=Identifier(column)) for column in columns]
        floats = [Identifier(column) for column in columns if self.is_float(column)]
        return Sql(" AND ".join([*tests, *(sql("NOT is_nan({c})", c=c) for c in floats)]))

    def where(self, condition: Sql) -> Sql:
        """Build a query for the judged rows that meet a condition."""
        return sql("SELECT * FROM {rows} WHERE {c}", rows=self.judged, c=condition)

    def over_whole(self, aggregate: Sql) -> Sql:
        """Build an aggregate of the whole table, whichever rows are judged."""
        if self.is_whole:
            return aggregate
        return sql("(SELECT {a} FROM {whole})", a=aggregate, whole=self.whole)


DELIVERED = "delivered"
"""Bare name under which the engine reads the rows that a stage delivered."""

DELIVERED_RELATION = sql("{d}", d=Identifier(DELIVERED))


def missing_column(name: str, table: TableName, available: Sequence[str]) -> ColumnNotFoundError:
    """Build the error for a column that a table does not have."""
    near = nearest(name, available)
    return ColumnNotFoundError(
        f"{table} has no column {name!r}.",
        got=repr(name),
        expected=one_of(available, near),
        hint=f"Did you mean {near[0]!r}?" if near else "Name a column of the table.",
        column=name,
        available=list(available),
    )


@dataclass(frozen=True)
class Reader:
    """A query engine with the state it reads: stages, branches and delivered rows.

    Attributes:
        engine: Runs the SQL.
        at: What to read instead of published tables.
        relations: Further relations, by bare name.
    """

    engine: QueryEngine
    at: Mapping[TableName, Staged | str] = field(default_factory=dict)
    relations: Mapping[str, ds.Dataset] = field(default_factory=dict)

    @property
    def dialect(self) -> str:
        """The engine's own dialect, for the few functions that only some engines have."""
        return self.engine.dialect

    def arrow(self, statement: Sql) -> pa.Table:
        """Return all rows of a query."""
        return self.engine.query(statement, at=self.at, relations=self.relations).read_all()

    def rows(self, statement: Sql) -> list[dict[str, Any]]:
        """Return all rows of a query, as Python values."""
        return self.arrow(statement).to_pylist()

    def measured(self, statement: Sql) -> list[dict[str, Any]]:
        """Read all rows of a query over aggregates, decimals of whole sums as integers."""
        return [{n: _as_count(v) for n, v in row.items()} for row in self.rows(statement)]

    def sample(self, query: Sql, *, limit: int = SAMPLE_ROWS) -> list[dict[str, Any]]:
        """Read the first rows of a query that has no LIMIT of its own."""
        return self.rows(sql("{query} LIMIT {n}", query=query, n=limit))

    def frame(self, rows: JudgedRows, columns: Sequence[str]) -> pa.Table:
        """Read the judged rows into memory, for checks that SQL cannot express.

        Args:
            rows: The judged rows.
            columns: Columns wanted; none means all.

        Raises:
            QueryError: There are more rows than ``PHLO_QUALITY_MAX_FRAME_ROWS``.
        """
        limit = get_quality_settings().max_frame_rows
        names = identifiers(columns) or Sql("*")
        query = sql("SELECT {c} FROM {r} LIMIT {n}", c=names, r=rows.judged, n=limit + 1)
        table = self.arrow(query)
        if len(table) > limit:
            raise QueryError(
                f"More than {limit:,} rows of {rows.table} ({rows.label}) are to be judged in "
                "memory.",
                got=f"at least {len(table):,} rows",
                expected=f"at most {limit:,}",
                hint="Judge one partition, say the rule in SQL, name the columns it needs, or "
                "raise PHLO_QUALITY_MAX_FRAME_ROWS.",
            )
        return table

    def columns(self, table: TableName) -> pa.Schema:
        """Return the names and types of a table's columns, in the state read."""
        return self.engine.columns(table, at=self.at.get(table))


def _as_count(value: Any) -> Any:
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return int(value)
    return value
