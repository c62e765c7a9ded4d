"""Tables whose folder was moved, and catalogs that were lost."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from phlo.errors import MovedHeadError, UnreadableTableError
from phlo.names import TableName
from phlo.values import Append, Repair
from phlo_iceberg.read.engine import DuckDBEngine
from phlo_iceberg.store import IcebergStore
from phlo_iceberg.upkeep.policy import Policy
from phlo_iceberg.write import stage
from phlo_testing.loads import load_rows, with_metadata
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

OTHER = TableName("silver", "other")


class Place:
    """A folder with a catalog and a warehouse, as a project has them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.open_stores = folder, []

    def store(self) -> IcebergStore:
        self.folder.mkdir(exist_ok=True)
        catalog = load_catalog(
            "lake",
            type="sql",
            uri=f"sqlite:///{self.folder}/catalog.db",
            warehouse=(self.folder / "warehouse").as_uri(),
        )
        self.open_stores.append(catalog)
        return IcebergStore(catalog, Policy(min_small_files=2, deleted_share=0))

    def move(self, target: Path) -> "Place":
        self.close()
        shutil.move(self.folder, target)
        return Place(target)

    def close(self) -> None:
        for catalog in self.open_stores:
            catalog.engine.dispose()


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path / "here")
    yield place
    place.close()


def load(store, pairs, how, extraction=0, table=EVENTS):
    return publish_rows(store, events(pairs), how, extraction=extraction, table=table)


def read(store, table=EVENTS, **scan) -> list[tuple]:
    handle = store.catalog.load_table((table.namespace, table.name))
    rows = sorted((r["id"], r["value"]) for r in handle.scan(**scan).to_arrow().to_pylist())
    if not scan:
        by_engine = DuckDBEngine(store).query(f"SELECT id, value FROM {table}").read_all()
        assert sorted((r["id"], r["value"]) for r in by_engine.to_pylist()) == rows
    return rows


def fill(store, monkeypatch) -> None:
    """Two snapshots with position deletes, a kept audit, another table."""
    monkeypatch.setattr(stage, "REWRITE_ROWS", 0)
    load(store, [(f"k{n:02}", n) for n in range(40)], merge(DAY_1))
    assert load(store, [("k07", -7)], merge(DAY_2), 1).strategy == "merge-on-read"
    kept = stage_rows(store, events([("k08", -8)]), merge(DAY_2), extraction=2)
    assert store.keep(kept, "audit/x/1")
    load(store, [("z", 1)], Append(DAY_1), table=OTHER)


EXPECTED = [(f"k{n:02}", n if n != 7 else -7) for n in range(40)]


def paths_in(store, table=EVENTS) -> set[str]:
    """Every path that some snapshot of the table names."""
    handle = store.catalog.load_table((table.namespace, table.name))
    found = {handle.metadata_location, handle.location()}
    for snapshot in handle.snapshots():
        found.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(handle.io):
            found.add(manifest.manifest_path)
            for entry in manifest.fetch_manifest_entry(handle.io, discard_deleted=False):
                found.add(entry.data_file.file_path)
                if "-deletes" in entry.data_file.file_path:
                    local = entry.data_file.file_path.removeprefix("file://")
                    found |= set(pq.read_table(local)["file_path"].to_pylist())
    return found


def test_healthy_tables_need_no_repair(place, monkeypatch):
    store = place.store()
    assert store.repair() == []
    fill(store, monkeypatch)
    before = store.catalog.load_table("bronze.events").metadata_location
    assert store.repair() == []
    assert store.catalog.load_table("bronze.events").metadata_location == before


def test_a_moved_folder_is_named_with_its_remedy(place, monkeypatch, tmp_path):
    fill(place.store(), monkeypatch)
    store = place.move(tmp_path / "there").store()
    for use in (store.load, store.exists, store.history, store.maintain):
        with pytest.raises(UnreadableTableError, match="phlo doctor --fix"):
            use(EVENTS)


def test_tables_of_a_moved_folder_are_as_they_were(place, monkeypatch, tmp_path):
    fill(place.store(), monkeypatch)
    before = [(s.snapshot_id, s.parent_id, s.summary) for s in place.store().history(EVENTS)]
    there = place.move(tmp_path / "there")
    store = there.store()

    planned = store.repair(dry_run=True)
    with pytest.raises(UnreadableTableError):
        store.load(EVENTS)
    assert store.repair() == planned
    assert [(r.table, r.problem) for r in planned] == [(EVENTS, "moved"), (OTHER, "moved")]

    assert read(store) == EXPECTED
    assert read(store, OTHER) == [("z", 1)]
    history = store.history(EVENTS)
    assert [(s.snapshot_id, s.parent_id, s.summary) for s in history] == before
    assert read(store, snapshot_id=history[1].snapshot_id) == [(f"k{n:02}", n) for n in range(40)]
    kept = store.catalog.load_table("bronze.events").scan().use_ref("audit/x/1").to_arrow()
    assert {r["id"]: r["value"] for r in kept.to_pylist()}["k08"] == -8
    assert not [p for p in paths_in(store) if not p.startswith((tmp_path / "there").as_uri())]
    assert store.repair() == []
    there.close()


def test_a_moved_table_is_loaded_and_maintained_as_any_other(place, monkeypatch, tmp_path):
    fill(place.store(), monkeypatch)
    there = place.move(tmp_path / "there")
    store = there.store()
    store.repair()
    published = load(store, [("k07", 77), ("k09", 9)], merge(DAY_2), 3)
    assert (published.account.updated, published.account.unchanged) == (1, 1)
    expected = [(f"k{n:02}", n if n != 7 else 77) for n in range(40)]
    assert read(store) == expected
    assert store.maintain(EVENTS).compacted_files
    assert read(store) == expected
    there.close()


def test_a_folder_can_be_moved_again_and_back(place, monkeypatch, tmp_path):
    fill(place.store(), monkeypatch)
    for number, target in enumerate(["b", "here", "c"]):
        place = place.move(tmp_path / target)
        store = place.store()
        store.repair()
        load(store, [(f"m{number}", number)], merge(DAY_2), 9 + number)
        moved = [("m0", 0), ("m1", 1), ("m2", 2)][: number + 1]
        assert read(store) == EXPECTED + moved
    place.close()


def test_a_copy_of_a_project_becomes_independent_of_the_original(place, monkeypatch, tmp_path):
    original = place.store()
    fill(original, monkeypatch)
    shutil.copytree(place.folder, tmp_path / "copy")
    copied = Place(tmp_path / "copy")
    store = copied.store()
    assert [r.table for r in store.repair()] == [EVENTS, OTHER]
    load(store, [("new", 1)], merge(DAY_2), 9)
    assert read(store) == [*EXPECTED, ("new", 1)]
    assert read(original) == EXPECTED
    assert not [p for p in paths_in(store) if not p.startswith((tmp_path / "copy").as_uri())]
    copied.close()


@pytest.mark.parametrize("moved", [False, True])
def test_a_lost_catalog_is_rebuilt_from_the_newest_metadata(place, monkeypatch, tmp_path, moved):
    fill(place.store(), monkeypatch)
    (place.folder / "catalog.db").unlink()
    if moved:
        place = place.move(tmp_path / "there")
    else:
        place.close()
    store = place.store()
    assert store.list_tables() == []
    assert [(r.table, r.problem) for r in store.repair()] == [(EVENTS, "lost"), (OTHER, "lost")]
    assert read(store) == EXPECTED
    assert read(store, OTHER) == [("z", 1)]
    load(store, [("new", 1)], merge(DAY_2), 9)
    assert read(store) == [*EXPECTED, ("new", 1)]
    assert store.repair() == []
    place.close()


def test_what_was_never_committed_does_not_come_back_with_a_rebuilt_catalog(place):
    store = place.store()
    load(store, [("a", 1)], merge(DAY_1))
    stale = stage_rows(store, events([("a", 2)]), merge(DAY_2))
    load(store, [("a", 3)], merge(DAY_2), 1)
    with pytest.raises(MovedHeadError):
        store.publish([stale])
    (place.folder / "catalog.db").unlink()
    place.close()
    store = place.store()
    store.repair()
    assert read(store) == [("a", 3)]


def test_a_table_whose_files_are_gone_is_no_repair(place, monkeypatch):
    store = place.store()
    fill(store, monkeypatch)
    shutil.rmtree(place.folder / "warehouse" / "silver")
    assert store.repair() == []
    with pytest.raises(UnreadableTableError):
        store.load(OTHER)


def test_folders_that_are_no_tables_are_passed_over(place):
    folder = place.folder / "warehouse" / "bronze" / "events" / "metadata"
    folder.mkdir(parents=True)
    (folder / "notes.json").write_text(json.dumps({}))
    assert place.store().repair() == []


def test_another_writers_table_is_found_by_its_folder(place):
    store = place.store()
    store.catalog.create_namespace("gold")
    location = (place.folder / "warehouse" / "gold" / f"daily-{'0a' * 16}").as_uri()
    handle = store.catalog.create_table(
        "gold.daily", with_metadata(SCHEMA), location=location, properties={"format-version": "1"}
    )
    rows = load_rows(SCHEMA, [{"id": "a", "value": 1}], DAY_1, 0).to_table()
    handle.append(rows.cast(handle.schema().as_arrow()))
    moved = place.move(place.folder.parent / "there")
    (moved.folder / "catalog.db").unlink()
    store = moved.store()
    assert [str(r.table) for r in store.repair()] == ["gold.daily"]
    assert read(store, TableName("gold", "daily")) == [("a", 1)]
    moved.close()


def test_a_repair_says_which_metadata_it_restores(place, monkeypatch, tmp_path):
    fill(place.store(), monkeypatch)
    there = place.move(tmp_path / "there")
    found = there.store().repair(dry_run=True)[1]
    assert isinstance(found, Repair)
    assert found.restored_from.startswith(
        (tmp_path / "there/warehouse/silver/other/metadata/").as_uri()
    )
    there.close()
