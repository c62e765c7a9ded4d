"""Rows that delete their key: how they are judged, and what they hold against."""

import dataclasses
import importlib
import itertools
import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from phlo.errors import SingleTableCatalogError
from phlo.names import INGESTED_AT_COLUMN, PARTITION_DATE_COLUMN, Partition, TableName
from phlo.specs import spec_of
from phlo.sql import sql
from phlo.values import LoadAccount
from phlo_dlt.attempt import Attempt, LoadReport, Prepared, QuarantinedRows
from phlo_dlt.deadline import Deadline
from phlo_dlt.load import publish_load, table_schema
from phlo_dlt.settings import get_dlt_settings
from phlo_dlt.spec import MergeConfig

NOON = datetime(2025, 1, 20, 12, tzinfo=UTC)

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


# -- deletes against older partitions


def test_an_older_partition_does_not_bring_a_deleted_row_back(feed):
    events = feed()
    events.load([row("e1"), row("e2")], "2025-01-14")
    events.load([gone("e1")], "2025-01-16")

    result = events.load([row("e1"), row("e2")], "2025-01-14")

    assert left(events) == {"e2": 1}
    facts = events.facts(result)
    assert (facts["extracted"], facts["unchanged"], facts["deduplicated"]) == (2, 1, 1)


def test_a_later_partition_brings_it_back_for_good(feed):
    events = feed()
    for day, rows in (("14", [row("e1")]), ("15", [gone("e1")]), ("16", [row("e1", 3)])):
        events.load(rows, f"2025-01-{day}")

    events.load([row("e1")], "2025-01-14")
    events.load([gone("e1")], "2025-01-15")

    assert left(events) == {"e1": 3}


def test_a_delete_that_is_gone_from_its_own_partition_holds_no_longer(feed):
    events = feed()
    events.load([row("e1"), row("e2")], "2025-01-14")
    events.load([gone("e1"), gone("e2")], "2025-01-16")

    events.load([gone("e2")], "2025-01-16")  # corrected
    events.load([row("e1"), row("e2")], "2025-01-14")

    assert left(events) == {"e1": 1}


def test_a_source_that_hands_over_what_is_new_takes_no_delete_back(feed):
    events = feed(on_rerun="append")
    events.load([row("e1")], "2025-01-14")
    events.load([gone("e1")], "2025-01-16")

    events.load([row("e3")], "2025-01-16")
    events.load([row("e1")], "2025-01-14")

    assert left(events) == {"e3": 1}


def test_a_failed_load_remembers_no_delete(feed):
    events = feed()
    events.load([row("e1")], "2025-01-14")

    assert not events.load([gone("e2"), row("e3", -1)], "2025-01-16").success
    events.load([row("e2")], "2025-01-14")

    assert left(events) == {"e1": 1, "e2": 1}


def test_deletes_of_a_table_that_was_dropped_are_forgotten_with_it(feed):
    events = feed()
    events.load([row("e1")], "2025-01-14")
    events.load([gone("e1")], "2025-01-16")
    events.project.lake.store.drop(TableName("bronze", "events"))

    events.load([row("e1")], "2025-01-14")
    events.load([row("e1")], "2025-01-14")

    assert left(events) == {"e1": 1}


def test_the_table_and_its_deleted_keys_are_published_together(feed):
    events = feed()
    events.load([row("e1"), row("e2")], "2025-01-14")
    events.load([gone("e1")], "2025-01-16")

    (tombstone,) = events.rows("tombstones.bronze__events")
    assert (tombstone["id"], str(tombstone["_phlo_partition_date"])) == ("e1", "2025-01-16")
    events.load([row("e1", 5)], "2025-01-17")
    assert events.rows("tombstones.bronze__events") == []


DAYS = [Partition.parse(f"2025-01-1{n}") for n in range(4)]
KEYS = ["a", "b"]
EVENT = st.none() | st.tuples(st.booleans(), st.integers(0, 3))
"""What a day says of a key: nothing, or whether it is gone, and its place among all events."""
HISTORY = st.lists(st.tuples(*[EVENT for _ in KEYS]), min_size=4, max_size=4)


class Feed:
    """Loads days of a history into a table of its own, by the steps that follow extraction."""

    tables = itertools.count()

    def __init__(self, events, folder, *, has_order):
        name = TableName("bronze", f"feed_{next(self.tables)}")
        config = MergeConfig(delete_column="gone", order_by="at" if has_order else None)
        spec = spec_of(importlib.import_module("workflows.ingestion.api.events").api_events)
        self.spec = dataclasses.replace(spec, table=name, merge_config=config)
        self.lake, self.folder, self.began = events.project.lake, folder, NOON

    def load(self, partition, rows):
        self.began += timedelta(minutes=1)
        attempt = Attempt(
            self.spec,
            self.lake,
            suites=(),
            settings=get_dlt_settings(),
            folder=self.folder,
            partition=partition,
            run_id="run",
            number=0,
            deadline=Deadline(60, "A load"),
            began_at=self.began,
        )
        times = {INGESTED_AT_COLUMN: self.began, PARTITION_DATE_COLUMN: partition.date}
        schema = pa.schema([f.with_nullable(True) for f in table_schema(self.spec)])
        table = pa.Table.from_pylist([row | times for row in rows], schema=schema)
        prepared = Prepared(ds.dataset(table), QuarantinedRows(None), None)
        report = LoadReport(rows=LoadAccount(extracted=len(rows)))
        publish_load(attempt, prepared, report)
        assert report.rows.is_balanced

    def rows(self):
        query = sql("SELECT id, value FROM {t}", t=self.spec.table)
        return {r["id"]: r["value"] for r in self.lake.engine.query(query).read_all().to_pylist()}


def said(history, day):
    """The rows that a day delivers."""
    events = zip(KEYS, history[day], strict=True)
    return [
        {"id": key, "gone": event[0], "value": day, "name": f"{key}{day}", "at": event[1]}
        for key, event in events
        if event is not None
    ]


def expected(history, *, has_order):
    """By key the last event of all, by its place if there is one, else by its day."""
    last = {}
    for day in range(len(DAYS)):
        for event in said(history, day):
            rank = (event["at"] if has_order else 0, day)
            last[event["id"]] = max(last.get(event["id"], (rank, event)), (rank, event), key=_rank)
    return {key: event["value"] for key, (_, event) in last.items() if not event["gone"]}


def _rank(pair):
    return pair[0]


@pytest.mark.parametrize("has_order", [False, True], ids=["by day", "by a column"])
def test_days_in_any_order_and_number_end_as_in_date_order(feed, tmp_path, has_order):
    events = feed()

    @settings(max_examples=4, deadline=None, database=None, phases=[Phase.generate])
    @given(HISTORY, st.permutations(range(4)), st.lists(st.integers(0, 3), max_size=3))
    def hold(history, order, again):
        table = Feed(events, tmp_path, has_order=has_order)
        for day in (*order, *again):
            table.load(DAYS[day], said(history, day))
        assert table.rows() == expected(history, has_order=has_order)

    hold()


class OneTableStore:
    """The store of a catalog that commits one table at a time."""

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)

    def publish(self, staged, **options):
        if len(staged) > 1:
            raise SingleTableCatalogError("One table at a time.")
        return self._store.publish(staged, **options)


def test_a_catalog_that_commits_one_table_at_a_time_gets_deleted_keys_first(feed, tmp_path):
    table = Feed(feed(), tmp_path, has_order=False)
    table.lake = dataclasses.replace(table.lake, store=OneTableStore(table.lake.store))
    history = [((False, 0), (False, 0)), ((True, 0), None), (None, None), (None, None)]

    for day in (0, 1, 0):
        table.load(DAYS[day], said(history, day))

    assert table.rows() == {"b": 0}
