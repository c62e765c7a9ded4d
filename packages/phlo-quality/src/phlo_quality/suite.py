"""A suite: the checks of one table, as ``@phlo_quality`` declares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phlo.checks import Severity
from phlo.names import PARTITION_DATE_COLUMN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from phlo.checks import CheckResult
    from phlo.names import Partition, TableName
    from phlo.protocols import QueryEngine, Staged, TableStore

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
        """The rule's own sentence, else the first line of its class."""
        return self.check.description or (type(self.check).__doc__ or "").strip().split("\n")[0]

    @property
    def audits(self) -> bool:
        """Whether it takes part in audits."""
        return self.check.audits

    @property
    def is_row_rule(self) -> bool:
        """Whether it judges nothing but the rows delivered."""
        return self.check.is_row_rule


@dataclass(frozen=True)
class Suite:
    """The checks of one table; satisfies :class:`phlo.protocols.CheckSuite`.

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

    def evaluate(
        self,
        engine: QueryEngine,
        store: TableStore,
        *,
        partition: Partition | None = None,
        at: Mapping[TableName, Staged | str] | None = None,
        only: Sequence[str] | None = None,
        context: Any = None,
    ) -> list[CheckResult]:
        """Judge the table, or a stage of it; see :class:`phlo.protocols.CheckSuite`."""
        from phlo_quality.runner import evaluate  # loads pyarrow, which declaring a suite spares

        return evaluate(
            self, engine, store, partition=partition, at=at or {}, only=only, context=context
        )
