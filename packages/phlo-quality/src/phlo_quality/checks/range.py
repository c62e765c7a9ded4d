"""Values within bounds."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import TYPE_CHECKING, Any, Unpack

from phlo.sql import Identifier, Sql, any_of, sql

from phlo_quality.arguments import column_name, refuse
from phlo_quality.checks.base import CheckOptions, RowCheck
from phlo_quality.checks.null import missing_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phlo.values import TableStatistics

    from phlo_quality.rows import JudgedRows

Bound = int | float | Decimal | date | datetime


class RangeCheck(RowCheck):
    """Values within bounds, both inclusive; null and NaN pass.

    Args:
        column: A column of numbers, dates or timestamps.
        min_value: Smallest value allowed; ``None``: no lower bound.
        max_value: Largest value allowed; ``None``: no upper bound. A datetime without a zone is
            UTC.
        allow_threshold: Share of rows (0-1) that may fail.
        **options: ``name``, ``severity``, ``description``.

    Raises:
        InvalidArgumentError: No bound, a bound that is neither number nor time, NaN, bounds of
            different kinds, or a lower bound above the upper one.

    Source: developer guide, "Built-in Checks".
    """

    is_row_rule = True

    verb = "lie outside of the range"

    def __init__(
        self,
        column: str,
        min_value: Bound | None = None,
        max_value: Bound | None = None,
        allow_threshold: float = 0.0,
        **options: Unpack[CheckOptions],
    ) -> None:
        super().__init__(allow_threshold=allow_threshold, **options)
        self.column = column_name(self, "column", column)
        self.columns = (column,)
        self.min_value, self.max_value = _bounds(self, min_value, max_value)

    def violation(self, rows: JudgedRows) -> Sql:
        """Hold where there is a value, and it is below or above."""
        bounds = (("<", self.min_value), (">", self.max_value))
        is_number = "number" in (_kind(self.min_value), _kind(self.max_value))
        rows.family(self.column, "number" if is_number else "time", by=self)
        outside = [
            sql(
                "{c} {op} {b}",
                c=Identifier(self.column),
                op=Sql(op),
                b=rows.comparable(_in_scale(bound, op, rows, self.column), self.column),
            )
            for op, bound in bounds
            if bound is not None
        ]
        has_value = rows.has_values([self.column])
        return sql("{has_value} AND ({outside})", has_value=has_value, outside=any_of(outside))

    def metrics(self, measured: Mapping[str, Any]) -> dict[str, Any]:
        """Return the bounds, beside the counts."""
        bounds = {"min_value": self.min_value, "max_value": self.max_value}
        return {**bounds, **super().metrics(measured)}

    def known(self, statistics: TableStatistics, rows: JudgedRows) -> Mapping[str, Any] | None:
        """Prove by bounds in the metadata that no row fails; a failure is left to the scan."""
        bounds_of_column = statistics.columns.get(self.column)
        if bounds_of_column is None:
            return None
        if missing_in(statistics, rows, self.column) == statistics.row_count:
            return {"failed_count": 0}
        if (
            bounds_of_column.lower is None
            or bounds_of_column.upper is None
            or not self._holds(bounds_of_column.lower, bounds_of_column.upper)
        ):
            return None
        return {"failed_count": 0}

    def _holds(self, lower: Any, upper: Any) -> bool:
        try:
            return (self.min_value is None or lower >= self.min_value) and (
                self.max_value is None or upper <= self.max_value
            )
        except TypeError:  # a date against a timestamp, or zones on one side alone
            return False


def _bounds(
    check: RangeCheck, low: Bound | None, high: Bound | None
) -> tuple[Bound | None, Bound | None]:
    if low is None and high is None:
        refuse(check, "min_value", None, "a bound, here or in max_value")
    for argument, bound in (("min_value", low), ("max_value", high)):
        if bound is not None and _kind(bound) is None:
            refuse(check, argument, bound, "a number, a date or a datetime")
    low, high = _in_utc(low), _in_utc(high)
    if low is not None and high is not None:
        if _kind(low) != _kind(high):
            refuse(check, "max_value", high, f"a {_kind(low)}, as min_value is")
        if low > high:  # pyright: ignore[reportOperatorIssue] - of one kind
            refuse(check, "min_value", low, f"at most max_value={high!r}")
    return low, high


def _in_scale(bound: Bound, op: str, rows: JudgedRows, column: str) -> Bound:
    """Round a bound to the digits that a decimal or whole column can hold.

    The rows outside stay the same: below a lower bound is below the next value the column can
    have, and above an upper bound is above the one before.
    """
    if isinstance(bound, date) or rows.is_float(column) or abs(bound) == math.inf:
        return bound
    exact = Decimal(repr(bound)) if isinstance(bound, float) else Decimal(bound)
    if abs(exact) >= _LIMIT:
        return math.inf if exact > 0 else -math.inf
    step = Decimal(1).scaleb(-rows.scale(column))
    return exact.quantize(step, ROUND_CEILING if op == "<" else ROUND_FLOOR, _CONTEXT)


_DIGITS = 38
_LIMIT = Decimal(10) ** _DIGITS
_CONTEXT = Context(prec=2 * _DIGITS)


def _kind(bound: object) -> str | None:
    if isinstance(bound, datetime):
        return "datetime"
    if isinstance(bound, date):
        return "date"
    if isinstance(bound, bool) or not isinstance(bound, int | float | Decimal):
        return None
    return None if bound != bound else "number"


def _in_utc(bound: Bound | None) -> Bound | None:
    if isinstance(bound, datetime) and bound.tzinfo is None:
        return bound.replace(tzinfo=UTC)
    return bound
