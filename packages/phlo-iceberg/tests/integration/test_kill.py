"""A load killed by SIGKILL wherever it touches disk or catalog, then run again."""

import importlib
import shutil
import sys
import threading
from pathlib import Path

import pytest
from phlo.names import Partition
from phlo.values import Append, Merge, Replace
from phlo_iceberg.store import IcebergStore
from phlo_testing.crash import kill_points
from phlo_testing.stores import DAY_1, DAY_2, events, publish_rows
from pyiceberg.catalog import load_catalog

PRELOAD = ["phlo_iceberg.store", "phlo_testing.stores"]
OLD = [("a", 1), ("b", 2)]
LOADS = {
    "merge": ([("b", 3), ("c", 4)], [("a", 1), ("b", 3), ("c", 4)]),
    "append": ([("b", 3)], [("a", 1), ("b", 2), ("b", 3)]),
    "replace": ([("z", 9)], [("z", 9)]),
    "first": ([("b", 3), ("c", 4)], [("b", 3), ("c", 4)]),
}


def open_store(folder: str) -> IcebergStore:
    return IcebergStore(
        load_catalog(
            "lake",
            type="sql",
            uri=f"sqlite:///{folder}/catalog.db",
            warehouse=Path(folder, "warehouse").as_uri(),
        )
    )


def run_load(folder: str, kind: str, pairs: list, day: Partition, extraction: int) -> None:
    store = open_store(folder)
    how = {"append": Append(day), "replace": Replace()}.get(kind) or Merge(("id",), day)
    publish_rows(store, events(pairs), how, extraction=extraction)


def read(folder: str) -> list[tuple] | None:
    catalog = open_store(folder).catalog
    if not catalog.table_exists("bronze.events"):
        return None
    rows = catalog.load_table("bronze.events").scan().to_arrow().to_pylist()
    catalog.engine.dispose()
    return sorted((r["id"], r["value"]) for r in rows)


class Poller(threading.Thread):
    """Reads the table again and again, as anybody may while a load runs."""

    def __init__(self, folder: str) -> None:
        super().__init__(daemon=True)
        self.folder, self.seen, self.stopped = folder, [], threading.Event()

    def run(self) -> None:
        while not self.stopped.is_set():
            found = read(self.folder)
            if found not in self.seen:
                self.seen.append(found)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.stopped.set()
        self.join()


@pytest.mark.integration
@pytest.mark.parametrize(
    "kind", [k if k == "merge" else pytest.param(k, marks=pytest.mark.slow) for k in LOADS]
)
def test_a_killed_load_leaves_the_old_table_or_the_new_and_can_be_run_again(kind, tmp_path):
    start, work = str(tmp_path / "start"), str(tmp_path / "work")
    Path(work).mkdir()
    new_rows, expected = LOADS[kind]
    before = None
    if kind != "first":
        run_load(work, "merge", OLD, DAY_1, 0)
        before = OLD
    shutil.copytree(work, start)

    def prepare() -> None:
        # Iceberg's metadata holds absolute paths, so every run works in the same folder.
        shutil.rmtree(work)
        shutil.copytree(start, work)

    points = 0
    for point in kill_points(
        run_load, (work, kind, new_rows, DAY_2, 1), preload=PRELOAD, prepare=prepare
    ):
        points += 1
        left = read(work)
        assert left in (before, expected), point
        with Poller(work) as poller:
            run_load(work, kind, new_rows, DAY_2, 2)
        assert read(work) == expected, point
        assert all(seen in (left, expected) for seen in poller.seen), point
    assert points >= 10


def import_late(folder: str) -> None:
    sys.path.insert(0, folder)
    importlib.import_module("imported_late")
    Path(folder, "written").write_text("")


def test_the_points_of_a_kill_are_the_same_where_a_module_is_imported_for_the_first_time(tmp_path):
    Path(tmp_path, "imported_late.py").touch()
    points = kill_points(import_late, (str(tmp_path),), prepare=lambda: None)
    assert list(points) == [f"1/1: open {tmp_path / 'written'}"]
