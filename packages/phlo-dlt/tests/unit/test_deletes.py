"""Rows that delete their key: how they are judged, and what they hold against."""

import json

import pytest

SCHEMA = """
    import pandera.pandas as pa

    class EventSchema(pa.DataFrameModel):
        id: str = pa.Field(str_startswith="e")
        gone: bool = pa.Field(default=False)
        name: str = pa.Field(unique=True)
        value: int = pa.Field(ge=0)
        at: int = pa.Field(nullable=True)

        @pa.check("value")
        def small(cls, values):
            return values < 100

        @pa.dataframe_check
        def named(cls, frame):
            return frame["name"].str.len() > 1
"""


@pytest.fixture
def feed(events):
    """Declares a table whose rows are deleted by those with ``gone``."""

    def declare(**config):
        arguments = config.pop("arguments", {})
        merge_config = {"delete_column": "gone", **config}
        events.declare(SCHEMA, merge_config=merge_config, **arguments)
        return events

    return declare


def row(key, value=1, **more):
    return {"id": key, "name": f"name of {key} {value}", "value": value, **more}


def gone(key, **more):
    return {"id": key, "gone": True, **more}


def left(events):
    return {r["id"]: r["value"] for r in events.rows()}


@pytest.mark.parametrize("mode", ["fail", "quarantine", "keep"])
def test_a_delete_is_judged_on_its_key_and_the_delete_column_alone(feed, mode):
    events = feed(arguments={"invalid_rows": mode})
    events.load([row(f"e{n}", n) for n in range(5)])
    deletes = [
        gone("e0"),
        gone("e1", value=-5, name="x"),
        gone("e2", value="no number"),
        gone("e3", name="name of e4 4"),
    ]

    result = events.load([*deletes, row("e4", 4)], "2025-01-16")

    assert result.success, events.failure(result)
    assert left(events) == {"e4": 4}
    facts = events.facts(result)
    assert (facts["deleted"], facts["removed"], facts["quarantined"]) == (4, 4, 0)


def test_a_delete_without_a_valid_key_is_an_invalid_row(feed):
    events = feed(arguments={"invalid_rows": "quarantine"})
    events.load([row("e1")])

    assert events.load([gone(None), gone("x1"), gone("e1", gone="perhaps")], "2025-01-16").success

    assert left(events) == {"e1": 1}
    rules = {json.loads(r["key"])["id"]: json.loads(r["rules"]) for r in events.quarantined()}
    assert rules[None] == ["id: null key"]
    assert rules["x1"] == ["id: str_startswith('e')"]
    assert rules["e1"][0].startswith("gone: cannot be cast to bool")


def test_a_delete_without_a_value_to_compete_by_comes_after_what_arrived_before_it(feed):
    events = feed(order_by="at")
    events.load([row("e1", at=5), row("e2", at=5)])

    events.load(
        [
            row("e1", 2, at=7),
            gone("e1"),
            row("e2", 2, at=7),
            gone("e2"),
            row("e2", 3, at=8),
            row("e3", at=9),
        ],
        "2025-01-16",
    )

    assert left(events) == {"e2": 3, "e3": 1}
