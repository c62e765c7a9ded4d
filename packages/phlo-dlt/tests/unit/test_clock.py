"""Extractions in their order, whatever the clocks of the machines say."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phlo.names import TableName
from phlo.values import Append
from phlo_dlt import step
from phlo_dlt.clock import EXTRACTED_AT_ENTRY, latest_extraction, next_extraction

EVENTS = TableName("bronze", "events")
NOON = datetime(2025, 1, 15, 12, tzinfo=UTC)


@pytest.fixture
def clock(monkeypatch):
    """Sets the clock of the machine that loads next, in minutes ahead."""

    def set_clock(minutes):
        class Clock(datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime.now(tz) + timedelta(minutes=minutes)

        monkeypatch.setattr(step, "datetime", Clock)

    return set_clock


@settings(max_examples=50, deadline=None, database=None)
@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=8))
def test_each_extraction_is_later_than_those_it_could_know_of(minutes):
    latest, order = None, []
    for offset in minutes:
        latest = next_extraction(latest, NOON + timedelta(minutes=offset))
        order.append(latest)

    assert all(before < after for before, after in pairwise(order))


@pytest.mark.parametrize("strategy", ["merge", "append", "replace"])
def test_a_rerun_by_a_machine_whose_clock_is_behind_wins(events, clock, strategy):
    events.declare(merge_strategy=strategy)
    clock(10)
    assert events.load([events.row("a", 1)]).success
    clock(0)

    results = [events.load([events.row("a", value)]) for value in (2, 3)]

    assert events.values() == {"a": 3.0}
    for result in results:
        (warning,) = events.facts(result)["warnings"]
        assert re.search(r"bronze.events lies 0:\d\d:\d\d ahead of this machine's clock", warning)


def test_a_failed_load_of_a_machine_that_is_ahead_holds_nothing_up(events, clock):
    events.declare()
    clock(10)
    assert not events.load([events.row("a", 500)]).success
    clock(0)

    assert events.load([events.row("a", 5)]).success

    assert events.values() == {"a": 5.0}
    assert events.quarantined() == []


@pytest.mark.parametrize("is_marked", [True, False], ids=["by its snapshots", "by its rows"])
def test_the_latest_extraction_outlives_the_commits_of_others(events, clock, is_marked):
    events.declare()
    clock(10)
    events.load([events.row("a", 1)])
    lake = events.project.lake
    store, table = lake.store, lake.store.load(EVENTS)
    rows = events.table().scan().to_arrow()
    before = latest_extraction(lake, [EVENTS])
    if not is_marked:  # a table of an older phlo
        store.drop(EVENTS)
    staged = store.stage(EVENTS, ds.dataset(rows), Append(), schema=table.schema)
    store.publish([staged])

    assert latest_extraction(lake, [EVENTS]) == before


def test_rows_passed_over_for_an_extraction_in_the_future_are_told(events, clock):
    events.declare()
    events.load([events.row("a", 0)])

    def overtaken(_):
        clock(10)
        assert events.load([events.row("a", 1)]).success
        return [events.row("a", 2)]

    result = events.load(overtaken)

    assert events.values() == {"a": 1.0}
    assert events.facts(result)["deduplicated"] == 1
    (warning,) = events.facts(result)["warnings"]
    assert "ahead of this machine's clock" in warning


def test_a_replay_of_an_older_extraction_does_not_set_the_clock_back(events):
    events.declare()
    failed = events.load([events.row("a", 500)])
    events.load([events.row("b", 2)], "2025-01-16")
    latest = latest_extraction(events.project.lake, [EVENTS])

    events.declare(validate=False)
    assert events.replay(failed.run_id).success

    summary = events.table().current_snapshot().summary.additional_properties
    assert datetime.fromisoformat(summary[EXTRACTED_AT_ENTRY]) == latest
