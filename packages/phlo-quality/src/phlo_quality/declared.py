"""What ``@phlo_quality`` declares: the checks of one table, and how they judge it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from phlo.checks import Severity
from phlo.names import PARTITION_DATE_COLUMN

if TYPE_CHECKING:
    from datetime import timedelta

    from phlo.names import TableName

    from phlo_quality.checks.base import QualityCheck


@dataclass(frozen=True)
class DeclaredCheck:
    """A check in a suite.

    Attributes:
        name: Unique in the suite; the name of its Dagster check.
        check: The rule.
        severity: The rule's own, else the suite's.
    """

    name: str
    check: QualityCheck
    severity: Severity = Severity.ERROR

    @property
    def description(self) -> str:
        """Return the rule's own sentence, else the first line of its class."""
        return self.check.description or (type(self.check).__doc__ or "").strip().split("\n")[0]

    @property
    def audits(self) -> bool:
        """Return whether it takes part in audits."""
        return self.check.audits

    @property
    def is_row_rule(self) -> bool:
        """Return whether it judges nothing but the rows delivered."""
        return self.check.is_row_rule


@dataclass(frozen=True)
class DeclaredSuite:
    """The checks of one table, without the means to run them.

    Attributes:
        name: The decorated function's name.
        table: The table judged.
        checks: In the order declared; names are unique.
        blocking: Whether a failed check of severity error blocks.
        asset_key: Key of an asset outside the project; ``None``: found by table.
        scope: ``partition``, ``table``, or a time that counts back from the partition's end.
        partition_column: Column that tells a row's partition.
        group: Label in Dagster.
        description: One sentence for people.
        defined_at: File and line.
    """

    name: str
    table: TableName
    checks: tuple[DeclaredCheck, ...]
    blocking: bool = True
    asset_key: tuple[str, ...] | None = None
    scope: str | timedelta = "partition"
    partition_column: str = PARTITION_DATE_COLUMN
    group: str | None = None
    description: str = ""
    defined_at: str = ""
