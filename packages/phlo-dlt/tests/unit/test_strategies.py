"""Merge, append, replace: what a load makes of its table, end to end."""

import math
from itertools import permutations

import pytest

KEYS = """
    from datetime import datetime
    from phlo_quality.schemas import PhloSchema
    from pandera.pandas import Field, check

    class EventSchema(PhloSchema):
        _id: str = Field(str_startswith="e")
        day: int
        amount: float = Field(nullable=True)
        status: str = Field(nullable=True, default="pending")
        is_gone: bool = Field(nullable=True)
        tags: list = Field(nullable=True)
"""

INGESTION = """
    from phlo_dlt import phlo_ingestion
    from workflows.schemas.api import EventSchema

    source = None

    @phlo_ingestion(
        table_name="events", unique_key=["_id", "day"], validation_schema=EventSchema,
        group="api", ARGUMENTS
    )
    def api_events(partition_date):
        return source(partition_date)
"""


@pytest.fixture
def keyed(events):
    """Declares an asset with a key of two columns."""
    return lambda **arguments: events.declare(KEYS, INGESTION, **arguments)


def row(key, day=1, **more):
    return {"_id": key, "day": day, **more}


def facts(events, result, *names):
    found = events.facts(result)
    return tuple(found[name] for name in names)


def test_a_key_of_two_columns_tells_rows_apart(events, keyed):
    keyed()
    rows = [row("e1", 1, amount=1), row("e1", 2, amount=2), row("e1", 1, amount=3)]

    result = events.load(rows)

    assert [(r["_id"], r["day"], r["amount"]) for r in events.rows(by="day")] == [
        ("e1", 1, 3.0),
        ("e1", 2, 2.0),
    ]
    assert facts(events, result, "extracted", "inserted", "deduplicated") == (3, 2, 1)


def test_a_null_in_any_part_of_the_key_is_an_invalid_row(events, keyed):
    keyed(invalid_rows="quarantine")

    assert events.load([row("e1"), row(None), row("e2", None)]).success

    assert [r["_id"] for r in events.rows(by="_id")] == ["e1"]
    assert [r["rules"] for r in events.quarantined()] == ['["day: null key"]', '["_id: null key"]']


def test_defaults_fill_and_nested_values_are_json(events, keyed):
    keyed()

    events.load([row("e1", tags=[1, {"a": None}]), row("e2", status="done", tags=[])])

    assert [(r["status"], r["tags"]) for r in events.rows(by="_id")] == [
        ("pending", '[1,{"a":null}]'),
        ("done", "[]"),
    ]


def test_nan_equals_nan_when_a_row_comes_again(events, keyed):
    keyed()
    events.load([row("e1", amount=math.nan)])

    result = events.load([row("e1", amount=math.nan)])

    assert facts(events, result, "unchanged", "updated") == (1, 0)


def test_rows_that_say_so_delete_their_key(events, keyed):
    keyed(merge_config={"delete_column": "is_gone"})
    events.load([row("e1"), row("e2")])

    result = events.load([row("e1", is_gone=True), row("e2"), row("e3", is_gone=True)])

    assert [r["_id"] for r in events.rows(by="_id")] == ["e2"]
    assert facts(events, result, "extracted", "deleted", "unchanged") == (3, 2, 1)


def test_without_metadata_columns_only_those_of_dlt_are_added(events, keyed):
    keyed(add_metadata_columns=False)

    assert events.load([row("e1")]).success
    assert events.load([row("e1", amount=5)], "2025-01-16").success

    (found,) = events.rows(by="_id")
    assert [name for name in found if name.startswith("_")] == ["_id", "_dlt_load_id", "_dlt_id"]
    assert found["amount"] == 5.0


def test_an_append_run_again_replaces_what_its_partition_wrote(events):
    events.declare(merge_strategy="append")
    events.load([events.row("a")], "2025-01-14")
    events.load([events.row("b"), events.row("c")])

    result = events.load([events.row("b", 5.0)])

    assert events.values() == {"a": 1.0, "b": 5.0}
    assert facts(events, result, "inserted", "removed") == (1, 2)


def test_an_append_may_leave_what_its_partition_wrote(events):
    events.declare(merge_strategy="append", merge_config={"on_rerun": "append"})
    events.load([events.row("a")])

    events.load([events.row("b")])

    assert sorted(events.values()) == ["a", "b"]


def test_zero_rows_replace_a_partition_with_nothing(events):
    events.declare(merge_strategy="replace")
    events.load([events.row("a")], "2025-01-14")
    events.load([events.row("b")])

    assert events.load([]).success

    assert events.values() == {"a": 1.0}


@pytest.mark.parametrize("order", list(permutations(["2025-01-14", "2025-01-15", "2025-01-16"])))
def test_backfills_in_any_order_end_as_the_run_in_date_order_does(events, order):
    events.declare()
    rows = {
        "2025-01-14": [events.row("a", 14), events.row("b", 14)],
        "2025-01-15": [events.row("a", 15), events.row("c", 15)],
        "2025-01-16": [events.row("c", 16)],
    }

    for day in order:
        assert events.load(rows[day], day).success

    assert events.values() == {"a": 15.0, "b": 14.0, "c": 16.0}


def test_a_quarantined_row_leaves_quarantine_when_its_partition_is_mended(events):
    events.declare(invalid_rows="quarantine")
    events.load([events.row("x", 500)], "2025-01-14")
    events.load([events.row("a"), events.row("b", 500)])

    assert events.load([events.row("a"), events.row("b", 50)]).success

    assert [r["key"] for r in events.quarantined()] == ['{"id":"x"}']
    assert events.values() == {"a": 1.0, "b": 50.0}


def test_every_row_is_accounted_for_in_the_snapshot_too(events):
    events.declare(invalid_rows="quarantine")
    events.load([events.row("a"), events.row("b")])

    result = events.load(
        [events.row("a"), events.row("b", 2), events.row("c"), events.row("c"), events.row(None)],
        "2025-01-16",
    )

    expected = {
        "extracted": 5,
        "inserted": 1,
        "updated": 1,
        "unchanged": 1,
        "deduplicated": 1,
        "quarantined": 1,
    }
    assert facts(events, result, *expected) == tuple(expected.values())
    summary = events.table().current_snapshot().summary.additional_properties
    assert {n: int(summary[f"phlo.{n}"]) for n in expected} == expected
    assert summary["phlo.partition"] == "2025-01-16"


def test_uniqueness_apart_from_the_key_is_judged_before_deduplication(events):
    schema = """
    import pandera.pandas as pa
    from datetime import datetime

    class EventSchema(pa.DataFrameModel):
        id: str
        timestamp: datetime
        value: float = pa.Field(unique=True)
        note: str = pa.Field(nullable=True, unique=True)
"""
    events.declare(schema, invalid_rows="quarantine")
    rows = [events.row("a", 1), events.row("a", 1), events.row("b", 2), events.row("c", 3)]

    assert events.load(rows).success

    assert events.values() == {"b": 2.0, "c": 3.0}
    assert {r["rules"] for r in events.quarantined()} == {'["value: unique"]'}


def test_custom_checks_judge_the_load_row_by_row(events):
    schema = """
    import pandera.pandas as pa
    from datetime import datetime

    class EventSchema(pa.DataFrameModel):
        id: str
        timestamp: datetime
        value: float

        @pa.check("value")
        def value_is_whole(cls, values):
            return values % 1 == 0

        @pa.dataframe_check
        def no_events_at_night(cls, frame):
            return frame["timestamp"].dt.hour > 5
"""
    events.declare(schema, invalid_rows="quarantine")
    night = events.row("b", timestamp="2025-01-15T03:00:00Z")

    assert events.load([events.row("a"), night, events.row("c", 1.5)]).success

    assert events.values() == {"a": 1.0}
    assert {r["key"]: r["rules"] for r in events.quarantined()} == {
        '{"id":"b"}': '["no_events_at_night"]',
        '{"id":"c"}': '["value: value_is_whole"]',
    }


def test_columns_that_neither_side_requires_are_null(events):
    events.declare()

    assert events.load([events.row("a")]).success

    assert [r["note"] for r in events.rows()] == [None]


def test_unknown_columns_are_dropped_with_a_count(events):
    events.declare()

    result = events.load([events.row("a", extra=1), events.row("b", extra=None)])

    assert events.facts(result)["dropped_values"] == {"extra": 1}
