"""Recent data."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any, Unpack

from phlo.sql import Identifier, Sql, sql

from phlo_quality.arguments import column_name, is_number, refuse
from phlo_quality.checks.base import CheckOptions, SqlCheck
from phlo_quality.results import QualityCheckResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phlo.values import TableStatistics

    from phlo_quality.rows import JudgedRows

MAX_HOURS_AHEAD = 24
"""How far in the future the newest value may be: as far as local times are from UTC, and a day
that has just begun elsewhere."""


class FreshnessCheck(SqlCheck):
    """The newest value of a column is recent; an empty table is not fresh.

    A newest value more than 24 hours ahead fails: one wrong timestamp in the future would hide
    that nothing arrives any more.

    Always judges the whole table, and takes no part in audits: withholding rows cures no
    staleness.

    Args:
        column: A timestamp (without a zone: UTC) or a date (its first moment, UTC).
        max_age_hours: Age in hours, of the newest value, that is still fresh.
        **options: ``name``, ``severity``, ``description``.

    Raises:
        InvalidArgumentError: ``max_age_hours`` is not positive.

    Source: developer guide, "Built-in Checks".
    """

    audits = False

    def __init__(self, column: str, max_age_hours: float, **options: Unpack[CheckOptions]) -> None:
        super().__init__(**options)
        self.column = column_name(self, "column", column)
        self.columns = (column,)
        if not is_number(max_age_hours) or not max_age_hours > 0:
            refuse(self, "max_age_hours", max_age_hours, "a positive number of hours")
        self.max_age_hours = max_age_hours

    def measures(self, rows: JudgedRows) -> Mapping[str, Sql]:
        """Measure the newest value and the number of rows, of the whole table."""
        rows.family(self.column, "time", by=self)
        newest = sql("max({c})", c=Identifier(self.column))
        return {"newest": rows.over_whole(newest), "rows": rows.over_whole(Sql("count(*)"))}

    def judge(self, measured: Mapping[str, Any]) -> QualityCheckResult:
        """Compare the age of the newest value with the limit."""
        newest, row_count = measured["newest"], measured["rows"]
        if newest is None:
            what = f"column {self.column!r} has no value" if row_count else "the table is empty"
            return QualityCheckResult(
                False, message=f"Not fresh: {what}.", row_count=row_count, scope="table"
            )
        age_hours = (datetime.now(UTC) - _moment(newest)).total_seconds() / 3600
        age = f"{age_hours:,.1f} hours old" if age_hours >= 0 else f"{-age_hours:,.1f} hours ahead"
        return QualityCheckResult(
            passed=-MAX_HOURS_AHEAD <= age_hours <= self.max_age_hours,
            message=f"The newest {self.column!r} is {age}; at most {self.max_age_hours:g} hours "
            f"of age expected, and at most {MAX_HOURS_AHEAD} hours ahead.",
            row_count=row_count,
            scope="table",
            metrics={
                "newest": _moment(newest).isoformat(),
                "age_hours": round(age_hours, 3),
                "max_age_hours": self.max_age_hours,
            },
        )

    def known(self, statistics: TableStatistics, rows: JudgedRows) -> Mapping[str, Any] | None:
        """Take the newest value from the bounds in the table's metadata."""
        bounds = statistics.columns.get(self.column)
        if bounds is None or bounds.upper is None:
            return None
        return {"newest": bounds.upper, "rows": statistics.row_count}


def _moment(value: date | datetime) -> datetime:
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return value if value.tzinfo else value.replace(tzinfo=UTC)
