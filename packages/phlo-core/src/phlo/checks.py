"""Results of checks, as suites, stores and observers exchange them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phlo.names import TableName


class Severity(StrEnum):
    """What a failed check means: ``error`` may block, ``warn`` only reports."""

    WARN = "warn"
    ERROR = "error"


class CheckStatus(StrEnum):
    """How a check ended; only ``passed`` proves anything."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    COULD_NOT_RUN = "could_not_run"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check of a suite found.

    Attributes:
        check: The check's name, unique in its suite.
        table: The table judged.
        status: Passed, failed, skipped (no rows) or could not run.
        severity: What a failure means.
        row_count: Rows the check looked at; ``None`` when it could not run.
        failed_count: Rows (or groups) that broke the rule; ``None`` where a rule has none.
        message: One sentence for people.
        columns: Columns the check is about.
        seconds: Wall time the check took (its share, where checks are fused).
        scope: Which rows were judged, such as ``partition 2025-01-15`` or ``table``.
        sample: At most 20 failing rows.
        sql: Query that finds all failing rows, in Trino's dialect; ``None`` where there is none.
        metrics: What else the check measured, such as ``null_count``.
        blocking: Whether a failure blocks: severity error in a blocking suite.
        kind: The check's class by its plain name, such as ``NullCheck``.
    """

    check: str
    table: TableName
    status: CheckStatus
    severity: Severity = Severity.ERROR
    row_count: int | None = None
    failed_count: int | None = None
    message: str = ""
    columns: tuple[str, ...] = ()
    seconds: float = 0.0
    scope: str = "table"
    sample: tuple[dict[str, Any], ...] = ()
    sql: str | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    blocking: bool = False
    kind: str = ""

    @property
    def passed(self) -> bool:
        """Whether the check ran, looked at something, and found nothing wrong."""
        return self.status is CheckStatus.PASSED

    @property
    def blocks(self) -> bool:
        """Whether this result withholds the load: blocking, and failed or could not run."""
        return self.blocking and self.status in (CheckStatus.FAILED, CheckStatus.COULD_NOT_RUN)
