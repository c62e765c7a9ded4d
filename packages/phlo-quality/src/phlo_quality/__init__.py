"""Quality checks for phlo: @phlo_quality and what runs in its suites."""

from __future__ import annotations

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
