"""Text of a certain form."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from phlo.sql import Identifier, Sql, sql

from phlo_quality.arguments import column_name, refuse
from phlo_quality.checks.base import CheckOptions, RowCheck
from phlo_quality.results import SAMPLE_ROWS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phlo_quality.results import QualityCheckResult
    from phlo_quality.rows import JudgedRows, Reader


class PatternCheck(RowCheck):
    r"""Every text matches a regular expression as a whole; null passes, the empty text is judged.

    Args:
        column: A column of text.
        pattern: A regular expression as Python's ``re.fullmatch`` takes it. What SQL engines do
            not know, such as lookaround, is judged in Python on the column's different values.
        allow_threshold: Share of rows (0-1) that may fail.
        **options: ``name``, ``severity``, ``description``.

    Raises:
        InvalidArgumentError: ``pattern`` is no regular expression.

    Example:
        >>> PatternCheck(column="zip", pattern=r"\d{5}").label
        'zip'
    """

    is_row_rule = True

    verb = "do not match the pattern"

    def __init__(
        self,
        column: str,
        pattern: str,
        allow_threshold: float = 0.0,
        **options: Unpack[CheckOptions],
    ) -> None:
        super().__init__(allow_threshold=allow_threshold, **options)
        self.column = column_name(self, "column", column)
        self.columns = (column,)
        try:
            re.compile(pattern)
        except (re.error, TypeError) as exc:
            refuse(self, "pattern", pattern, "a regular expression", f"It does not compile: {exc}.")
        self.pattern = pattern

    def violation(self, rows: JudgedRows) -> Sql:
        """Hold where there is text that does not match from its first to its last character."""
        rows.family(self.column, "text", by=self)
        return sql("NOT regexp_like({c}, {p})", c=Identifier(self.column), p=self._in_sql())

    def measures(self, rows: JudgedRows) -> Mapping[str, Sql]:
        """Count failing rows, where SQL knows the pattern."""
        rows.family(self.column, "text", by=self)
        return super().measures(rows) if self._in_sql() else {}

    def examine(
        self, measured: Mapping[str, Any], rows: JudgedRows, reader: Reader
    ) -> QualityCheckResult:
        """Judge as the base does; where SQL lacks the pattern, compare every different value."""
        if self._in_sql():
            return super().examine(measured, rows, reader)
        failing = self._failing_values(rows, reader)
        counted = {**measured, "failed_count": sum(failing.values())}
        result = self.judge(counted)
        if not result.failed:
            return result
        some = list(failing)[:SAMPLE_ROWS]
        query = sql("{c} IN ({values})", c=Identifier(self.column), values=some)
        return replace(result, sample=reader.sample(rows.where(query)))

    def metrics(self, measured: Mapping[str, Any]) -> dict[str, Any]:
        """Return the pattern, beside the counts."""
        return {"pattern": self.pattern, **super().metrics(measured)}

    def _in_sql(self) -> str | None:
        from phlo.contract.patterns import (
            to_sql_pattern,  # loads pyarrow, which declaring a check spares
        )

        return to_sql_pattern(self.pattern, "whole")

    def _failing_values(self, rows: JudgedRows, reader: Reader) -> dict[str, int]:
        """Return values that do not match, with the number of rows that have them."""
        matches = re.compile(self.pattern).fullmatch
        query = sql(
            "SELECT {c} AS v, count(*) AS n FROM {rows} WHERE {c} IS NOT NULL GROUP BY {c}",
            c=Identifier(self.column),
            rows=rows.judged,
        )
        return {row["v"]: row["n"] for row in reader.rows(query) if not matches(row["v"])}
