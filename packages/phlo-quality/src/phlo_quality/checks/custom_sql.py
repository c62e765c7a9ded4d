"""Whatever SQL can say."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from phlo.errors import QueryError
from phlo.sql import Sql, sql
from phlo.words import counted

from phlo_quality.arguments import refuse
from phlo_quality.checks.base import QueryCheck
from phlo_quality.results import QualityCheckResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from phlo.checks import Severity
    from phlo.names import TableName

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

    def written_queries(self, table: TableName) -> Sequence[Sql]:
        """Return the query."""
        return (self.query,)

    def run(self, rows: JudgedRows, reader: Reader, context: Any) -> QualityCheckResult:
        """Run the query and compare its one value."""
        answer = reader.arrow(self.query)
        result = _only_value(answer)
        count = reader.rows(sql("SELECT count(*) AS n FROM {table}", table=rows.table))
        precision = 1e-6 if _is_single(answer) else 1e-9
        passed = is_same(result, self.expected_result, precision)
        return QualityCheckResult(
            passed=passed,
            message=f"The query gave {_shown(result, self.expected_result)}; "
            f"{_shown(self.expected_result, result)} expected.",
            row_count=count[0]["n"],
            metrics={"result": result, "expected_result": self.expected_result},
            sql=self.query,
            scope="table",
        )


def _only_value(answer: pa.Table) -> Any:
    if (answer.num_rows, answer.num_columns) != (1, 1):
        raise QueryError(
            f"The query gave {counted(answer.num_rows, 'row')} of "
            f"{counted(answer.num_columns, 'column')}.",
            got=counted(answer.num_rows, "row"),
            expected="one row of one column",
            hint="Aggregate it, as in SELECT COUNT(*) FROM ...",
        )
    value = answer.column(0)[0].as_py(maps_as_pydicts="strict")
    if hasattr(value, "nanoseconds"):  # an interval; one of months has no length
        return value if value.months else timedelta(value.days, 0, value.nanoseconds // 1000)
    if value is None or not _is_single(answer):
        return value
    return float(answer.column(0).cast("string")[0].as_py())  # with the digits of 32 bits


def _is_single(answer: pa.Table) -> bool:
    return str(answer.schema.field(0).type) == "float"


def is_same(result: Any, expected: Any, precision: float = 1e-9) -> bool:
    """Compare the result of a query with the value expected.

    Args:
        result: A value as Arrow hands it over.
        expected: What the check's author wrote. A float stands for the decimal it is written as.
        precision: Relative difference allowed where the result is a floating-point number.

    Example:
        >>> is_same(Decimal("1.10"), 1.1), is_same(2**53 + 1, 2.0**53)
        (True, False)
    """
    if _is_nan(result) or _is_nan(expected):
        return _is_nan(result) and _is_nan(expected)
    if isinstance(result, float) and isinstance(expected, int | float | Decimal):
        return math.isclose(result, expected, rel_tol=precision) or result == expected
    if isinstance(result, Decimal) and isinstance(expected, float) and math.isfinite(expected):
        is_near = result % 1 != 0 and math.isclose(result, expected, rel_tol=1e-12)
        return result == Decimal(repr(expected)) or is_near
    return result == expected


def _is_nan(value: Any) -> bool:
    return isinstance(value, float | Decimal) and value != value


def _shown(value: Any, other: Any) -> str:
    """Write a value for people, with its type where both would look alike."""
    alike = str(value) == str(other) and type(value) is not type(other)
    return f"{value} ({type(value).__name__})" if alike else str(value)
