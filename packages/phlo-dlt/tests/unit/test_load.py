"""Loads from the function to the published table."""

import threading
import time

import dlt
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest


def test_rows_of_a_list_land_in_the_table_with_their_metadata(events):
    events.declare()

    result = events.load([events.row("a"), events.row("b", 2.5)])

    assert result.success
    rows = events.rows()
    assert [(r["id"], r["value"], str(r["_phlo_partition_date"])) for r in rows] == [
        ("a", 1.0, "2025-01-15"),
        ("b", 2.5, "2025-01-15"),
    ]
    assert {r["_phlo_run_id"] for r in rows} == {result.run_id}
    assert len({r["_dlt_id"] for r in rows}) == 2
    facts = events.facts(result)
    assert (facts["extracted"], facts["inserted"], facts["dagster/row_count"]) == (2, 2, 2)
    assert not list(events.project.root.glob(".phlo/staging/*"))


def test_an_invalid_row_fails_the_run_at_once_and_leaves_the_table_as_it_was(events):
    events.declare(max_retries=2, retry_delay_seconds=60)
    assert events.load([events.row("a")]).success

    result = events.load([events.row("b"), events.row("c", 500.0)], "2025-01-16")

    assert not result.success
    failure = events.failure(result)
    assert "id='c' breaks value: less_than_or_equal_to(100)" in failure.description
    assert failure.metadata["rejected"].value == 2
    assert events.values() == {"a": 1.0}
    (broken,) = events.quarantined()
    assert broken["key"] == '{"id":"c"}'
    assert broken["rules"] == '["value: less_than_or_equal_to(100)"]'
    assert broken["is_loaded"] is False


def test_the_same_broken_rows_found_again_stand_under_the_later_run(events):
    events.declare()
    first = events.load([events.row("c", 500.0)])
    second = events.load([events.row("c", 500.0)])

    assert not first.success
    assert [r["run_id"] for r in events.quarantined()] == [second.run_id]
    assert "1 row of bronze.events breaks EventSchema" in events.failure(second).description


def returned_kinds():
    row = {"id": "a", "timestamp": "2025-01-15T10:00:00Z", "value": 1.0}
    frame = pd.DataFrame([row]).assign(timestamp=lambda f: pd.to_datetime(f["timestamp"]))
    table = pa.Table.from_pylist([row])

    @dlt.resource
    def query():
        return [row]

    @dlt.resource(name="other", write_disposition="replace", primary_key="id")
    def rows():
        yield row

    @dlt.resource(name="events")
    def wanted():
        yield [row]

    @dlt.source
    def several():
        return [rows, wanted]

    @dlt.source
    def alone():
        return rows

    return {
        "list": [row],
        "iterator": iter([row]),
        "pandas": frame,
        "polars": pl.DataFrame([row]),
        "arrow table": table,
        "arrow batches": table.to_batches(),
        "arrow reader": table.to_reader(),
        "list of frames": [frame],
        "resource": rows(),
        "resource function": query,
        "several resources": several(),
        "one resource": alone(),
    }


@pytest.mark.parametrize("kind", returned_kinds())
def test_whatever_the_function_returns_is_loaded(events, kind):
    events.declare()

    result = events.load(lambda _: returned_kinds()[kind])

    assert result.success
    assert [(r["id"], r["value"], r["timestamp"].hour) for r in events.rows()] == [("a", 1.0, 10)]


def test_the_right_resource_must_be_clear(events):
    events.declare()

    @dlt.source
    def several():
        return [dlt.resource([events.row("a")], name=name) for name in ("x", "y")]

    result = events.load(lambda _: several())

    assert "['x', 'y']" in events.failure(result).description


def test_none_is_no_data(events):
    events.declare()

    result = events.load(lambda _: None)

    assert result.success
    assert not result.asset_materializations_for_node("dlt_events")
    (observed,) = result.asset_observations_for_node("dlt_events")
    assert observed.metadata["status"].value == "no_data"


class PanicException(BaseException):
    """What a library written in Rust raises."""


@pytest.mark.parametrize("error", [SystemExit(0), SystemExit("no data"), PanicException("money")])
@pytest.mark.parametrize("is_late", [False, True], ids=["at once", "while it yields"])
def test_a_source_that_exits_or_panics_has_failed_and_stopped_nobody(
    events, error, is_late, caplog
):
    events.declare()
    assert events.load([events.row("a", 1.0)]).success

    def rows(_):
        def yielded():
            yield events.row("b", 2.0)
            raise error

        if is_late:
            return yielded()
        raise error

    result = events.load(rows)

    said = events.failure(result).description
    assert f"The source of 'events' failed: {type(error).__name__}: {error}" in said
    assert "Canceled" not in caplog.text
    assert events.values() == {"a": 1.0}


def test_zero_rows_are_a_load_like_any_other(events):
    events.declare()

    result = events.load([])

    assert result.success
    assert events.facts(result)["extracted"] == 0
    assert events.rows() == []


@pytest.mark.parametrize(("method", "kept"), [("last", 3.0), ("first", 1.0), ("hash", 3.0)])
def test_one_row_of_a_repeated_key_is_kept(events, method, kept):
    events.declare(merge_config={"deduplication_method": method})

    result = events.load([events.row("a", 1.0), events.row("a", 2.0), events.row("a", 3.0)])

    assert events.values() == {"a": kept}
    facts = events.facts(result)
    assert (facts["extracted"], facts["inserted"], facts["deduplicated"]) == (3, 1, 2)


@pytest.mark.parametrize(("method", "kept"), [("last", 2.0), ("first", 1.0)])
def test_rows_of_a_key_compete_by_order_by_where_nulls_are_lowest(events, method, kept):
    events.declare(merge_config={"deduplication_method": method, "order_by": "note"})
    rows = [
        events.row("a", 2.0, note="z"),
        events.row("a", 1.0, note=None),
        events.row("a", 3.0, note="b"),
    ]

    assert events.load(rows).success

    assert events.values() == {"a": kept}


def test_a_rerun_changes_nothing(events):
    events.declare()
    events.load([events.row("a"), events.row("b")])
    before = events.table().current_snapshot()

    result = events.load([events.row("a"), events.row("b")])

    assert events.facts(result)["unchanged"] == 2
    assert events.table().current_snapshot() == before


def test_valid_rows_are_loaded_where_invalid_ones_are_quarantined(events):
    events.declare(invalid_rows="quarantine")

    result = events.load(
        [events.row("a"), events.row("b", "many"), events.row(None), events.row("d", 101)]
    )

    assert events.values() == {"a": 1.0}
    facts = events.facts(result)
    assert (facts["extracted"], facts["inserted"], facts["quarantined"]) == (4, 1, 3)
    broken = {row["key"]: (row["rules"], row["row"]) for row in events.quarantined()}
    assert broken['{"id":null}'][0] == '["id: null key"]'
    rules, row = broken['{"id":"b"}']
    assert rules == '["value: cannot be cast to double (no number)"]'
    assert '"value":"many"' in row


def test_keep_loads_every_row_that_fits_the_table(events):
    events.declare(strict_validation=False)

    result = events.load([events.row("a", 500), events.row("b", "many"), events.row("c", note=5)])

    assert result.success
    assert {r["id"]: (r["value"], r["note"]) for r in events.rows()} == {
        "a": (500.0, None),
        "c": (1.0, None),
    }
    assert {r["key"]: r["is_loaded"] for r in events.quarantined()} == {
        '{"id":"a"}': True,
        '{"id":"b"}': False,
        '{"id":"c"}': True,
    }
    facts = events.facts(result)
    assert (facts["inserted"], facts["quarantined"]) == (2, 1)


def test_without_validation_casts_required_columns_and_keys_still_hold(events):
    events.declare(validate=False, invalid_rows="quarantine")

    events.load([events.row("a", 500), events.row("b", None), events.row("c", "x")])

    assert events.values() == {"a": 500.0}
    assert [r["rules"] for r in events.quarantined()] == [
        '["value: not_nullable"]',
        '["value: cannot be cast to double (no number)"]',
    ]


def test_append_inserts_and_judges_uniqueness_on_the_load_as_it_came(events):
    events.declare(merge_strategy="append")
    assert events.load([events.row("a")]).success

    result = events.load([events.row("b"), events.row("b")], "2025-01-16")

    assert "id: unique (2 rows)" in events.failure(result).description
    assert events.load([events.row("a", 2.0)], "2025-01-16").success
    assert sorted(r["value"] for r in events.rows()) == [1.0, 2.0]


def test_the_cursor_of_dlt_moves_only_with_a_published_load(events):
    events.declare()

    def source(_):
        @dlt.resource(name="events")
        def rows(value=dlt.sources.incremental("value")):  # noqa: B008 - dlt's way
            yield [events.row(k, v) for k, v in delivered.items()]

        return rows()

    delivered = {"a": 1.0, "b": 2.0}
    assert events.load(source).success
    delivered = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 500.0}
    assert not events.load(source, "2025-01-16").success
    delivered = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}

    result = events.load(source, "2025-01-16")

    assert events.facts(result)["extracted"] == 2
    assert events.values() == {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}


def test_the_cursor_of_dlt_stays_where_the_audit_refuses_the_rows(events):
    suite = events.project.write(
        "workflows/quality/events.py",
        """
        from phlo_quality import RangeCheck, phlo_quality

        @phlo_quality(table="bronze.events", checks=[RangeCheck("value", max_value=2)])
        def small():
            pass
        """,
    )
    events.declare(**APPENDED)
    delivered = {"a": 1.0}
    source = follow(events, delivered, lambda _: None)
    assert events.load(source).success
    delivered |= {"b": 2.0, "c": 3.0}
    failed = events.load(source)
    assert "Blocking checks did not pass" in events.failure(failed).description
    assert events.values() == {"a": 1.0}
    suite.unlink()

    result = events.declare(**APPENDED).load(source)

    assert events.facts(result)["extracted"] == 2
    assert [(r["id"], r["value"]) for r in events.rows()] == [("a", 1.0), ("b", 2.0), ("c", 3.0)]


def follow(events, delivered, meanwhile):
    """A source with a cursor, during whose first extraction something else happens."""
    calls = []

    def source(_):
        calls.append(None)
        is_first = len(calls) == 1

        @dlt.resource(name="events")
        def rows(value=dlt.sources.incremental("value")):  # noqa: B008 - dlt's way
            if is_first:
                meanwhile(source)
            yield [events.row(k, v) for k, v in delivered.items()]

        return rows()

    return source


APPENDED = {"merge_strategy": "append", "merge_config": {"on_rerun": "append"}}


def test_a_first_load_whose_cursor_another_one_published_is_extracted_anew(events):
    events.declare(**APPENDED, max_retries=1, retry_delay_seconds=0)
    delivered = {"a": 1.0, "b": 2.0}

    def meanwhile(source):
        assert events.load(source, "2025-01-16").success
        delivered["c"] = 3.0

    assert events.load(follow(events, delivered, meanwhile)).success
    assert [r["id"] for r in events.rows()] == ["a", "b", "c"]


def test_loads_that_go_on_from_a_cursor_run_one_at_a_time(events):
    events.declare(**APPENDED)
    delivered = {"a": 1.0}
    assert events.load(follow(events, delivered, lambda _: None)).success
    delivered["b"] = 2.0
    results, threads = [], []

    def meanwhile(source):
        other = threading.Thread(target=lambda: results.append(events.load(source, "2025-01-17")))
        threads.append(other)
        other.start()
        time.sleep(1)  # it would be done by now, were it not made to wait

    assert events.load(follow(events, delivered, meanwhile), "2025-01-16").success
    threads[0].join()
    assert [events.facts(r)["extracted"] for r in results] == [0]
    assert [r["id"] for r in events.rows()] == ["a", "b"]


def test_the_docstring_of_the_schema_describes_asset_and_table(events):
    schema = '''
        import pandera.pandas as pa

        class EventSchema(pa.DataFrameModel):
            """Events of the shop."""

            id: str
            value: float
    '''
    events.declare(schema)
    definitions = events.project.definitions()
    (node,) = [
        spec
        for asset in definitions.resolve_asset_graph().assets_defs
        for spec in asset.specs
        if spec.key.to_user_string() == "dlt_events"
    ]
    assert node.description == "Events of the shop."
    assert events.load([{"id": "a", "value": 1.0}]).success
    before = events.table()
    assert before.properties["comment"] == "Events of the shop."
    assert events.load([{"id": "a", "value": 1.0}]).success
    assert events.table().metadata_location == before.metadata_location
