"""Judging stages: which verdicts hold on any head, and which snapshots they rest on."""

from datetime import timedelta

import pytest
from phlo.audit import PinningEngine, holds_on_any_head, judge_published
from phlo.lake import open_lake
from phlo.names import TableName
from phlo.plugins import hookimpl, plugin_manager
from phlo.specs import spec_of
from phlo_quality import (
    CountCheck,
    FreshnessCheck,
    NullCheck,
    RangeCheck,
    UniqueCheck,
    phlo_quality,
)
from phlo_testing.stores import DAY_1, DAY_2, EVENTS, merge, publish_rows, stage_rows

PARTNER = TableName("bronze", "partner")
COUNT = "SELECT count(*) AS n FROM bronze.partner"


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


@pytest.fixture
def lake(phlo_environment):
    """A lake whose tables have a row each."""
    lake = open_lake()
    for table in (EVENTS, PARTNER):
        publish_rows(lake.store, [{"id": "a", "value": 1}], merge(DAY_1), table=table)
    return lake


def count(engine, **options):
    return engine.query(COUNT, **options).read_all().to_pylist()[0]["n"]


def test_every_query_of_an_audit_reads_another_table_as_it_was_read_first(lake):
    engine = PinningEngine(lake, EVENTS)
    assert count(engine) == 1
    snapshot = lake.store.load(PARTNER).snapshot_id
    publish_rows(lake.store, [{"id": "b", "value": 2}], merge(DAY_2), table=PARTNER)
    assert count(engine) == 1
    assert (engine.reads, engine.stages) == ({PARTNER: snapshot}, set())


def test_a_stage_that_is_read_beside_the_judged_table_is_recorded_and_not_pinned(lake):
    staged = stage_rows(lake.store, [{"id": "b", "value": 2}], merge(DAY_2), table=PARTNER)
    engine = PinningEngine(lake, EVENTS)
    assert count(engine, at={PARTNER: staged}) == 2
    assert (engine.reads, engine.stages) == ({}, {PARTNER})


@pytest.mark.parametrize("judged", [EVENTS, PARTNER])
def test_a_ref_that_the_caller_chose_is_neither_pinned_nor_recorded(lake, judged):
    engine = PinningEngine(lake, judged)
    assert count(engine, at={PARTNER: "main"}) == 1
    assert (engine.reads, engine.stages) == ({}, set())


def test_the_judged_table_is_not_pinned(lake):
    engine = PinningEngine(lake, PARTNER)
    assert count(engine) == 1
    assert engine.reads == {}


class Observer:
    """Keeps the events of checks."""

    def __init__(self):
        self.events = []

    @hookimpl
    def phlo_on_checks(self, event):
        self.events.append(event)


def test_judging_a_published_table_tells_observers_that_it_is_published(lake):
    observer = Observer()
    plugin_manager().register(observer, name="observer")
    try:
        results = judge_published(
            [suite(CountCheck(min_count=1), NullCheck(columns=["id"]))],
            lake,
            lambda check: "count" in check.name.lower(),
            run_id="run-1",
        )
    finally:
        plugin_manager().unregister(name="observer")
    assert [result.status.value for result in results] == ["passed"]
    (event,) = observer.events
    assert (event.table, event.run_id, event.staged) == (EVENTS, "run-1", False)
    assert event.results == tuple(results)
