"""Quality checks for phlo: @phlo_quality and what runs in its suites."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phlo_quality.checks import (
        AcceptedValuesCheck,
        CountCheck,
        CustomSQLCheck,
        DistributionCheck,
        FreshnessCheck,
        NullCheck,
        PatternCheck,
        QualityCheck,
        QualityCheckResult,
        QueryCheck,
        RangeCheck,
        RelationshipCheck,
        RowCheck,
        SchemaCheck,
        SqlCheck,
        UniqueCheck,
    )
    from phlo_quality.decorator import phlo_quality
    from phlo_quality.reconciliation import (
        AggregateConsistencyCheck,
        AggregateSpec,
        ChecksumReconciliationCheck,
        KeyParityCheck,
        MultiAggregateConsistencyCheck,
        ReconciliationCheck,
    )

_PARTS = ("checks", "decorator", "reconciliation")

__all__ = [
    "AcceptedValuesCheck",
    "AggregateConsistencyCheck",
    "AggregateSpec",
    "ChecksumReconciliationCheck",
    "CountCheck",
    "CustomSQLCheck",
    "DistributionCheck",
    "FreshnessCheck",
    "KeyParityCheck",
    "MultiAggregateConsistencyCheck",
    "NullCheck",
    "PatternCheck",
    "QualityCheck",
    "QualityCheckResult",
    "QueryCheck",
    "RangeCheck",
    "ReconciliationCheck",
    "RelationshipCheck",
    "RowCheck",
    "SchemaCheck",
    "SqlCheck",
    "UniqueCheck",
    "phlo_quality",
]


def __getattr__(name: str) -> Any:
    # Loaded on first use: the command line imports this package's plugin for its help.
    if name in _PARTS:
        return import_module(f"{__name__}.{name}")
    if name in __all__:
        parts = (import_module(f"{__name__}.{part}") for part in _PARTS)
        globals()[name] = next(getattr(part, name) for part in parts if hasattr(part, name))
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
