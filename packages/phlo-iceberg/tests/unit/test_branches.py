"""Branches of the whole lake: each is a store of its own, and main moves by publishing alone."""

from contextlib import suppress
from datetime import timedelta

import pytest
from phlo.branches import KeepsBranches
from phlo.config import reset_settings
from phlo.errors import (
    BranchConflictError,
    BranchExistsError,
    BranchInUseError,
    BranchNotFoundError,
    InvalidNameError,
    MovedHeadError,
    UnsupportedCatalogError,
)
from phlo.lake import open_lake, reset_lake
from phlo.names import TableName
from phlo_iceberg.branches import reachable
from phlo_iceberg.read.engine import DuckDBEngine
from phlo_iceberg.store import IcebergStore
from phlo_iceberg.upkeep.policy import Policy
from phlo_testing.stores import (
    DAY_1,
    DAY_2,
    EVENTS,
    TableStoreConformance,
    merge,
    publish_rows,
    stage_rows,
)
from pyiceberg.catalog import load_catalog

OTHER = TableName("silver", "other")
EXPIRE_ALL = Policy(1, timedelta(0), orphan_age=timedelta(seconds=-60))
"""Keeps the newest snapshot alone, and takes every file without one for an orphan."""


@pytest.fixture
def store(phlo_environment):
    return open_lake().store


def read(store, table=EVENTS) -> list[tuple]:
    """Rows as pyiceberg alone reads them, and as the engine does."""
    catalog = load_catalog(store.catalog.name, **store.catalog.properties)
    rows = catalog.load_table((table.namespace, table.name)).scan().to_arrow().to_pylist()
    catalog.engine.dispose()
    by_engine = DuckDBEngine(store).query(f"SELECT id, value FROM {table}").read_all().to_pylist()
    pairs = sorted((row["id"], row["value"]) for row in rows)
    assert pairs == sorted((row["id"], row["value"]) for row in by_engine)
    return pairs


def load(store, pairs, day=DAY_1, table=EVENTS, **options):
    rows = [{"id": key, "value": value} for key, value in pairs]
    return publish_rows(store, rows, merge(day), table=table, **options)


class TestStoreOnABranch(TableStoreConformance):
    """The whole conformance suite, on a branch."""

    @pytest.fixture
    def store(self, phlo_environment):
        main = open_lake().store
        main.create_branch("dev")
        return main.on_branch("dev")

    def read_rows(self, store, table):
        catalog = load_catalog(store.catalog.name, **store.catalog.properties)
        rows = catalog.load_table((table.namespace, table.name)).scan().to_arrow().to_pylist()
        catalog.engine.dispose()
        assert not open_lake().store.exists(table)
        return rows


def test_a_branch_begins_with_all_tables_and_changes_none_of_main(store):
    load(store, [("a", 1), ("b", 2)])
    load(store, [("z", 9)], table=OTHER)
    assert isinstance(store, KeepsBranches)
    branch = store.create_branch("dev")
    dev = store.on_branch("dev")
    load(dev, [("a", 10), ("c", 3)], DAY_2)
    assert (branch.name, branch.source, dev.branch, store.branch) == ("dev", "main", "dev", "main")
    assert [b.name for b in store.branches()] == ["main", "dev"] == [b.name for b in dev.branches()]
    assert read(dev) == [("a", 10), ("b", 2), ("c", 3)]
    assert read(dev, OTHER) == [("z", 9)] == read(store, OTHER)
    assert read(store) == [("a", 1), ("b", 2)]


def test_publishing_moves_changed_created_and_dropped_tables_together(store):
    load(store, [("a", 1)])
    dropped, created = TableName("bronze", "gone"), TableName("gold", "made")
    load(store, [("x", 1)], table=dropped)
    load(store, [("z", 9)], table=OTHER)
    store.create_branch("dev")
    dev = store.on_branch("dev")
    load(dev, [("a", 2)], DAY_2)
    load(dev, [("m", 5)], table=created)
    dev.drop(dropped)
    load(store, [("z", 10)], DAY_2, table=OTHER)  # the branch has nothing to do with it
    changes = {str(c.table): c.change for c in store.diff("dev")}
    assert changes == {
        "bronze.events": "changed",
        "bronze.gone": "dropped",
        "gold.made": "created",
    }
    assert {str(c.table): c.change for c in store.publish_branch("dev")} == changes
    assert read(store) == [("a", 2)]
    assert read(store, created) == [("m", 5)]
    assert read(store, OTHER) == [("z", 10)]
    assert not store.exists(dropped)
    assert store.diff("dev") == [] == store.publish_branch("dev")


def test_a_published_branch_goes_on_and_is_published_again(store):
    load(store, [("a", 1)])
    store.create_branch("dev")
    dev = store.on_branch("dev")
    for value in (2, 3, 4):
        load(dev, [("a", value)], DAY_1, extraction=value)
        store.publish_branch("dev")
        assert read(store) == [("a", value)] == read(dev)
    load(store, [("b", 1)], DAY_2)
    assert read(store) == [("a", 4), ("b", 1)]
    assert read(dev) == [("a", 4)]
    assert len(store.history(EVENTS)) == 5
    assert "phlo.branch" not in store.load(EVENTS).properties


def test_a_table_that_main_changed_meanwhile_is_a_conflict_and_nothing_moves(store):
    load(store, [("a", 1)])
    load(store, [("z", 9)], table=OTHER)
    store.create_branch("dev")
    dev = store.on_branch("dev")
    load(dev, [("a", 2)], DAY_2, summary={"phlo.run-id": "run-of-dev"})
    load(dev, [("z", 10)], DAY_2, table=OTHER)
    load(store, [("a", 3)], DAY_2, summary={"phlo.run-id": "run-of-main"})
    with pytest.raises(
        BranchConflictError, match=r"(?s)bronze\.events.*run-of-d.*run-of-m"
    ) as raised:
        store.publish_branch("dev")
    assert [c.table for c in raised.value.conflicts] == [EVENTS]
    assert read(store) == [("a", 3)]
    assert read(store, OTHER) == [("z", 9)]


def test_a_table_that_the_branch_read_must_not_have_moved(store):
    load(store, [("a", 1)])
    load(store, [("z", 9)], table=OTHER)
    store.create_branch("dev")
    load(store.on_branch("dev"), [("a", 2)], DAY_2)
    load(store, [("z", 10)], DAY_2, table=OTHER)
    with pytest.raises(BranchConflictError, match=r"silver\.other: read by the branch"):
        store.publish_branch("dev", unmoved=[OTHER])
    assert read(store) == [("a", 1)]


def test_both_sides_making_a_table_is_a_conflict(store):
    store.create_branch("dev")
    load(store.on_branch("dev"), [("a", 1)])
    load(store, [("b", 2)])
    with pytest.raises(BranchConflictError, match=r"bronze\.events"):
        store.publish_branch("dev")
    assert read(store) == [("b", 2)]
    assert read(store.on_branch("dev")) == [("a", 1)]


def test_an_update_takes_what_the_branch_has_not_changed(store):
    load(store, [("a", 1)])
    load(store, [("z", 9)], table=OTHER)
    dropped, created = TableName("bronze", "gone"), TableName("gold", "made")
    load(store, [("x", 1)], table=dropped)
    store.create_branch("dev")
    dev = store.on_branch("dev")
    load(dev, [("a", 2)], DAY_2)
    load(store, [("a", 3)], DAY_2)
    store.drop(EVENTS)
    load(store, [("z", 10)], DAY_2, table=OTHER)
    load(store, [("m", 5)], table=created)
    store.drop(dropped)
    update = store.update_branch("dev")
    assert set(update.taken) == {OTHER, dropped, created}
    assert [c.table for c in update.conflicts] == [EVENTS]
    assert read(dev) == [("a", 2)]
    assert read(dev, OTHER) == [("z", 10)]
    assert read(dev, created) == [("m", 5)]
    assert not dev.exists(dropped)
    assert store.update_branch("dev").taken == ()


def test_maintenance_of_any_branch_leaves_every_branch_readable_at_its_base(store):
    for n in range(8):
        load(store, [(str(n), n), ("x", n)], extraction=n)
    store.create_branch("dev")
    store.create_branch("other", "dev")
    sides = [store, store.on_branch("dev"), store.on_branch("other")]
    base = store.history(EVENTS)[0].snapshot_id
    expected = {}
    for number, side in enumerate(sides):
        for n in range(8):
            load(side, [("x", 100 * number + n), (f"new-{number}-{n}", n)], extraction=20 + n)
        expected[side.branch] = read(side)
    for side in (*sides, *reversed(sides)):
        IcebergStore(side.catalog, EXPIRE_ALL).maintain(EVENTS)
        for one in sides:
            assert read(one) == expected[one.branch]
            assert one.examine(EVENTS, deep=True) == []
            at_base = DuckDBEngine(one).query(
                "SELECT count(*) AS n FROM bronze.events", at={EVENTS: str(base)}
            )
            assert at_base.read_all().to_pylist() == [{"n": 9}]


def test_maintenance_goes_on_where_a_branch_is_deleted_meanwhile(store, monkeypatch):
    for n in range(3):
        load(store, [("x", n)], extraction=n)
    store.create_branch("dev")
    load(store.on_branch("dev"), [("x", 9)], extraction=9)
    read_stored = reachable.read_stored

    def delete_and_read(catalog, location):
        with suppress(BranchNotFoundError):
            store.delete_branch("dev")
        return read_stored(catalog, location)

    monkeypatch.setattr(reachable, "read_stored", delete_and_read)
    IcebergStore(store.catalog, Policy(orphan_age=timedelta(seconds=-60))).maintain(EVENTS)
    assert read(store) == [("x", 2)]


def test_joining_small_files_on_main_is_no_conflict(store):
    for n in range(8):
        load(store, [(str(n), n)], extraction=n)
    store.create_branch("dev")
    load(store.on_branch("dev"), [("7", 70)], DAY_2)
    report = IcebergStore(store.catalog, EXPIRE_ALL).maintain(EVENTS)
    assert report.compacted_files
    store.publish_branch("dev")
    assert read(store) == [(str(n), n) for n in range(7)] + [("7", 70)]
    assert store.examine(EVENTS, deep=True) == []


def test_deleting_a_branch_removes_its_files_and_no_others(store, tmp_path):
    load(store, [("a", 1)])
    warehouse = tmp_path.rglob("warehouse")
    (warehouse,) = list(warehouse) or [None]
    before = {p for p in warehouse.rglob("*") if p.is_file()}
    store.create_branch("dev")
    dev = store.on_branch("dev")
    load(dev, [("a", 2), ("b", 2)], DAY_2)
    load(dev, [("m", 5)], table=TableName("gold", "made"))
    store.delete_branch("dev")
    after = {p for p in warehouse.rglob("*") if p.is_file()}
    assert after == before
    assert [b.name for b in store.branches()] == ["main"]
    assert read(store) == [("a", 1)]
    with pytest.raises(BranchNotFoundError, match="phlo branch create dev"):
        store.on_branch("dev")


def test_what_was_published_outlives_the_branch(store):
    load(store, [("a", 1)])
    store.create_branch("dev")
    dev = store.on_branch("dev")
    load(dev, [("a", 2), ("b", 2)], DAY_2)
    load(dev, [("m", 5)], table=OTHER)
    store.publish_branch("dev")
    load(dev, [("a", 7)], DAY_2, extraction=3)
    store.delete_branch("dev")
    IcebergStore(store.catalog, EXPIRE_ALL).maintain(EVENTS)
    assert read(store) == [("a", 2), ("b", 2)]
    assert read(store, OTHER) == [("m", 5)]
    assert store.examine(EVENTS, deep=True) == [] == store.examine(OTHER, deep=True)


def test_a_load_onto_a_deleted_branch_lands_nothing(store):
    load(store, [("a", 1)])
    store.create_branch("dev")
    dev = store.on_branch("dev")
    staged = [
        stage_rows(dev, [{"id": "a", "value": 2}], merge(DAY_2)),
        stage_rows(dev, [{"id": "n", "value": 2}], merge(DAY_2), table=OTHER),
    ]
    store.delete_branch("dev")
    for one in staged:
        with pytest.raises(MovedHeadError):
            dev.publish([one])
    store.create_branch("dev")
    assert read(store.on_branch("dev")) == [("a", 1)]
    assert not store.on_branch("dev").exists(OTHER)


def test_a_branch_with_branches_of_its_own_stays(store):
    load(store, [("a", 1)])
    store.create_branch("dev")
    load(store.on_branch("dev"), [("a", 2)], DAY_2)
    store.create_branch("try", "dev")
    assert read(store.on_branch("try")) == [("a", 2)]
    with pytest.raises(BranchInUseError, match="'try'"):
        store.delete_branch("dev")
    load(store.on_branch("try"), [("a", 3)], DAY_2, extraction=2)
    store.publish_branch("try")
    assert (read(store), read(store.on_branch("dev"))) == ([("a", 1)], [("a", 3)])
    store.publish_branch("dev")
    assert read(store) == [("a", 3)]


def test_a_lost_catalog_is_rebuilt_without_what_branches_wrote(store):
    load(store, [("a", 1)])
    store.create_branch("dev")
    dev = store.on_branch("dev")
    for n in range(3):
        load(dev, [("a", 10 + n)], DAY_2, extraction=n)
    load(dev, [("m", 5)], table=OTHER)
    fresh = load_catalog("lake", **store.catalog.properties | {"uri": "sqlite:///:memory:"})
    fresh.create_tables()
    rebuilt = IcebergStore(fresh)
    assert [r.table for r in rebuilt.repair()] == [EVENTS]
    rows = fresh.load_table("bronze.events").scan().to_arrow().to_pylist()
    assert [(r["id"], r["value"]) for r in rows] == [("a", 1)]
    fresh.engine.dispose()


def test_tables_of_a_branch_are_found_again_after_the_folder_was_moved(tmp_path):
    def open_in(folder):
        uri, warehouse = f"sqlite:///{folder}/catalog.db", (folder / "warehouse").as_uri()
        return IcebergStore(load_catalog("lake", type="sql", uri=uri, warehouse=warehouse))

    (tmp_path / "before").mkdir()
    store = open_in(tmp_path / "before")
    load(store, [("a", 1)])
    load(store, [("z", 9)], table=OTHER)
    store.create_branch("dev")
    load(store.on_branch("dev"), [("a", 2)], DAY_2)
    store.catalog.engine.dispose()
    moved = open_in((tmp_path / "before").rename(tmp_path / "after"))
    for one in (moved, moved.on_branch("dev")):
        assert {r.table for r in one.repair()} == {EVENTS, OTHER}
    assert (read(moved), read(moved.on_branch("dev"))) == ([("a", 1)], [("a", 2)])
    assert [c.table for c in moved.publish_branch("dev")] == [EVENTS]
    assert (read(moved), read(moved, OTHER)) == ([("a", 2)], [("z", 9)])
    assert moved.examine(EVENTS, deep=True) == []
    moved.catalog.engine.dispose()


def test_names_that_cannot_be_are_refused(store):
    store.create_branch("dev")
    with pytest.raises(BranchExistsError):
        store.create_branch("dev")
    with pytest.raises(BranchExistsError):
        store.create_branch("main")
    with pytest.raises(BranchNotFoundError, match=r"Did you mean 'dev'\?"):
        store.create_branch("new", "deb")
    for name in ("", "Dev", "a/b", "a@b", "a.b", "x" * 41, "-a"):
        with pytest.raises(InvalidNameError):
            store.create_branch(name)
    with pytest.raises(BranchInUseError):
        store.delete_branch("main")


def test_a_rest_catalog_says_what_to_use_instead(store):
    class Rest:
        name = "lake"

    with pytest.raises(UnsupportedCatalogError, match="PHLO_ICEBERG_CATALOG_TYPE=sql"):
        IcebergStore(Rest()).create_branch("dev")


def test_the_setting_opens_the_lake_on_a_branch(store, monkeypatch):
    load(store, [("a", 1)])
    monkeypatch.setenv("PHLO_BRANCH", "dev")
    reset_settings(), reset_lake()
    with pytest.raises(BranchNotFoundError, match="phlo branch create dev"):
        open_lake()
    store.create_branch("dev")
    lake = open_lake()
    load(lake.store, [("a", 2)], DAY_2)
    rows = lake.engine.query("SELECT value FROM lake.bronze.events").read_all().to_pylist()
    assert rows == [{"value": 2}]
    assert read(store) == [("a", 1)]
