"""Values spread as they were before."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Unpack

from phlo.names import PARTITION_DATE_COLUMN, Partition
from phlo.sql import Identifier, Sql, sql
from phlo.words import counted

from phlo_quality.arguments import column_name, fraction, refuse
from phlo_quality.checks.base import CheckOptions, QueryCheck, count_where
from phlo_quality.results import QualityCheckResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phlo_quality.rows import JudgedRows, Reader


class DistributionCheck(QueryCheck):
    """The values of a partition are spread as those of the days before it.

    Texts and booleans are compared by the share of rows that have each value, null among them;
    numbers by the share of rows at or below the percentiles of the days before. No share may
    change by more than ``max_change``. Skipped where a side has no rows, or the run no partition.

    Args:
        column: A column of texts, booleans or numbers.
        max_change: How far a share (0-1) may move; exactly so far still passes.
        reference_days: Days before the partition that it is compared with.
        percentiles: Where numbers are compared (0-1).
        partition_column: Tells to which day a row belongs.
        **options: ``name``, ``severity``, ``description``.

    Raises:
        InvalidArgumentError: ``max_change`` or a percentile is no share, or there are no days.
    """

    def __init__(
        self,
        column: str,
        max_change: float = 0.1,
        reference_days: int = 7,
        percentiles: Sequence[float] = (0.1, 0.25, 0.5, 0.75, 0.9),
        partition_column: str = PARTITION_DATE_COLUMN,
        **options: Unpack[CheckOptions],
    ) -> None:
        super().__init__(**options)
        self.column = column_name(self, "column", column)
        self.columns = (column,)
        self.max_change = fraction(self, "max_change", max_change)
        if type(reference_days) is not int or reference_days < 1:
            refuse(self, "reference_days", reference_days, "a positive number of days")
        self.reference_days = reference_days
        self.percentiles = tuple(fraction(self, "percentiles", p) for p in percentiles)
        if not self.percentiles:
            refuse(self, "percentiles", percentiles, "one or more shares between 0 and 1")
        self.partition_column = column_name(self, "partition_column", partition_column)

    def run(self, rows: JudgedRows, reader: Reader, context: Any) -> QualityCheckResult:
        """Compare shares of the judged rows with shares of the rows before."""
        if rows.partition is None:
            return QualityCheckResult.skipped("the run has no partition to compare")
        rows.require([self.partition_column])
        is_number = rows.family(self.column, "text", "boolean", "number", by=self) == "number"
        before = self._before(rows, rows.partition)
        judged_count, before_count = (
            self._count(side, rows, reader, is_number=is_number) for side in (rows.judged, before)
        )
        if not judged_count or not before_count:
            return QualityCheckResult.skipped(
                f"{counted(judged_count, 'row')} to compare with {before_count:,} before",
                row_count=judged_count,
            )
        compare = self._by_percentile if is_number else self._by_value
        return self._verdict(compare(rows, before, reader), judged_count, before_count)

    def _before(self, rows: JudgedRows, partition: Partition) -> Sql:
        from phlo_quality.windows import within  # loads pyarrow

        first = partition.date - timedelta(days=self.reference_days)
        window = within(rows, self.partition_column, Partition(first, self.reference_days))
        return sql("(SELECT * FROM {t} WHERE {w})", t=rows.whole, w=window)

    def _count(self, side: Sql, rows: JudgedRows, reader: Reader, *, is_number: bool) -> int:
        """Return the rows of a side that are compared: of numbers those that have a value."""
        condition = rows.has_values([self.column]) if is_number else Sql("TRUE")
        query = sql("SELECT count(*) AS n FROM {r} WHERE {c}", r=side, c=condition)
        return reader.measured(query)[0]["n"]

    def _by_value(self, rows: JudgedRows, before: Sql, reader: Reader) -> list[dict[str, Any]]:
        """Return values with the number of rows that have them, judged and before."""
        column = Identifier(self.column)
        stacked = sql(
            "SELECT {c} AS value, 1 AS judged, 0 AS before FROM {j}"
            " UNION ALL SELECT {c} AS value, 0 AS judged, 1 AS before FROM {b}",
            c=column,
            j=rows.judged,
            b=before,
        )
        sums = Sql("value, sum(judged) AS judged, sum(before) AS before")
        return reader.measured(sql("SELECT {v} FROM ({s}) GROUP BY value", v=sums, s=stacked))

    def _by_percentile(self, rows: JudgedRows, before: Sql, reader: Reader) -> list[dict[str, Any]]:
        """Return percentiles of before, with the numbers of rows at or below them."""
        column, has_value = Identifier(self.column), rows.has_values([self.column])
        ranked = sql(
            "SELECT {c} AS value, row_number() OVER (ORDER BY {c}) AS place, "
            "count(*) OVER () AS n FROM {b} WHERE {has_value}",
            c=column,
            b=before,
            has_value=has_value,
        )
        percentile = (
            "min(value) FILTER (WHERE place = least(CAST(floor({p} * n) AS BIGINT) + 1, n)) AS {n}"
        )
        cuts = [
            sql(percentile, p=float(p), n=Identifier(f"p{n}"))
            for n, p in enumerate(self.percentiles)
        ]
        (at,) = reader.rows(sql("SELECT {cuts} FROM ({r})", cuts=cuts, r=ranked))
        below = [
            sql(
                "{n} AS {name}",
                n=count_where(sql("{c} <= {v}", c=column, v=v)),
                name=Identifier(name),
            )
            for name, v in at.items()
        ]
        (judged,), (past,) = (
            reader.measured(sql("SELECT {m} FROM {r}", m=below, r=r)) for r in (rows.judged, before)
        )
        return [
            {"percentile": p, "value": at[name], "judged": judged[name], "before": past[name]}
            for p, name in zip(self.percentiles, at, strict=True)
        ]

    def _verdict(
        self, rows: list[dict[str, Any]], judged_count: int, before_count: int
    ) -> QualityCheckResult:
        shares = [
            {
                **{name: row[name] for name in ("percentile", "value") if name in row},
                "share": row["judged"] / judged_count,
                "share_before": row["before"] / before_count,
            }
            for row in rows
        ]
        shares.sort(key=_change, reverse=True)
        moved = [row for row in shares if _change(row) > self.max_change + _ROUNDING]
        return QualityCheckResult(
            passed=not moved,
            message=f"The largest change of a share is {_change(shares[0]):.3f}; at most "
            f"{self.max_change:g} expected, compared with {self.reference_days} days before.",
            row_count=judged_count,
            failed_count=len(moved),
            metrics={
                "largest_change": _change(shares[0]),
                "max_change": self.max_change,
                "rows_before": before_count,
            },
            sample=moved,
        )


def _change(row: dict[str, Any]) -> float:
    return abs(row["share"] - row["share_before"])


_ROUNDING = 1e-12
