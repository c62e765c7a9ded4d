"""What a load with a dlt cursor does to rows that are there, and what it tells."""

import dlt
import pyarrow as pa
import pytest


def follow(events, delivered, **cursor):
    """A resource that delivers rows ``{id: value}``, and follows ``value``."""

    @dlt.resource(name="events")
    def rows(value=dlt.sources.incremental("value", **cursor)):  # noqa: B008 - dlt's way
        yield [events.row(key, value) for key, value in delivered.items()]

    return lambda _: rows()


def warnings(events, result):
    return events.facts(result).get("warnings", [])


def test_an_append_with_a_cursor_adds_to_its_partition(events):
    events.declare(merge_strategy="append")
    delivered = {"a": 1.0, "b": 2.0}
    assert events.load(follow(events, delivered)).success

    delivered["c"] = 3.0
    result = events.load(follow(events, delivered))
    assert events.load(follow(events, delivered)).success

    assert events.values() == {"a": 1.0, "b": 2.0, "c": 3.0}
    assert (events.facts(result)["inserted"], events.facts(result)["removed"]) == (1, 0)


def test_an_append_with_a_bounded_cursor_replaces_its_partition(events):
    events.declare(merge_strategy="append")
    window = {"initial_value": 0.0, "end_value": 9.0}
    events.load(follow(events, {"a": 1.0, "b": 2.0}, **window))

    assert events.load(follow(events, {"b": 2.0}, **window)).success

    assert events.values() == {"b": 2.0}


@pytest.mark.parametrize(
    "arguments",
    [
        {"merge_strategy": "replace"},
        {"merge_strategy": "append", "merge_config": {"on_rerun": "replace"}},
    ],
    ids=["replace", "append that replaces"],
)
def test_a_cursor_is_refused_where_the_partition_is_replaced(events, arguments):
    events.declare(**arguments, max_retries=1, retry_delay_seconds=60)

    failure = events.failure(events.load(follow(events, {"a": 1.0})))

    assert "would take those rows away for good" in failure.description
    assert not events.project.lake.store.list_tables()


def test_a_replaced_table_is_read_from_where_its_cursor_begins(events):
    events.declare(merge_strategy="replace", partitions=None)
    delivered = {"a": 1.0, "b": 2.0}
    assert events.load(follow(events, delivered), None).success

    delivered["c"] = 3.0
    del delivered["a"]
    assert events.load(follow(events, delivered), None).success

    assert events.values() == {"b": 2.0, "c": 3.0}


def test_a_cursor_of_an_earlier_strategy_does_not_bind_a_replaced_table(events):
    events.declare(merge_strategy="append", partitions=None)
    events.load(follow(events, {"a": 1.0, "b": 2.0}), None)

    events.declare(merge_strategy="replace", partitions=None)
    assert events.load(follow(events, {"b": 2.0}), None).success
    assert events.values() == {"b": 2.0}

    events.declare(merge_strategy="append", partitions=None)
    assert events.load(follow(events, {"z": 0.5}), None).success
    assert events.values() == {"b": 2.0, "z": 0.5}


def test_a_backfill_that_a_cursor_passes_over_is_told(events):
    events.declare()
    events.load(follow(events, {"a": 1.0, "b": 2.0}), "2025-01-16")

    result = events.load(follow(events, {"a": 1.0}), "2025-01-15")

    (warning,) = warnings(events, result)
    assert "The cursor 'value' passed over 1 of the 1 rows" in warning
    assert "does not go back for an older one" in warning


def test_a_window_without_rows_is_nothing_to_tell(events):
    events.declare()

    result = events.load(follow(events, {"a": 1.0}, initial_value=5.0, end_value=9.0))

    assert warnings(events, result) == []


def batch(*values):
    days = ["2025-01-15T10:00:00Z"] * len(values)
    names = [f"{value}-{n}" for n, value in enumerate(values)]
    return pa.table({"id": names, "timestamp": days, "value": pa.array(values, pa.float64())})


def closed(events, *batches):
    @dlt.resource(name="events")
    def rows(
        value=dlt.sources.incremental(  # noqa: B008 - dlt's way
            "value",
            initial_value=0.0,
            end_value=9.0,
            row_order="asc",
            on_cursor_value_missing="exclude",
        ),
    ):
        yield from batches

    return lambda _: rows()


def test_a_source_that_dlt_closes_on_nulls_is_told(events):
    events.declare()

    result = events.load(closed(events, batch(1.0), batch(None, None), batch(2.0)))

    assert list(events.values().values()) == [1.0]  # what dlt does; the test of an upgrade
    (warning,) = warnings(events, result)
    assert "'value' is null in every row, so that rows behind it are missing" in warning


def test_a_source_that_dlt_closes_at_the_end_of_its_range_is_not(events):
    events.declare()

    result = events.load(closed(events, batch(1.0), batch(9.5), batch(2.0)))

    assert list(events.values().values()) == [1.0]
    assert warnings(events, result) == []
