"""What all reconciliation checks share: two tables, narrowed, that may differ so far."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypedDict

from phlo.names import TableName
from phlo.sql import Sql, identifiers, sql

from phlo_quality.arguments import column_name, expression
from phlo_quality.checks.base import QueryCheck, count_where
from phlo_quality.reconciliation.compare import Tolerance
from phlo_quality.results import QualityCheckResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from phlo.checks import Severity

    from phlo_quality.reconciliation.queries import Side
    from phlo_quality.rows import JudgedRows, Reader


class ReconciliationOptions(TypedDict, total=False):
    """Arguments that every reconciliation check takes, all optional.

    Attributes:
        target_table: The table that must agree, ``namespace.table``; the suite's by default.
        partition_column: Narrows each side that has it to the run's partition.
        tolerance: Allowed difference as a share (0-1) of the source.
        absolute_tolerance: Allowed difference in rows or units; within either is enough.
        where_clause: SQL condition that narrows both sides.
        name: Its name in Dagster.
        severity: ``error`` or ``warn``; ``None`` takes the suite's.
        description: One sentence for people.
    """

    target_table: str | None
    partition_column: str | None
    tolerance: float
    absolute_tolerance: float
    where_clause: str | None
    name: str | None
    severity: Severity | str | None
    description: str | None


class TwoTableCheck(QueryCheck):
    """A check that compares a target with its source."""

    def __init__(self, source_table: str, options: ReconciliationOptions) -> None:
        unknown = sorted(set(options) - set(ReconciliationOptions.__annotations__))
        if unknown:
            raise TypeError(f"{type(self).__name__} takes no argument {unknown[0]!r}")
        super().__init__(
            name=options.get("name"),
            severity=options.get("severity"),
            description=options.get("description"),
        )
        self.source_table = TableName.parse(source_table)
        target = options.get("target_table")
        self.target_table = None if target is None else TableName.parse(target)
        self.partition_column = _optional_column(self, options.get("partition_column"))
        self.tolerance = Tolerance.of(
            self, options.get("tolerance", 0.0), options.get("absolute_tolerance", 0)
        )
        self.where_clause = _condition(self, options.get("where_clause"))

    def run(self, rows: JudgedRows, reader: Reader, context: Any) -> QualityCheckResult:
        """Compare the two tables, narrowed to the run's partition where they have the column."""
        source, target = self._sides(rows, reader)
        result = self.compare(source, target, reader)
        if result.metrics["source_rows"] == result.metrics["target_rows"] == 0:
            result = QualityCheckResult.skipped("no data on either side")
        return replace(result, scope=scope_of(source, target, rows))

    def compare(self, source: Side, target: Side, reader: Reader) -> QualityCheckResult:
        """Judge two sides that are read already.

        Returns:
            A result whose metrics have ``source_rows`` and ``target_rows``.
        """
        raise NotImplementedError

    def written_queries(self, table: TableName) -> Sequence[Sql]:
        """Return queries that narrow both sides by the condition."""
        if self.where_clause is None:
            return ()
        tables = (self.source_table, self.target_table or table)
        condition = Sql(self.where_clause)
        return [sql("SELECT 1 AS one FROM {t} WHERE {c}", t=t, c=condition) for t in tables]

    def _sides(self, rows: JudgedRows, reader: Reader) -> tuple[Side, Side]:
        from phlo_quality.reconciliation.queries import Side  # loads pyarrow

        source, target = (
            Side.read(
                table,
                reader,
                partition=rows.partition,
                partition_column=self.partition_column,
                where_clause=self.where_clause,
            )
            for table in (self.source_table, self.target_table or rows.table)
        )
        return source, target

    def judged_sides(self, source: Side, target: Side) -> dict[str, Any]:
        """Return what every result tells of the two sides."""
        return {
            "source_table": str(source.rows.table),
            "target_table": str(target.rows.table),
            "tolerance": self.tolerance.share,
            "absolute_tolerance": self.tolerance.absolute,
        }


def count_differences(reader: Reader, query: Sql, conditions: Mapping[str, Sql]) -> dict[str, int]:
    """Count paired rows by condition, and the rows behind them.

    Args:
        reader: Answers SQL.
        query: Paired rows, with ``source_rows`` and ``target_rows``.
        conditions: What to count, by name.

    Returns:
        A count per name, and the sums ``source_rows`` and ``target_rows``; no null.
    """
    sums = [sql("coalesce(sum({n}), 0) AS {n}", n=n) for n in identifiers(_SIDES)]
    names = list(conditions)
    counts = [
        sql("{c} AS {n}", c=count_where(conditions[name]), n=f)
        for name, f in zip(names, identifiers(f"c{n}" for n in range(len(names))), strict=True)
    ]
    (row,) = reader.rows(sql("SELECT {v} FROM ({q})", v=[*sums, *counts], q=query))
    return {name: int(row[name]) for name in _SIDES} | {
        name: int(row[f"c{number}"]) for number, name in enumerate(names)
    }


_SIDES = ("source_rows", "target_rows")


def differing_rows(query: Sql, condition: Sql, order_by: Sequence[str]) -> Sql:
    """Build a query for the paired rows that differ, in the order of their groups."""
    differing = sql("SELECT * FROM ({q}) WHERE {c}", q=query, c=condition)
    if not order_by:
        return differing
    return sql("{q} ORDER BY {o}", q=differing, o=identifiers(order_by))


def scope_of(source: Side, target: Side, rows: JudgedRows) -> str:
    """Return which rows were compared, for people."""
    filtered = [str(side.rows.table) for side in (source, target) if side.is_filtered]
    return f"partition {rows.partition} of {' and '.join(filtered)}" if filtered else "table"


def _optional_column(check: object, name: str | None) -> str | None:
    return None if name is None else column_name(check, "partition_column", name)


def _condition(check: object, clause: str | None) -> Sql | None:
    return None if clause is None else expression(check, "where_clause", clause)
