"""The number of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from phlo.words import counted

from phlo_quality.arguments import refuse
from phlo_quality.checks.base import CheckOptions, SqlCheck
from phlo_quality.results import QualityCheckResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phlo.sql import Sql
    from phlo.values import TableStatistics

    from phlo_quality.rows import JudgedRows


class CountCheck(SqlCheck):
    """The number of judged rows is within bounds, both inclusive; judged over zero rows too.

    Args:
        min_count: Fewest rows allowed; ``None``: no lower bound.
        max_count: Most rows allowed; ``None``: no upper bound.
        **options: ``name``, ``severity``, ``description``.

    Raises:
        InvalidArgumentError: No bound, a negative one, or a lower bound above the upper one.

    Source: developer guide, "Built-in Checks".
    """

    is_row_rule = True

    def __init__(
        self,
        min_count: int | None = None,
        max_count: int | None = None,
        **options: Unpack[CheckOptions],
    ) -> None:
        super().__init__(**options)
        for argument, bound in (("min_count", min_count), ("max_count", max_count)):
            if bound is not None and (type(bound) is not int or bound < 0):
                refuse(self, argument, bound, "a whole number of at least 0")
        if min_count is None and max_count is None:
            refuse(self, "min_count", None, "a number of rows, here or in max_count")
        if min_count is not None and max_count is not None and min_count > max_count:
            refuse(self, "min_count", min_count, f"at most max_count={max_count}")
        self.min_count, self.max_count = min_count, max_count

    def measures(self, rows: JudgedRows) -> Mapping[str, Sql]:
        """Measure nothing further: the row count is always there."""
        return {}

    def judge(self, measured: Mapping[str, Any]) -> QualityCheckResult:
        """Compare the count with the bounds."""
        count = measured["row_count"]
        low, high = self.min_count, self.max_count
        return QualityCheckResult(
            passed=(low is None or count >= low) and (high is None or count <= high),
            message=f"{counted(count, 'row')}; {self._bounds()} expected.",
            row_count=count,
            metrics={"min_count": low, "max_count": high},
        )

    def known(self, statistics: TableStatistics, rows: JudgedRows) -> Mapping[str, Any]:
        """Take the count from the table's metadata."""
        return {}

    def _bounds(self) -> str:
        if self.max_count is None:
            return f"at least {self.min_count:,}"
        if self.min_count is None:
            return f"at most {self.max_count:,}"
        return f"{self.min_count:,} to {self.max_count:,}"
