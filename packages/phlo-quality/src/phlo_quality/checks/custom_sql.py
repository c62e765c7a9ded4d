"""Whatever SQL can say."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from phlo.errors import QueryError
from phlo.sql import Sql, sql

from phlo_quality.arguments import refuse
from phlo_quality.checks.base import QueryCheck
from phlo_quality.results import QualityCheckResult

if TYPE_CHECKING:
    from phlo.checks import Severity

    from phlo_quality.rows import JudgedRows, Reader


class CustomSQLCheck(QueryCheck):
    """A query gives the expected value.

    The query runs as it is written, over whole tables: the suite's scope does not narrow it. In
    an audit it reads the staged state of the suite's table.

    Args:
        query: One SELECT in Trino's dialect that gives one row of one column. Tables are
            ``namespace.table``; files and network cannot be reached.
        expected_result: The value expected; ``None`` expects null. Floating-point results may
            differ in the last digits (one part in 10^9).
        description: One sentence for people; it also tells apart several checks of a suite.
        name: Its name in Dagster.
        severity: ``error`` or ``warn``; ``None`` takes the suite's.

    Raises:
        InvalidArgumentError: The query is empty.

    Source: developer guide, "Built-in Checks".
    """

    def __init__(
        self,
        query: str,
        expected_result: Any,
        description: str = "",
        *,
        name: str | None = None,
        severity: Severity | str | None = None,
    ) -> None:
        super().__init__(name=name, severity=severity, description=description)
        if not isinstance(query, str) or not query.strip(" \t\r\n;"):
            refuse(self, "query", query, "one SELECT")
        self.query = Sql(query.strip().rstrip(";"))
        self.expected_result = expected_result

    @property
    def label(self) -> str:
        """The description, as far as a name can hold it."""
        return re.sub(r"\W+", "_", self.description.lower()).strip("_")[:60]

    def run(self, rows: JudgedRows, reader: Reader, context: Any) -> QualityCheckResult:
        """Run the query and compare its one value."""
        result = _only_value(reader.rows(self.query))
        count = reader.rows(sql("SELECT count(*) AS n FROM {table}", table=rows.table))
        passed = _is_same(result, self.expected_result)
        return QualityCheckResult(
            passed=passed,
            message=f"The query gave {result}; {self.expected_result} expected.",
            row_count=count[0]["n"],
            metrics={"result": result, "expected_result": self.expected_result},
            sql=self.query,
            scope="table",
        )


def _only_value(found: list[dict[str, Any]]) -> Any:
    if len(found) != 1 or len(found[0]) != 1:
        columns = len(found[0]) if found else "no"
        raise QueryError(
            f"The query gave {len(found)} rows of {columns} columns.",
            got=f"{len(found)} rows",
            expected="one row of one column",
            hint="Aggregate it, as in SELECT COUNT(*) FROM ...",
        )
    return next(iter(found[0].values()))


def _is_same(result: Any, expected: Any) -> bool:
    if isinstance(result, float) and isinstance(expected, int | float):
        return math.isclose(result, expected, rel_tol=1e-9) or result == expected
    return result == expected
