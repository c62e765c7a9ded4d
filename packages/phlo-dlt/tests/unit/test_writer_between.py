"""Another load of the table lands just before this one plans its stage."""

import dlt
import pytest

SCHEMA = """
    import pandera.pandas as pa

    class EventSchema(pa.DataFrameModel):
        id: str
        at: int = pa.Field(nullable=True)
        gone: bool = pa.Field(default=False)
"""


@pytest.fixture
def load_meanwhile(events, monkeypatch):
    """Run a function once, before the next stage of ``bronze.events`` is planned."""

    def arrange(work):
        store = events.project.lake.store
        stage, waiting = store.stage, [work]

        def stage_later(table, *arguments, **options):
            if str(table) == "bronze.events" and waiting:
                waiting.pop()()
            return stage(table, *arguments, **options)

        monkeypatch.setattr(store, "stage", stage_later)

    return arrange


def ids(events):
    return [row["id"] for row in events.rows()]


def row(key, at=1):
    return {"id": key, "at": at, "gone": False}


def gone(key):
    return {"id": key, "gone": True}


def test_rows_of_one_cursor_are_loaded_once(events, load_meanwhile):
    events.declare(
        SCHEMA,
        merge_strategy="append",
        merge_config={"on_rerun": "append"},
        max_retries=1,
        retry_delay_seconds=0,
    )
    upstream = [row("a"), row("b", 2)]

    @dlt.resource(name="events")
    def rows(at=dlt.sources.incremental("at")):  # noqa: B008 - dlt's way
        yield [one for one in upstream if at.last_value is None or one["at"] > at.last_value]

    load_meanwhile(lambda: events.load(lambda _: rows(), "2025-01-16"))
    events.load(lambda _: rows(), "2025-01-15")

    assert ids(events) == ["a", "b"]
    upstream.append(row("c", 3))
    events.load(lambda _: rows(), "2025-01-17")
    assert ids(events) == ["a", "b", "c"]


@pytest.mark.parametrize("remembered", [[], [gone("x")]], ids=["first deletes", "more deletes"])
@pytest.mark.parametrize("deletes", [[], [gone("y")]], ids=["without", "with a delete"])
def test_a_key_that_a_later_partition_deletes_stays_deleted(
    events, load_meanwhile, remembered, deletes
):
    events.declare(SCHEMA, merge_config={"delete_column": "gone"})
    events.load([row("a"), row("y"), row("z"), *remembered], "2025-01-15")

    load_meanwhile(lambda: events.load([gone("a")], "2025-01-16"))
    assert events.load([row("a", 9), row("z"), *deletes], "2025-01-15").success

    assert ids(events) == (["z"] if deletes else ["y", "z"])
    assert [r["id"] for r in events.rows("tombstones.bronze__events") if r["id"] == "a"] == ["a"]
