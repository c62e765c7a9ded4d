"""The checks that come with phlo, and the base classes of your own."""

from __future__ import annotations

from phlo_quality.checks.accepted_values import AcceptedValuesCheck
from phlo_quality.checks.base import QualityCheck, QueryCheck, RowCheck, SqlCheck
from phlo_quality.checks.count import CountCheck
from phlo_quality.checks.custom_sql import CustomSQLCheck
from phlo_quality.checks.distribution import DistributionCheck
from phlo_quality.checks.freshness import FreshnessCheck
from phlo_quality.checks.null import NullCheck
from phlo_quality.checks.pattern import PatternCheck
from phlo_quality.checks.range import RangeCheck
from phlo_quality.checks.relationship import RelationshipCheck
from phlo_quality.checks.schema import SchemaCheck
from phlo_quality.checks.unique import UniqueCheck
from phlo_quality.results import QualityCheckResult

__all__ = [
    "AcceptedValuesCheck",
    "CountCheck",
    "CustomSQLCheck",
    "DistributionCheck",
    "FreshnessCheck",
    "NullCheck",
    "PatternCheck",
    "QualityCheck",
    "QualityCheckResult",
    "QueryCheck",
    "RangeCheck",
    "RelationshipCheck",
    "RowCheck",
    "SchemaCheck",
    "SqlCheck",
    "UniqueCheck",
]
