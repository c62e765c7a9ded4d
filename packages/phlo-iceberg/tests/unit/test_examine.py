"""Tables whose files are missing, empty or cut short, as after a power cut."""

import os
from pathlib import Path
from random import Random
from urllib.parse import urlparse

import pytest
from phlo.errors import ConfigurationError, ServiceError, UnreadableTableError
from phlo.values import Damage
from phlo_iceberg.commit import sql
from phlo_iceberg.read.engine import DuckDBEngine
from phlo_iceberg.store import IcebergStore
from phlo_iceberg.upkeep import examine
from phlo_testing.stores import (
    DAY_1,
    DAY_2,
    DAY_3,
    EVENTS,
    events,
    merge,
    publish_rows,
    stage_rows,
)
from pyiceberg.catalog import load_catalog
from sqlalchemy import create_engine

ROWS = 'SELECT id, value FROM "bronze"."events" ORDER BY id'


@pytest.fixture
def store(tmp_path):
    catalog = load_catalog(
        "lake",
        type="sql",
        uri=f"sqlite:///{tmp_path}/catalog.db",
        warehouse=(tmp_path / "warehouse").as_uri(),
    )
    yield IcebergStore(catalog)
    catalog.engine.dispose()


@pytest.fixture
def loads(store):
    """Two loads; the second one is what a power cut may spoil."""
    return [
        publish_rows(store, events([("a", 1)]), merge(DAY_1)),
        publish_rows(store, events([("b", 2)]), merge(DAY_2)),
    ]


def local(address: str) -> Path:
    return Path(urlparse(address).path)


def newest_files(store) -> dict[str, str]:
    table = store.catalog.load_table("bronze.events")
    snapshot = table.current_snapshot()
    (manifest,) = [
        m for m in snapshot.manifests(table.io) if m.added_snapshot_id == snapshot.snapshot_id
    ]
    (entry,) = manifest.fetch_manifest_entry(table.io)
    return {
        "metadata": table.metadata_location,
        "manifest list": snapshot.manifest_list,
        "manifest": manifest.manifest_path,
        "data file": entry.data_file.file_path,
    }


def spoil(address: str, how: str) -> None:
    path = local(address)
    if how == "missing":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def rows(store) -> list[tuple]:
    found = DuckDBEngine(store).query(ROWS).read_all().to_pylist()
    return [(row["id"], row["value"]) for row in found]


def test_a_table_whose_files_are_whole_has_no_damage(store, loads):
    assert store.examine(EVENTS, deep=True) == []
    assert store.repair() == []
    assert rows(store) == [("a", 1), ("b", 2)]


@pytest.mark.parametrize("how", ["missing", "empty", "half"])
@pytest.mark.parametrize("which", ["metadata", "manifest list", "manifest", "data file"])
def test_a_spoilt_file_is_named_and_the_table_goes_back_to_what_is_whole(store, loads, which, how):
    address = newest_files(store)[which]
    spoil(address, how)

    problem = "missing" if how == "missing" else "cut"
    assert store.examine(EVENTS, deep=True) == [Damage(EVENTS, address, problem)]
    if which == "data file" and how != "missing":
        return  # seen by --deep alone, and never repaired unasked
    (repair,) = store.repair()

    assert (repair.table, repair.problem) == (EVENTS, "damaged")
    lost = {loads[1].snapshot_id}
    # Metadata that is cut may still name its snapshots, or not.
    told = set(repair.lost_snapshots)
    assert told <= lost if which == "metadata" else told == lost
    assert rows(store) == [("a", 1)]
    assert [s.snapshot_id for s in store.history(EVENTS)] == [loads[0].snapshot_id]
    publish_rows(store, events([("b", 2)]), merge(DAY_2), extraction=1)
    assert rows(store) == [("a", 1), ("b", 2)]
    assert store.examine(EVENTS) == []


@pytest.mark.parametrize("how", ["empty", "half"])
def test_metadata_that_is_cut_is_an_error_with_its_remedy(store, loads, how):
    spoil(newest_files(store)["metadata"], how)

    with pytest.raises(UnreadableTableError, match="empty or cut short") as error:
        store.load(EVENTS)

    assert "phlo doctor --fix" in str(error.value)


@pytest.mark.parametrize("how", ["missing", "empty", "half"])
@pytest.mark.parametrize("which", ["manifest list", "manifest"])
def test_a_query_of_a_spoilt_table_is_an_error_with_its_remedy(store, loads, which, how):
    spoil(newest_files(store)[which], how)

    with pytest.raises(UnreadableTableError, match="missing or cut short") as error:
        rows(store)

    assert "phlo doctor" in str(error.value)


def test_a_table_of_which_nothing_is_whole_is_left_as_it_is(store):
    publish_rows(store, events([("a", 1)]), merge(DAY_1))
    address = newest_files(store)["metadata"]
    spoil(address, "empty")

    assert store.repair() == []
    assert store.examine(EVENTS) == [Damage(EVENTS, address, "cut")]


def test_a_lost_catalog_is_rebuilt_from_the_newest_metadata_that_is_whole(store, loads, tmp_path):
    spoil(newest_files(store)["metadata"], "half")
    store.catalog.engine.dispose()
    (tmp_path / "catalog.db").unlink()
    catalog = load_catalog(
        "lake",
        type="sql",
        uri=f"sqlite:///{tmp_path}/catalog.db",
        warehouse=(tmp_path / "warehouse").as_uri(),
    )
    anew = IcebergStore(catalog)

    (repair,) = anew.repair()

    assert (repair.table, repair.problem) == (EVENTS, "lost")
    assert rows(anew) == [("a", 1)]
    catalog.engine.dispose()


@pytest.mark.parametrize("is_on", [True, False])
def test_files_are_flushed_to_disk_before_the_catalog_names_them(store, monkeypatch, is_on):
    flushed: list[str] = []
    swap = sql._swap_all

    def note(descriptor):
        flushed.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    def swap_and_compare(catalog, swaps, reads):
        swap(catalog, swaps, reads)
        files = {str(p) for p in local(store.catalog.properties["warehouse"]).rglob("*.*")}
        assert files <= set(flushed) if is_on else not flushed
        flushed.clear()

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(sql, "_swap_all", swap_and_compare)
    if not is_on:
        store.catalog.properties["phlo.sync-files"] = "false"

    publish_rows(store, events([("a", 1)]), merge(DAY_1))

    assert rows(store) == [("a", 1)]


@pytest.mark.parametrize("how", ["missing", "empty", "half"])
def test_a_query_over_a_spoilt_data_file_tells_the_file_and_the_remedy(store, loads, how):
    spoil(newest_files(store)["data file"], how)
    with pytest.raises(UnreadableTableError, match="missing or cut short") as told:
        rows(store)
    assert "phlo doctor --deep" in told.value.hint


@pytest.mark.parametrize("how", ["empty", "half"])
def test_a_cut_data_file_is_found_by_its_size_and_left_behind(store, loads, how):
    path = newest_files(store)["data file"]
    spoil(path, how)
    assert store.examine(EVENTS) == [Damage(EVENTS, path, "cut")]
    (repair,) = store.repair()
    assert (repair.problem, len(repair.lost_snapshots)) == ("damaged", 1)
    assert rows(store) == [("a", 1)]


def test_a_garbled_data_file_is_left_behind_by_a_deep_repair(store, loads):
    path = newest_files(store)["data file"]
    local(path).write_bytes(b"x" * local(path).stat().st_size)
    assert store.examine(EVENTS) == []
    assert store.examine(EVENTS, deep=True) == [Damage(EVENTS, path, "cut")]
    assert store.repair() == []
    (repair,) = store.repair(deep=True)
    assert len(repair.lost_snapshots) == 1
    assert rows(store) == [("a", 1)]


def test_a_store_that_does_not_answer_spoils_no_verdict(store, loads, monkeypatch):
    """An unknown state of a file is no reason to step back from a snapshot."""

    def unanswered(_stream):
        raise OSError("When reading: AWS Error SLOW_DOWN during GetObject operation")

    monkeypatch.setattr(examine.pq, "read_metadata", unanswered)
    for look in (lambda: store.examine(EVENTS, deep=True), lambda: store.repair(deep=True)):
        with pytest.raises(ServiceError):
            look()


def test_a_commit_to_a_read_only_catalog_is_told_at_once_and_leaves_no_metadata(store, loads):
    with store.catalog.engine.connect() as connection:
        path = connection.exec_driver_sql("PRAGMA database_list").fetchone()[2]
    staged = stage_rows(store, events([("c", 3)]), merge(DAY_3))
    store.catalog.engine.dispose()
    store.catalog.engine = create_engine(f"sqlite:///file:{path}?mode=ro&uri=true")
    folder = local(newest_files(store)["metadata"]).parent
    before = set(folder.glob("*.metadata.json"))
    with pytest.raises(ConfigurationError, match="readonly database"):
        store.publish([staged])
    assert set(folder.glob("*.metadata.json")) == before
    assert rows(store) == [("a", 1), ("b", 2)]


@pytest.mark.parametrize("content", [b"{}", b"null", b"\xff" * 400, b'{"format-version": 2}'])
def test_metadata_that_is_none_is_told_to_readers_and_branches(store, loads, content):
    local(newest_files(store)["metadata"]).write_bytes(content)
    for use in (lambda: store.load(EVENTS), lambda: store.create_branch("dev")):
        with pytest.raises(UnreadableTableError, match="is empty or cut short"):
            use()
    (repair,) = store.repair()
    assert repair.problem == "damaged"
    assert rows(store) == [("a", 1)]


@pytest.mark.parametrize("seed", range(4))
def test_a_footer_of_random_bytes_is_no_fault_of_the_query(store, loads, seed):
    path = local(newest_files(store)["data file"])
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle:-8] = Random(seed).randbytes(len(content) - 8 - middle)
    path.write_bytes(content)
    with pytest.raises(UnreadableTableError, match="missing or cut short"):
        rows(store)
