"""Maintenance: what it joins, drops and removes, and what it must leave."""

import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
import time_machine
from phlo.errors import MovedHeadError
from phlo.values import Append
from phlo_iceberg.read.engine import DuckDBEngine
from phlo_iceberg.store import IcebergStore
from phlo_iceberg.upkeep import maintenance
from phlo_iceberg.upkeep.policy import Policy
from phlo_iceberg.write import snapshot, stage
from phlo_testing.stores import (
    DAY_1,
    DAY_2,
    EVENTS,
    SCHEMA,
    events,
    merge,
    publish_rows,
    stage_rows,
)
from pyiceberg.catalog import load_catalog

# Everything but the newest two snapshots is old at once; nothing is joined unless a test says so.
EAGER = Policy(
    keep_snapshots=2,
    keep_age=timedelta(0),
    audit_age=timedelta(0),
    orphan_age=timedelta(hours=1),
    min_small_files=10_000,
    deleted_share=2.0,
    few_rows=0,
)


@pytest.fixture
def store(tmp_path):
    catalog = load_catalog(
        "lake",
        type="sql",
        uri=f"sqlite:///{tmp_path}/catalog.db",
        warehouse=(tmp_path / "warehouse").as_uri(),
    )
    yield IcebergStore(catalog, EAGER)
    catalog.engine.dispose()


def load(store, pairs, how, extraction=0):
    return publish_rows(store, events(pairs), how, extraction=extraction)


def read(store, snapshot_id=None) -> list[tuple]:
    scan = store.catalog.load_table("bronze.events").scan(snapshot_id=snapshot_id)
    rows = sorted((r["id"], r["value"]) for r in scan.to_arrow().to_pylist())
    if snapshot_id is None:
        engine = DuckDBEngine(store).query("SELECT id, value FROM bronze.events").read_all()
        assert sorted((r["id"], r["value"]) for r in engine.to_pylist()) == rows
    return rows


def files(store) -> set[Path]:
    folder = Path(store.load(EVENTS).location.removeprefix("file://"))
    return {path for path in folder.rglob("*") if path.is_file()}


def make_old(paths) -> None:
    before = time.time() - 2 * 3600
    for path in paths:
        os.utime(path, (before, before))


def test_old_snapshots_go_with_the_files_that_only_they_held(store):
    for n in range(5):
        load(store, [("a", n)], merge(DAY_1), n)
    kept = [s.snapshot_id for s in store.history(EVENTS)][:2]
    before = files(store)
    report = store.maintain(EVENTS)
    assert [s.snapshot_id for s in store.history(EVENTS)] == kept
    assert len(report.expired_snapshots) == 3
    assert {Path(p.removeprefix("file://")) for p in report.removed_files} == before - files(store)
    assert sum(p.suffix == ".parquet" for p in files(store)) == 2
    assert read(store) == [("a", 4)]
    assert read(store, kept[1]) == [("a", 3)]


def test_what_a_branch_holds_stays(store):
    load(store, [("a", 0)], merge(DAY_1))
    for value, branch in ((1, "experiment"), (2, "audit/dlt_events/x/1")):
        staged = stage_rows(store, events([("a", value)]), merge(DAY_2), extraction=1)
        assert store.keep(staged, branch)
    for n in range(3, 6):
        load(store, [("a", n)], merge(DAY_1), n)
    report = store.maintain(EVENTS)
    assert report.removed_branches == ("audit/dlt_events/x/1",)
    table = store.catalog.load_table("bronze.events")
    assert set(table.refs()) == {"main", "experiment"}
    branch = table.scan().use_ref("experiment").to_arrow().to_pylist()
    assert [(r["id"], r["value"]) for r in branch] == [("a", 1)]
    assert read(store) == [("a", 5)]


def test_a_dry_run_lists_and_changes_nothing(store):
    for n in range(5):
        load(store, [("a", n)], merge(DAY_1), n)
    stray = Path(store.load(EVENTS).location.removeprefix("file://")) / "data" / "stray.parquet"
    stray.write_bytes(b"x" * 10)
    make_old([stray])
    before = files(store)
    report = store.maintain(EVENTS, dry_run=True)
    assert (len(report.expired_snapshots), report.is_dry_run) == (3, True)
    assert f"file://{stray}" in report.removed_files
    assert files(store) == before
    assert len(store.history(EVENTS)) == 5


def test_orphans_go_when_they_are_old_and_a_running_stage_keeps_its_files(store):
    load(store, [("a", 1)], merge(DAY_1))
    killed = stage_rows(store, events([("b", 2)]), merge(DAY_1), extraction=1)
    make_old([Path(p.removeprefix("file://")) for p in killed.change.written])
    running = stage_rows(store, events([("c", 3)]), merge(DAY_1), extraction=1)
    report = store.maintain(EVENTS)
    assert set(report.removed_files) == set(killed.change.written)
    store.publish([running])
    assert read(store) == [("a", 1), ("c", 3)]


def test_a_clock_that_is_ahead_makes_nothing_old(store):
    for n in range(5):
        load(store, [("a", n)], merge(DAY_1), n)
    running = stage_rows(store, events([("b", 1)]), merge(DAY_1), extraction=9)
    store._policy = replace(EAGER, keep_age=timedelta(days=5))
    with time_machine.travel(datetime.now(UTC) + timedelta(days=30), tick=True):
        report = store.maintain(EVENTS)
    assert (report.removed_files, report.expired_snapshots) == ((), ())
    assert not [path for path in files(store) if path.suffix == ".clock"]
    store.publish([running])
    assert read(store) == [("a", 4), ("b", 1)]


def test_all_files_may_be_old_and_those_in_use_stay(store):
    for n in range(3):
        load(store, [(f"k{n}", n)], Append(DAY_1, on_rerun="append"), n)
    make_old(files(store))
    store.maintain(EVENTS)
    assert read(store) == [("k0", 0), ("k1", 1), ("k2", 2)]


def test_small_files_are_joined_and_rows_stay(store):
    store._policy = replace(EAGER, min_small_files=3)
    for n in range(6):
        load(store, [(f"k{n}", n)], Append(DAY_1 if n < 5 else DAY_2, on_rerun="append"), n)
    before = store.load(EVENTS).snapshot_id
    report = store.maintain(EVENTS)
    assert (len(report.compacted_files), report.written_files) == (5, 1)
    assert store.history(EVENTS)[0].operation == "replace"
    assert store.history(EVENTS)[0].parent_id == before
    assert read(store) == [(f"k{n}", n) for n in range(6)]
    assert store.load(EVENTS).row_count == 6
    assert not store.maintain(EVENTS).compacted_files


def test_deletes_are_written_into_the_files(store, monkeypatch):
    monkeypatch.setattr(stage, "REWRITE_ROWS", 0)
    store._policy = replace(EAGER, deleted_share=0.01)
    load(store, [(f"k{n:02}", n) for n in range(40)], merge(DAY_1))
    assert load(store, [("k07", -7)], merge(DAY_2), 1).strategy == "merge-on-read"
    report = store.maintain(EVENTS)
    assert len(report.compacted_files) == 1
    tasks = list(store.catalog.load_table("bronze.events").scan().plan_files())
    assert all(not task.delete_files for task in tasks)
    assert store.history(EVENTS)[0].summary["total-delete-files"] == "0"
    expected = [(f"k{n:02}", n if n != 7 else -7) for n in range(40)]
    assert read(store) == expected


@pytest.mark.parametrize(("few_rows", "remaining_deletes"), [(0, 2), (40, 0)])
def test_two_delete_files_of_few_rows_are_written_into_the_files(
    store, monkeypatch, few_rows, remaining_deletes
):
    monkeypatch.setattr(stage, "REWRITE_ROWS", 0)
    store._policy = replace(EAGER, few_rows=few_rows)
    load(store, [(f"k{n:02}", n) for n in range(40)], merge(DAY_1))
    load(store, [("k07", -7)], merge(DAY_2), 1)
    assert not store.maintain(EVENTS).compacted_files, "one delete file is left as it is"
    load(store, [("k08", -8)], merge(DAY_2), 2)
    store.maintain(EVENTS)
    tasks = list(store.catalog.load_table("bronze.events").scan().plan_files())
    assert len({d.file_path for t in tasks for d in t.delete_files}) == remaining_deletes
    assert read(store) == [(f"k{n:02}", -n if n in (7, 8) else n) for n in range(40)]


def test_a_commit_leaves_out_what_a_compaction_removed_and_no_live_file(store, monkeypatch):
    monkeypatch.setattr(snapshot, "MIN_GONE_FILES", 3)
    store._policy = replace(EAGER, min_small_files=5)
    for n in range(5):
        load(store, [(f"k{n}", n)], Append(DAY_1, on_rerun="append"), n)
    compaction = store.maintain(EVENTS)
    assert gone_files(store) == sorted(compaction.compacted_files), "told of the snapshot itself"
    load(store, [("later", 9)], Append(DAY_1, on_rerun="append"), 9)
    assert gone_files(store) == []
    assert read(store) == [*((f"k{n}", n) for n in range(5)), ("later", 9)]
    assert store.examine(EVENTS, deep=True) == []


def gone_files(store) -> list[str]:
    table = store.catalog.load_table("bronze.events")
    entries = (
        entry
        for manifest in table.current_snapshot().manifests(table.io)
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=False)
    )
    return sorted(e.data_file.file_path for e in entries if e.status.name == "DELETED")


def test_a_delete_file_is_read_for_the_data_file_that_it_names_alone(store, monkeypatch):
    monkeypatch.setattr(stage, "REWRITE_ROWS", 0)
    for n in range(3):
        pairs = [(f"k{n}-{m:02}", m) for m in range(20)]
        load(store, pairs, Append(DAY_1, on_rerun="append"), n)
    assert load(store, [("k1-03", -3)], merge(DAY_2), 9).strategy == "merge-on-read"
    tasks = list(store.catalog.load_table("bronze.events").scan().plan_files())
    assert sorted(len(task.delete_files) for task in tasks) == [0, 0, 0, 1]
    found = dict(read(store))
    assert (len(found), found["k1-03"]) == (60, -3)


def meanwhile(monkeypatch, step, happens):
    """Let something happen once, right after a step of maintenance was worked out."""
    done, original = [], getattr(maintenance, step)

    def with_interruption(*args):
        result = original(*args)
        if not done:
            done.append(step)
            happens()
        return result

    monkeypatch.setattr(maintenance, step, with_interruption)


def test_a_load_that_publishes_meanwhile_does_not_stop_a_compaction(store, monkeypatch):
    store._policy = replace(EAGER, min_small_files=3)
    for n in range(4):
        load(store, [(f"k{n}", n)], Append(DAY_1, on_rerun="append"), n)
    how = Append(DAY_1, on_rerun="append")
    meanwhile(monkeypatch, "_write_anew", lambda: load(store, [("later", 9)], how, 9))
    report = store.maintain(EVENTS)
    assert (len(report.compacted_files), report.written_files) == (4, 1)
    assert read(store) == [*((f"k{n}", n) for n in range(4)), ("later", 9)]
    assert store.load(EVENTS).row_count == 5
    assert len(list(store.catalog.load_table("bronze.events").scan().plan_files())) == 2


def test_a_load_that_removes_rows_meanwhile_wins_over_a_compaction(store, monkeypatch):
    store._policy = replace(EAGER, min_small_files=3)
    for n in range(4):
        pairs = [(f"k{n}-{m}", m) for m in range(20)]
        load(store, pairs, Append(DAY_1, on_rerun="append"), n)
    monkeypatch.setattr(stage, "REWRITE_ROWS", 0)
    before = files(store)
    meanwhile(monkeypatch, "_write_anew", lambda: load(store, [("k0-3", -3)], merge(DAY_2), 9))
    report = store.maintain(EVENTS)
    assert report.written_files == 0
    assert report.expired_snapshots
    found = dict(read(store))
    assert (len(found), found["k0-3"]) == (80, -3)
    data = {path for path in files(store) - before if path.suffix == ".parquet"}
    assert len(data) == 2, "the load's rows and its deletes, nothing of the compaction"


def test_a_load_that_publishes_meanwhile_does_not_stop_an_expiry(store, monkeypatch):
    for n in range(4):
        load(store, [(f"k{n}", n)], Append(DAY_1, on_rerun="append"), n)
    first = store.history(EVENTS)[-1].snapshot_id
    how = Append(DAY_1, on_rerun="append")
    meanwhile(monkeypatch, "_reachable", lambda: load(store, [("later", 9)], how, 9))
    assert int(first) in store.maintain(EVENTS).expired_snapshots
    assert len(store.history(EVENTS)) == 2
    assert read(store) == [*((f"k{n}", n) for n in range(4)), ("later", 9)]


def test_a_tag_that_comes_meanwhile_saves_its_snapshot_from_expiry(store, monkeypatch):
    for n in range(4):
        load(store, [("a", n)], merge(DAY_1), n)
    first = int(store.history(EVENTS)[-1].snapshot_id)

    def tag():
        table = store.catalog.load_table("bronze.events")
        table.manage_snapshots().create_tag(first, "audited").commit()

    meanwhile(monkeypatch, "_reachable", tag)
    report = store.maintain(EVENTS)
    assert report.expired_snapshots
    assert first not in report.expired_snapshots
    tagged = store.catalog.load_table("bronze.events").scan().use_ref("audited")
    assert [(r["id"], r["value"]) for r in tagged.to_arrow().to_pylist()] == [("a", 0)]
    assert read(store) == [("a", 3)]


@pytest.mark.parametrize(
    "step", ["_load", "_write_anew", "_with_expired", "_removals", "_reachable"]
)
def test_two_may_maintain_a_table_at_once(store, monkeypatch, step):
    store._policy = replace(EAGER, min_small_files=3)
    for n in range(5):
        load(store, [(f"k{n}", n)], Append(DAY_1, on_rerun="append"), n)
    other = IcebergStore(store.catalog, store._policy)
    meanwhile(monkeypatch, step, lambda: other.maintain(EVENTS))
    store.maintain(EVENTS)
    assert read(store) == [(f"k{n}", n) for n in range(5)]
    assert len(store.history(EVENTS)) == 2
    assert store.examine(EVENTS, deep=True) == []


def test_large_files_that_are_newer_than_all_deletes_are_left_as_they_are(store, monkeypatch):
    monkeypatch.setattr(stage, "REWRITE_ROWS", 0)
    store._policy = replace(EAGER, deleted_share=0.01, small_file_bytes=0)
    load(store, [(f"k0-{m:02}", m) for m in range(40)], merge(DAY_1))
    assert load(store, [("k0-07", -7)], merge(DAY_2), 1).strategy == "merge-on-read"
    rows = [(f"k1-{m:02}", m) for m in range(40)]
    load(store, rows, Append(DAY_1, on_rerun="append"), 2)
    report = store.maintain(EVENTS)
    assert (len(report.compacted_files), report.written_files) == (1, 1)
    found = dict(read(store))
    assert (len(found), found["k0-07"], found["k1-07"]) == (80, -7, 7)
    tasks = list(store.catalog.load_table("bronze.events").scan().plan_files())
    assert all(not task.delete_files for task in tasks)


def test_a_stage_planned_before_a_compaction_never_brings_a_row_back(store, monkeypatch):
    monkeypatch.setattr(stage, "REWRITE_ROWS", 0)
    store._policy = replace(EAGER, min_small_files=2)
    for n in range(3):
        pairs = [(f"k{n}-{m}", m) for m in range(20)]
        load(store, pairs, Append(DAY_1, on_rerun="append"), n)
    staged = stage_rows(store, events([("k0-3", -3)]), merge(DAY_2), extraction=9)
    assert staged.strategy == "merge-on-read"
    assert store.maintain(EVENTS).written_files == 1
    with pytest.raises(MovedHeadError):
        store.publish([staged], rebase=True)
    publish_rows(store, events([("k0-3", -3)]), merge(DAY_2), extraction=9)
    found = dict(read(store))
    assert (len(found), found["k0-3"]) == (60, -3)


def test_a_stage_whose_base_has_expired_is_planned_anew(store):
    load(store, [("a", 0)], merge(DAY_1))
    staged = stage_rows(store, events([("a", 9), ("b", 9)]), merge(DAY_2), extraction=9)
    for n in (1, 2, 3):
        load(store, [("a", n)], merge(DAY_1), n)
    store.maintain(EVENTS)
    with pytest.raises(MovedHeadError):
        store.publish([staged], rebase=True)
    load(store, [("a", 9), ("b", 9)], merge(DAY_2), 9)
    assert read(store) == [("a", 9), ("b", 9)]


@pytest.mark.slow
def test_a_stage_with_a_new_column_is_refused_where_a_rename_came_and_went(store):
    load(store, [("a", 1)], merge(DAY_1))
    wider = SCHEMA.append(pa.field("more", pa.string()))
    rows = [{"id": "b", "value": 2, "more": "m"}]

    def stage_wider():
        return stage_rows(store, rows, merge(DAY_2), extraction=1, schema=wider)

    staged = stage_wider()
    for old, new in (("value", "other"), ("other", "value")):
        with store.catalog.load_table("bronze.events").update_schema() as change:
            change.rename_column(old, new)
    with pytest.raises(MovedHeadError):
        store.publish([staged], rebase=True)
    store.publish([stage_wider()])
    metadata = store.catalog.load_table("bronze.events").metadata
    assert [s.schema_id for s in metadata.schemas] == [0, 1, 2]
    assert read(store) == [("a", 1), ("b", 2)]


def test_another_writers_table_is_maintained_too(store):
    store.catalog.create_namespace("bronze")
    table = store.catalog.create_table(
        "bronze.events", pa.schema([("id", pa.string()), ("value", pa.int64())])
    )
    for n in range(4):
        table.append(pa.table({"id": [f"k{n}"], "value": [n]}))
    store._policy = replace(EAGER, min_small_files=2)
    report = store.maintain(EVENTS)
    assert report.written_files == 1
    assert read(store) == [(f"k{n}", n) for n in range(4)]


def test_rows_are_counted_without_reading_them_and_right_after_foreign_deletes(store, monkeypatch):
    monkeypatch.setattr(stage, "REWRITE_ROWS", 0)
    load(store, [(f"k{n:02}", n) for n in range(40)], merge(DAY_1))
    assert load(store, [("k07", -7), ("new", 1)], merge(DAY_2), 1).row_count == 41
    staged = stage_rows(store, events([("other", 2)]), merge(DAY_2), extraction=2)
    load(store, [("more", 3)], merge(DAY_2), 3)
    (published,) = store.publish([staged], rebase=True)
    assert published.row_count == len(read(store)) == 43
    store.catalog.load_table("bronze.events").delete("id = 'new'")
    assert store.load(EVENTS).row_count == len(read(store)) == 42
    assert load(store, [("last", 4)], merge(DAY_2), 4).row_count == len(read(store)) == 43
