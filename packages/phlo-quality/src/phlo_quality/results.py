"""What a check answers, and how it becomes the result that core knows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from phlo.checks import CheckResult, CheckStatus, Severity
from phlo.errors import InvalidArgumentError
from phlo.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phlo.names import TableName

SAMPLE_ROWS = 20
"""How many failing rows a result shows at most."""


@dataclass(frozen=True)
class QualityCheckResult:
    """What one check found.

    Args:
        passed: Whether the rule holds.
        failed: The opposite of ``passed``; may be left out.
        message: One sentence for people.
        row_count: Rows looked at. A check on frames may leave it out: it is the frame's length.
        failed_count: Rows, keys or groups that broke the rule; ``None`` where it has none.
        columns: Columns the check is about.
        metrics: What else was measured, such as ``null_count``.
        sample: Failing rows; the first 20 are kept.
        sql: Query that finds all failing rows, in Trino's dialect.
        scope: Which rows were judged, where that is not the suite's scope.
        check_name: The check's class; set by the runner.
        table: The table judged; set by the runner.
        execution_time_seconds: Wall time; set by the runner.
        status: How the check ended, for the two endings that ``passed`` cannot tell apart:
            ``skipped`` and ``could_not_run``. Follows from ``passed`` when left out.

    Raises:
        InvalidArgumentError: ``failed`` or ``status`` contradicts ``passed``.

    Example:
        >>> QualityCheckResult(passed=True, row_count=3).status.value
        'passed'

    Source: developer guide, "Quality Check Results".
    """

    passed: bool
    failed: bool | None = None
    message: str = ""
    row_count: int | None = None
    failed_count: int | None = None
    columns: Sequence[str] = ()
    metrics: dict[str, Any] = field(default_factory=dict)
    sample: Sequence[dict[str, Any]] = ()
    sql: str | None = None
    scope: str = ""
    check_name: str = ""
    table: str = ""
    execution_time_seconds: float = 0.0
    status: CheckStatus = None  # pyright: ignore[reportAssignmentType] - set below

    def __post_init__(self) -> None:
        passed = bool(self.passed)  # numpy has booleans of its own
        status = self.status or (CheckStatus.PASSED if passed else CheckStatus.FAILED)
        failed = status is CheckStatus.FAILED
        if (status is CheckStatus.PASSED) != passed:
            _contradiction(f"status={status.value!r}", passed)
        if self.failed is not None and bool(self.failed) != failed:
            _contradiction(f"failed={self.failed!r}", passed)
        for name, value in (
            ("passed", passed),
            ("failed", failed),
            ("status", status),
            ("columns", tuple(self.columns)),
            ("sample", tuple(self.sample)[:SAMPLE_ROWS]),
        ):
            object.__setattr__(self, name, value)

    @classmethod
    def skipped(cls, message: str = "no data", *, row_count: int = 0) -> QualityCheckResult:
        """Return the result of a check that had no rows to judge."""
        return cls(False, None, message, row_count, status=CheckStatus.SKIPPED)

    @classmethod
    def could_not_run(cls, reason: str | BaseException) -> QualityCheckResult:
        """Return the result of a check that could not be judged: neither passed nor failed."""
        if isinstance(reason, BaseException):
            reason = f"{type(reason).__name__}: {reason}"
        return cls(False, None, redact(reason), status=CheckStatus.COULD_NOT_RUN)

    def metadata(self) -> dict[str, Any]:
        """Return the guide's keys: verdict, check, table, columns, counts, seconds."""
        facts = {
            "passed": self.passed,
            "status": self.status.value,
            "check_name": self.check_name,
            "table": self.table,
            "columns": list(self.columns),
            "row_count": self.row_count,
            "failed_count": self.failed_count,
            **self.metrics,
            "execution_time_seconds": self.execution_time_seconds,
        }
        return {name: value for name, value in facts.items() if value is not None}

    def to_check_result(
        self, *, name: str, table: TableName, severity: Severity, blocking: bool, scope: str
    ) -> CheckResult:
        """Build the result as core knows it.

        Args:
            name: The check's name in its suite.
            table: The table judged.
            severity: What a failure means.
            blocking: Whether the suite blocks; only a check of severity error does.
            scope: Which rows were judged.
        """
        return CheckResult(
            check=name,
            table=table,
            status=self.status,
            severity=severity,
            row_count=self.row_count,
            failed_count=self.failed_count,
            message=self.message,
            columns=tuple(self.columns),
            seconds=self.execution_time_seconds,
            scope=scope,
            sample=tuple(self.sample),
            sql=self.sql,
            metrics=self.metrics,
            blocking=blocking and severity is Severity.ERROR,
            kind=self.check_name,
        )


def _contradiction(argument: str, passed: bool) -> None:
    raise InvalidArgumentError(
        f"QualityCheckResult says passed={passed} and {argument}.",
        got=argument,
        expected="the opposite of passed" if argument.startswith("failed") else "what passed says",
        hint="Leave the argument out; it follows from `passed`.",
    )
