"""No null values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from phlo.sql import Sql, any_of

from phlo_quality.arguments import column_names
from phlo_quality.checks.base import CheckOptions, RowCheck, count_where

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from phlo.values import TableStatistics

    from phlo_quality.rows import JudgedRows


class NullCheck(RowCheck):
    """No null values: a row fails when any of the columns is null or NaN.

    Args:
        columns: Columns that must have a value. The empty string is a value.
        allow_threshold: Share of rows (0-1) that may fail.
        **options: ``name``, ``severity``, ``description``.

    Raises:
        InvalidArgumentError: ``columns`` is no list of different names, or the threshold no share.

    Example:
        >>> NullCheck(columns=["id", "email"]).label
        'id_email'

    Source: developer guide, "Built-in Checks".
    """

    is_row_rule = True

    verb = "lack a value"

    def __init__(
        self,
        columns: Sequence[str],
        allow_threshold: float = 0.0,
        **options: Unpack[CheckOptions],
    ) -> None:
        super().__init__(allow_threshold=allow_threshold, **options)
        self.columns = column_names(self, "columns", columns)

    def violation(self, rows: JudgedRows) -> Sql:
        """Hold where any column is null or NaN."""
        return any_of([rows.is_missing(c) for c in self.columns])

    def measures(self, rows: JudgedRows) -> Mapping[str, Sql]:
        """Count failing rows, and nulls by column."""
        nulls = {c: count_where(rows.is_missing(c)) for c in self.columns}
        return {**super().measures(rows), **nulls_named(nulls)}

    def metrics(self, measured: Mapping[str, Any]) -> dict[str, Any]:
        """Return the guide's ``null_count``, over all columns and by column."""
        by_column = {c: measured[f"nulls.{c}"] for c in self.columns}
        total = sum(by_column.values())
        return {"null_count": total, "null_counts": by_column, **super().metrics(measured)}

    def known(self, statistics: TableStatistics, rows: JudgedRows) -> Mapping[str, Any] | None:
        """Judge by null counts of the metadata; of several columns only "none at all" is exact."""
        nulls = {c: missing_in(statistics, rows, c) for c in self.columns}
        if None in nulls.values() or (len(nulls) > 1 and any(nulls.values())):
            return None
        return {"failed_count": max(n or 0 for n in nulls.values()), **nulls_named(nulls)}


def nulls_named(by_column: Mapping[str, Any]) -> dict[str, Any]:
    """Name measures for a value per column."""
    return {f"nulls.{column}": value for column, value in by_column.items()}


def missing_in(statistics: TableStatistics, rows: JudgedRows, column: str) -> int | None:
    """Return how many values metadata proves missing (null or NaN); ``None``: it proves nothing."""
    counts = statistics.columns.get(column)
    if counts is None or counts.null_count is None:
        return None
    if not rows.is_float(column):
        return counts.null_count
    return None if counts.nan_count is None else counts.null_count + counts.nan_count
