"""A table that a branch and its source changed: the branch's loads are written anew on top."""

from datetime import timedelta

import pyarrow as pa
import pytest
from phlo.errors import BranchConflictError
from phlo.lake import open_lake
from phlo.names import TableName
from phlo.values import Append, Merge, Replace
from phlo_iceberg.store import IcebergStore
from phlo_iceberg.upkeep.policy import Policy
from phlo_testing.stores import DAY_1, DAY_2, DAY_3, EVENTS, SCHEMA, events, publish_rows
from pyiceberg.catalog import load_catalog
from pyiceberg.types import LongType, StringType

WITH_EXTRA = SCHEMA.append(pa.field("extra", pa.string()))
APPEND = Append(DAY_1, on_rerun="append")


@pytest.fixture
def store(phlo_environment):
    return open_lake().store


def merge(day=DAY_1, **options):
    return Merge(("id",), day, **options)


def load(store, pairs, how=None, *, run="", **options):
    summary = {"phlo.run-id": run or f"run-{store.branch}"}
    publish_rows(store, events(pairs), how or merge(), summary=summary, **options)


def delete(store, *keys, extraction=0):
    rows = [{"id": key, "is_gone": True} for key in keys]
    schema = SCHEMA.append(pa.field("is_gone", pa.bool_()))
    staged = _stage_deletes(store, rows, schema, extraction)
    store.publish([staged])


def _stage_deletes(store, rows, schema, extraction):
    from phlo_testing.loads import load_rows, with_metadata

    return store.stage(
        EVENTS,
        load_rows(schema, rows, DAY_1, extraction),
        merge(delete_column="is_gone"),
        schema=with_metadata(SCHEMA),
    )


def read(store, table=EVENTS, *columns):
    """Rows as pyiceberg alone reads them."""
    catalog = load_catalog(store.catalog.name, **store.catalog.properties)
    rows = catalog.load_table((table.namespace, table.name)).scan().to_arrow().to_pylist()
    catalog.engine.dispose()
    return sorted(tuple(row[c] for c in ("id", "value", *columns)) for row in rows)


@pytest.fixture
def dev(store):
    load(store, [("a", 1), ("b", 1), ("c", 1)])
    store.create_branch("dev")
    return store.on_branch("dev")


def rebased(store):
    """Update, and publish what became of it."""
    update = store.update_branch("dev")
    assert [change.table for change in update.rebased] == [EVENTS]
    assert update.conflicts == ()
    on_branch = read(store.on_branch("dev"))
    store.publish_branch("dev")
    assert read(store) == on_branch
    return on_branch


def obstacle(store):
    """Update, and return why the table stays a conflict."""
    before = read(store.on_branch("dev"))
    update = store.update_branch("dev")
    assert [change.table for change in update.conflicts] == [EVENTS]
    assert update.rebased == ()
    assert read(store.on_branch("dev")) == before
    with pytest.raises(BranchConflictError):
        store.publish_branch("dev")
    return update.obstacles[EVENTS]


def test_merges_of_other_keys_come_together(store, dev):
    load(dev, [("a", 5), ("d", 5)], extraction=1)
    load(store, [("b", 7), ("e", 7)], extraction=2)
    assert rebased(store) == [("a", 5), ("b", 7), ("c", 1), ("d", 5), ("e", 7)]


def test_each_load_keeps_its_run_and_account(store, dev):
    load(dev, [("a", 5)], extraction=1, run="first")
    load(dev, [("a", 6), ("d", 6)], merge(DAY_2), extraction=2, run="second")
    load(store, [("e", 7)], extraction=3)
    rebased(store)
    newest, first, *_ = store.history(EVENTS)
    accounts = [
        [s.summary[f"phlo.{name}"] for name in ("run-id", "inserted", "updated", "row-count")]
        for s in (newest, first)
    ]
    assert accounts == [["second", "1", "1", "5"], ["first", "0", "1", "4"]]


def test_a_row_that_both_loaded_is_that_of_the_later_load(store, dev):
    load(dev, [("a", 5), ("b", 5)], merge(DAY_2), extraction=1)
    load(store, [("a", 7)], merge(DAY_3), extraction=0)
    load(store, [("b", 7)], merge(DAY_1), extraction=9)
    assert rebased(store) == [("a", 7), ("b", 5), ("c", 1)]


def test_deletes_on_either_side_stand(store, dev):
    delete(dev, "a", extraction=1)
    delete(store, "b", extraction=2)
    load(store, [("d", 7)], extraction=3)
    assert rebased(store) == [("c", 1), ("d", 7)]


def test_a_delete_of_a_row_that_the_source_changed_is_a_conflict(store, dev):
    delete(dev, "a", extraction=1)
    load(store, [("a", 7)], extraction=2)
    assert obstacle(store) == "the branch deleted rows that the source changed"


def test_a_load_that_left_rows_as_they_were_may_have_met_those_that_changed(store, dev):
    load(dev, [("a", 1), ("d", 5)], extraction=1)
    load(store, [("a", 7)], extraction=2)
    assert "may have met" in obstacle(store)


def test_unchanged_rows_are_no_obstacle_to_new_ones(store, dev):
    load(dev, [("a", 1), ("d", 5)], extraction=1)
    load(store, [("e", 7)], extraction=2)
    assert rebased(store) == [("a", 1), ("b", 1), ("c", 1), ("d", 5), ("e", 7)]


def test_appends_come_together(store, dev):
    load(dev, [("a", 5)], APPEND)
    load(store, [("a", 7)], APPEND)
    assert rebased(store) == [("a", 1), ("a", 5), ("a", 7), ("b", 1), ("c", 1)]


@pytest.mark.parametrize("how", [Replace(DAY_2), Append(DAY_2)], ids=["replace", "append"])
def test_a_partition_that_the_source_left_alone_is_replaced_there(store, dev, how):
    load(dev, [("x", 5)], how, extraction=1)
    load(dev, [("y", 5)], how, extraction=2)
    load(store, [("z", 7)], Append(DAY_3), extraction=3)
    store.maintain(EVENTS)
    assert rebased(store) == [("a", 1), ("b", 1), ("c", 1), ("y", 5), ("z", 7)]


def test_a_partition_that_both_replaced_is_a_conflict(store, dev):
    load(dev, [("x", 5)], Replace(DAY_2), extraction=1)
    load(store, [("y", 7)], Replace(DAY_2), extraction=2)
    assert obstacle(store) == "both sides changed rows of the partition 2025-01-02"


def test_columns_that_both_sides_added_come_together(store, dev):
    other = SCHEMA.append(pa.field("other", pa.string()))
    publish_rows(dev, [{"id": "d", "value": 5, "extra": "e"}], merge(), schema=WITH_EXTRA)
    publish_rows(store, [{"id": "e", "value": 7, "other": "o"}], merge(), schema=other)
    rebased(store)
    assert read(store, EVENTS, "extra", "other")[3:] == [
        ("d", 5, "e", None),
        ("e", 7, None, "o"),
    ]


def test_the_same_new_column_of_both_sides_is_one(store, dev):
    for side, key in ((dev, "d"), (store, "e")):
        rows = [{"id": key, "value": 5, "extra": key}]
        publish_rows(side, rows, merge(), schema=WITH_EXTRA)
    rebased(store)
    assert [row[2] for row in read(store, EVENTS, "extra")[3:]] == ["d", "e"]


def change_schema(store, change):
    with store.catalog.load_table((EVENTS.namespace, EVENTS.name)).update_schema() as update:
        change(update)


@pytest.mark.parametrize(
    ("on_branch", "on_source", "reason"),
    [
        (
            lambda u: u.rename_column("note", "comment"),
            lambda u: u.rename_column("note", "remark"),
            "the branch renamed, dropped or retyped the column 'note'",
        ),
        (
            lambda u: u.add_column("more", LongType()),
            lambda u: u.delete_column("note"),
            "the source renamed, dropped or retyped the column 'note'",
        ),
        (
            lambda u: u.add_column("more", LongType()),
            lambda u: u.add_column("more", StringType()),
            "both sides added the column 'more', with other types",
        ),
    ],
    ids=["renamed", "dropped", "types"],
)
def test_other_schema_changes_on_both_sides_are_a_conflict(
    store, dev, on_branch, on_source, reason
):
    change_schema(dev, on_branch)
    change_schema(store, on_source)
    assert obstacle(store) == reason


def test_a_table_that_both_sides_made_has_the_loads_of_both(store):
    store.create_branch("dev")
    dev = store.on_branch("dev")
    publish_rows(dev, [{"id": "a", "value": 5, "extra": "e"}], merge(DAY_2), schema=WITH_EXTRA)
    load(dev, [("b", 5)], merge(DAY_2), extraction=1)
    load(store, [("b", 7), ("c", 7)], merge(DAY_3))
    assert rebased(store) == [("a", 5), ("b", 7), ("c", 7)]
    assert read(store, EVENTS, "extra")[0] == ("a", 5, "e")


def test_loads_whose_snapshots_expired_are_not_forgotten(store):
    store.create_branch("dev")
    dev = store.on_branch("dev")
    for n in range(3):
        load(dev, [(f"d{n}", n)], extraction=n)
    IcebergStore(dev.catalog, Policy(1, timedelta(0))).maintain(EVENTS)
    load(store, [("e", 7)], extraction=9)
    assert "snapshots have expired" in obstacle(store)


def test_a_cursor_that_both_sides_moved_is_a_conflict(store, dev):
    load(dev, [("d", 5)], properties={"phlo.dlt-state": "5"})
    load(store, [("e", 7)], properties={"phlo.dlt-state": "7"})
    assert "the cursor of its source" in obstacle(store)


def test_the_cursor_of_one_side_stands(store, dev):
    load(dev, [("d", 5)], properties={"phlo.dlt-state": "5"})
    load(store, [("e", 7)])
    rebased(store)
    assert store.load(EVENTS).properties["phlo.dlt-state"] == "5"


def test_rows_of_another_engine_are_a_conflict(store, dev):
    table = dev.catalog.load_table((EVENTS.namespace, EVENTS.name))
    table.append(table.scan().to_arrow().slice(0, 1))
    load(store, [("e", 7)])
    assert obstacle(store) == "the branch's snapshots do not say how their rows were written"


def test_loads_after_joined_files_and_around_an_undo(store, dev):
    load(dev, [("d", 5)], extraction=1, run="undone")
    dev.undo("undone")
    load(dev, [("a", 6)], extraction=2, run="stands")
    dev.maintain(EVENTS)
    load(store, [("e", 7)], extraction=3)
    assert rebased(store) == [("a", 6), ("b", 1), ("c", 1), ("e", 7)]


def test_a_taken_table_is_as_the_source_has_it_and_its_files_go(store, dev, tmp_path):
    load(dev, [("a", 5)], extraction=1)
    load(store, [("a", 7)], extraction=2)
    update = store.update_branch("dev", taken=[EVENTS])
    assert update.taken == (EVENTS,)
    assert read(store.on_branch("dev")) == read(store) == [("a", 7), ("b", 1), ("c", 1)]
    assert store.diff("dev") == []


def test_a_rebased_branch_is_updated_again_and_deleted_without_a_trace(store, dev, tmp_path):
    before = set(tmp_path.rglob("*.parquet"))
    load(dev, [("a", 5)], extraction=1)
    load(store, [("e", 7)], extraction=2)
    store.update_branch("dev")
    load(store, [("f", 7)], extraction=3)
    store.update_branch("dev")
    assert read(store.on_branch("dev")) == sorted([*read(store)[1:], ("a", 5)])
    store.delete_branch("dev")
    assert len(set(tmp_path.rglob("*.parquet")) - before) == 2
    assert read(store) == [("a", 1), ("b", 1), ("c", 1), ("e", 7), ("f", 7)]


def test_other_tables_of_the_branch_are_updated_beside_a_conflict(store, dev):
    other = TableName("silver", "other")
    load(store, [("z", 1)], table=other)
    delete(dev, "a", extraction=1)
    load(store, [("a", 7)], extraction=2)
    update = store.update_branch("dev")
    assert (update.taken, [c.table for c in update.conflicts]) == ((other,), [EVENTS])
    assert read(store.on_branch("dev"), other) == [("z", 1)]
