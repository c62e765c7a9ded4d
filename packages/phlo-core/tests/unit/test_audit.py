"""Judging stages: which verdicts hold on any head, and which snapshots they rest on."""

from datetime import timedelta

import pytest
from phlo.audit import holds_on_any_head
from phlo.specs import spec_of
from phlo_quality import (
    CountCheck,
    FreshnessCheck,
    NullCheck,
    RangeCheck,
    UniqueCheck,
    phlo_quality,
)


def suite(*checks, **options):
    @phlo_quality(table="bronze.events", checks=list(checks), **options)
    def events_quality():
        pass

    return spec_of(events_quality)


ROW_RULES = [
    NullCheck(columns=["id"]),
    RangeCheck(column="v", min_value=0),
    CountCheck(min_count=1),
]


@pytest.mark.parametrize(
    ("suites", "stays"),
    [
        ([], True),
        ([suite(*ROW_RULES)], True),
        ([suite(*ROW_RULES, FreshnessCheck(column="ts", max_age_hours=1))], True),
        ([suite(*ROW_RULES, UniqueCheck(columns=["id"]))], False),
        ([suite(*ROW_RULES, scope="table")], False),
        ([suite(*ROW_RULES, scope=timedelta(days=3))], False),
        ([suite(*ROW_RULES), suite(UniqueCheck(columns=["id"]))], False),
    ],
)
def test_only_audits_of_the_delivered_rows_alone_hold_on_another_head(suites, stays):
    assert holds_on_any_head(suites) is stays
