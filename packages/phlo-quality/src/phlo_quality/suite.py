"""A suite: the checks of one table, as ``@phlo_quality`` declares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phlo_quality.declared import DeclaredCheck, DeclaredSuite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from phlo.checks import CheckResult
    from phlo.names import Partition, TableName
    from phlo.protocols import QueryEngine, Staged, TableStore

__all__ = ["DeclaredCheck", "Suite"]


@dataclass(frozen=True)
class Suite(DeclaredSuite):
    """The checks of one table; satisfies :class:`phlo.protocols.CheckSuite`."""

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
