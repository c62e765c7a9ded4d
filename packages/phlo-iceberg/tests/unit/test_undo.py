"""Taking back what a run published, read by pyiceberg alone."""

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from phlo.errors import RunNotFoundError, UndoError
from phlo.lake import open_lake
from phlo.names import TableName
from phlo_iceberg.branches.publish import publish_branch
from phlo_iceberg.read.engine import DuckDBEngine
from phlo_iceberg.store import IcebergStore
from phlo_iceberg.upkeep.policy import Policy
from phlo_iceberg.write import stage
from phlo_testing.stores import DAY_1, DAY_2, EVENTS, SCHEMA, merge, publish_rows, stage_rows
from pyiceberg.catalog import load_catalog

OTHER = TableName("silver", "other")
ONE, TWO, THREE = "11111111-a", "22222222-b", "33333333-c"


@pytest.fixture
def store(phlo_environment):
    return open_lake().store


def read(store, table=EVENTS):
    catalog = load_catalog(store.catalog.name, **store.catalog.properties)
    rows = catalog.load_table((table.namespace, table.name)).scan().to_arrow().to_pylist()
    catalog.engine.dispose()
    by_engine = DuckDBEngine(store).query(f"SELECT id, value FROM {table}").read_all().to_pylist()
    pairs = sorted((row["id"], row["value"]) for row in rows)
    assert pairs == sorted((row["id"], row["value"]) for row in by_engine)
    return pairs


def load(store, run, pairs, day=DAY_1, table=EVENTS, **options):
    rows = [{"id": key, "value": value} for key, value in pairs]
    publish_rows(store, rows, merge(day), table=table, summary={"phlo.run-id": run}, **options)


def test_every_table_of_a_run_returns_with_its_cursor_and_history_shows_it(store):
    load(store, ONE, [("a", 1), ("b", 2)], properties={"phlo.dlt-state": "s1"})
    load(store, ONE, [("z", 9)], table=OTHER)
    load(store, TWO, [("a", 5), ("c", 3)], DAY_2, properties={"phlo.dlt-state": "s2"})
    load(store, TWO, [("z", 8)], DAY_2, table=OTHER)
    load(store, TWO, [("m", 1)], table=TableName("gold", "made"))
    undo = store.undo("2222")
    assert [(str(t.table), t.action, t.rows_before, t.rows_after) for t in undo.tables] == [
        ("bronze.events", "restored", 3, 2),
        ("gold.made", "dropped", 1, 0),
        ("silver.other", "restored", 1, 1),
    ]
    assert read(store) == [("a", 1), ("b", 2)]
    assert read(store, OTHER) == [("z", 9)]
    assert not store.exists(TableName("gold", "made"))
    loaded = store.load(EVENTS)
    assert (loaded.properties["phlo.dlt-state"], loaded.row_count) == ("s1", 2)
    newest, run, first = store.history(EVENTS)
    assert newest.summary["phlo.undone-runs"] == TWO
    assert (run.summary["phlo.run-id"], first.summary["phlo.run-id"]) == (TWO, ONE)
    with pytest.raises(RunNotFoundError):
        store.undo("2222")


EXPIRE_ALL = Policy(1, timedelta(0), orphan_age=timedelta(seconds=-60))


@pytest.mark.parametrize("rewrite_rows", [0, 1000])
def test_a_table_goes_on_being_loaded_after_an_undo(store, monkeypatch, rewrite_rows):
    monkeypatch.setattr(stage, "REWRITE_ROWS", rewrite_rows)
    load(store, ONE, [(str(n), n) for n in range(40)])
    load(store, TWO, [("7", -7), ("x", 1)], DAY_2)
    store.undo(TWO)
    assert read(store) == sorted((str(n), n) for n in range(40))
    load(store, THREE, [("7", 70), ("8", 80)], DAY_2)
    expected = {str(n): n for n in range(40)} | {"7": 70, "8": 80}
    assert read(store) == sorted(expected.items())
    store.undo(THREE)
    assert read(store) == sorted((str(n), n) for n in range(40))
    load(store, "44444444-d", [("8", 81)], DAY_2)
    IcebergStore(
        store.catalog, Policy(1, timedelta(0), orphan_age=timedelta(seconds=-60))
    ).maintain(EVENTS)
    assert read(store) == sorted((expected | {"7": 7, "8": 81}).items())
    assert store.examine(EVENTS, deep=True) == []


def test_later_runs_are_named_and_taken_back_only_when_asked_for(store):
    load(store, ONE, [("a", 1)])
    load(store, ONE, [("z", 9)], table=OTHER)
    load(store, TWO, [("a", 2)], DAY_2)
    load(store, THREE, [("a", 3)], DAY_2, extraction=3)
    load(store, THREE, [("z", 10)], DAY_2, table=OTHER)
    with pytest.raises(UndoError, match=rf"(?s){THREE}.*--with-later") as raised:
        store.undo(TWO)
    assert raised.value.undo.later_runs == (THREE,)
    assert read(store) == [("a", 3)]
    assert store.plan_undo(TWO).later_runs == (THREE,)
    undo = store.undo(TWO, with_later=True)
    assert [t.table for t in undo.tables] == [EVENTS, OTHER]
    assert (read(store), read(store, OTHER)) == ([("a", 1)], [("z", 9)])


def test_joining_small_files_is_no_later_run(store):
    for n in range(8):
        load(store, f"run-{n}", [(str(n), n)], extraction=n)
    load(store, TWO, [("7", 70)], DAY_2)
    IcebergStore(store.catalog, Policy(50)).maintain(EVENTS)
    store.undo(TWO)
    assert read(store) == [(str(n), n) for n in range(8)]


def replace_values(store, value, table=EVENTS):
    """Replace all rows as CREATE OR REPLACE TABLE of another engine does: without a parent."""
    handle = store.catalog.load_table((table.namespace, table.name))
    rows = handle.scan().to_arrow()
    values = pa.array([value] * len(rows), pa.int64())
    handle.manage_snapshots().remove_branch("main").commit()
    handle.append(rows.set_column(rows.schema.get_field_index("value"), "value", values))


def make_anew(store, folder, value, table=EVENTS):
    """Drop a table and make it anew in another folder, as dbt does by renaming."""
    name = (table.namespace, table.name)
    old = store.catalog.load_table(name)
    rows = old.scan().to_arrow()
    store.catalog.drop_table(name)
    new = store.catalog.create_table(name, rows.schema, location=folder.as_uri())
    values = pa.array([value] * len(rows), pa.int64())
    new.append(rows.set_column(rows.schema.get_field_index("value"), "value", values))


def publish_of(store, run):
    """Publish what stands on the branch as a run's, whose engine wrote no run's id."""
    publish_branch(store.catalog, "work", summaries={EVENTS: {"phlo.run-id": run}})


def test_a_run_whose_engine_replaced_a_table_is_known_and_taken_back(store):
    load(store, ONE, [("a", 1), ("b", 2)])
    store.create_branch("work")
    replace_values(store.on_branch("work"), 7)
    replace_values(store.on_branch("work"), 8)
    publish_of(store, TWO)
    assert read(store) == [("a", 8), ("b", 8)]
    newest, first = store.history(EVENTS)
    assert [s.summary["phlo.run-id"] for s in (newest, first)] == [TWO, ONE]
    assert newest.parent_id == first.snapshot_id
    assert store.plan_undo(ONE).later_runs == (TWO,)
    undo = store.undo(TWO)
    assert [(t.action, t.rows_after) for t in undo.tables] == [("restored", 2)]
    assert read(store) == [("a", 1), ("b", 2)]
    load(store, THREE, [("b", 3)], DAY_2)
    store.undo(ONE, with_later=True)
    assert not store.exists(EVENTS)


def test_a_table_that_a_run_made_anew_is_again_the_one_before(store, tmp_path):
    load(store, ONE, [("a", 1), ("b", 2)])
    load(store, ONE, [("b", 3)], DAY_2)
    store.create_branch("work")
    make_anew(store.on_branch("work"), tmp_path / "anew", 7)
    publish_of(store, TWO)
    assert read(store) == [("a", 7), ("b", 7)]
    (table,) = store.undo(TWO).tables
    assert (table.action, table.rows_before, table.rows_after) == ("restored", 2, 2)
    assert read(store) == [("a", 1), ("b", 3)]
    assert store.examine(EVENTS, deep=True) == []
    with pytest.raises(RunNotFoundError):
        store.undo(TWO)
    load(store, THREE, [("c", 4)], DAY_2, extraction=2)
    store.undo(THREE)
    assert read(store) == [("a", 1), ("b", 3)]


def test_runs_before_and_after_a_table_was_made_anew_are_taken_back_together(store, tmp_path):
    load(store, ONE, [("a", 1)])
    load(store, TWO, [("a", 2)], DAY_2)
    store.create_branch("work")
    make_anew(store.on_branch("work"), tmp_path / "anew", 7)
    publish_of(store, THREE)
    assert store.plan_undo(TWO).later_runs == (THREE,)
    store.undo(TWO, with_later=True)
    assert read(store) == [("a", 1)]
    assert store.examine(EVENTS, deep=True) == []
    store.undo(ONE)
    assert not store.exists(EVENTS)


def test_a_table_made_anew_stays_where_files_of_the_one_before_are_gone(store, tmp_path):
    load(store, ONE, [("a", 1)])
    (file,) = (task.file.file_path for task in store.state(EVENTS).tasks())
    store.create_branch("work")
    make_anew(store.on_branch("work"), tmp_path / "anew", 7)
    publish_of(store, TWO)
    Path(file.removeprefix("file://")).unlink()
    with pytest.raises(UndoError, match="its snapshot before the run has expired"):
        store.undo(TWO)
    assert read(store) == [("a", 7)]


def test_a_column_that_the_run_brought_goes_again(store):
    load(store, ONE, [("a", 1)])
    wider = SCHEMA.append(SCHEMA.field("note").with_name("extra"))
    rows = [{"id": "a", "value": 2, "extra": "x"}]
    staged = stage_rows(store, rows, merge(DAY_2), schema=wider, summary={"phlo.run-id": TWO})
    store.publish([staged])
    assert "extra" in store.load(EVENTS).schema.names
    store.undo(TWO)
    assert "extra" not in store.load(EVENTS).schema.names
    assert read(store) == [("a", 1)]
    load(store, THREE, [("a", 3)], DAY_2)
    store.publish([stage_rows(store, rows, merge(DAY_2), schema=wider, extraction=5)])
    assert read(store) == [("a", 2)]


def test_what_expired_cannot_be_undone_and_nothing_moves(store):
    load(store, ONE, [("a", 1)])
    load(store, ONE, [("z", 9)], table=OTHER)
    load(store, TWO, [("a", 2)], DAY_2)
    load(store, TWO, [("z", 10)], DAY_2, table=OTHER)
    IcebergStore(store.catalog, Policy(1, timedelta(0))).maintain(EVENTS)
    assert len(store.plan_undo(TWO).obstacles) == 1
    with pytest.raises(UndoError, match=r"bronze\.events: its snapshot before the run has expired"):
        store.undo(TWO)
    assert (read(store), read(store, OTHER)) == ([("a", 2)], [("z", 10)])


def test_a_run_on_a_branch_is_undone_there_and_main_stays(store):
    load(store, ONE, [("a", 1)])
    store.create_branch("dev")
    dev = store.on_branch("dev")
    load(dev, TWO, [("a", 2)], DAY_2)
    load(dev, THREE, [("m", 1)], table=OTHER)
    dev.undo(TWO)
    assert (read(dev), read(store)) == ([("a", 1)], [("a", 1)])
    dev.undo(THREE)
    assert not dev.exists(OTHER)
    load(dev, "44444444-d", [("a", 4)], DAY_2, extraction=4)
    store.publish_branch("dev")
    assert read(store) == [("a", 4)]
    store.undo("44444444")
    assert read(store) == [("a", 1)]


def test_a_run_of_the_source_is_undone_on_a_branch_and_by_its_publish(store):
    load(store, ONE, [("a", 1)], properties={"phlo.dlt-state": "s1"})
    load(store, TWO, [("a", 2)], DAY_2, properties={"phlo.dlt-state": "s2"})
    load(store, TWO, [("m", 1)], table=OTHER)
    store.create_branch("dev")
    store.create_branch("lower", "dev")
    lower = store.on_branch("lower")
    load(lower, THREE, [("b", 3)], DAY_2)
    lower.undo(TWO, with_later=True)
    assert (read(lower), lower.load(EVENTS).properties["phlo.dlt-state"]) == ([("a", 1)], "s1")
    assert (read(store), lower.exists(OTHER), store.exists(OTHER)) == ([("a", 2)], False, True)
    store.publish_branch("lower")
    store.publish_branch("dev")
    assert (read(store), store.exists(OTHER)) == ([("a", 1)], False)
    lower.undo(ONE)
    assert not lower.exists(EVENTS)


def test_a_branch_whose_source_no_longer_tells_how_it_was_undoes_none_of_its_runs(store):
    load(store, ONE, [("a", 1)])
    load(store, TWO, [("a", 2)], DAY_2)
    store.create_branch("dev")
    catalog = store.catalog.load_table((EVENTS.namespace, EVENTS.name))
    for entry in catalog.metadata.metadata_log:
        Path(entry.metadata_file.removeprefix("file://")).unlink()
    dev = store.on_branch("dev")
    with pytest.raises(UndoError, match="no longer kept"):
        dev.undo(TWO)
    with pytest.raises(UndoError, match="no longer kept"):
        dev.undo(ONE, with_later=True)
    assert read(dev) == [("a", 2)]


def test_a_run_that_is_not_there_is_an_error(store):
    load(store, ONE, [("a", 1)])
    load(store, "1111-other", [("a", 2)], DAY_2)
    for wrong in ("9999", "", "1111", "snapshot"):
        with pytest.raises(RunNotFoundError):
            store.undo(wrong)
