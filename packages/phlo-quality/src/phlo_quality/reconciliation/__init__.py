"""Checks that compare a table with the table it was made from."""

from __future__ import annotations

from phlo_quality.reconciliation.aggregates import (
    AggregateConsistencyCheck,
    AggregateSpec,
    MultiAggregateConsistencyCheck,
)
from phlo_quality.reconciliation.keys import ChecksumReconciliationCheck, KeyParityCheck
from phlo_quality.reconciliation.row_count import ReconciliationCheck

__all__ = [
    "AggregateConsistencyCheck",
    "AggregateSpec",
    "ChecksumReconciliationCheck",
    "KeyParityCheck",
    "MultiAggregateConsistencyCheck",
    "ReconciliationCheck",
]
