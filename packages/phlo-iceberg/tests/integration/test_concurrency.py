"""Real processes writing one table at once."""

from datetime import timedelta
from pathlib import Path

import pytest
from phlo.config import Settings
from phlo.errors import MovedHeadError
from phlo.names import Partition
from phlo.values import Append, Merge
from phlo_iceberg.catalog import open_catalog
from phlo_iceberg.settings import IcebergSettings
from phlo_iceberg.store import IcebergStore
from phlo_iceberg.write import stage
from phlo_testing.processes import in_processes
from phlo_testing.stores import DAY_1, DAY_2, DAY_3, EVENTS, events, merge, publish_rows, stage_rows
from pyiceberg.expressions import EqualTo
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random

WRITERS, LOADS = 8, 3


def open_store(folder: str) -> IcebergStore:
    settings = Settings(project_dir=Path(folder))
    return IcebergStore(open_catalog(settings, IcebergSettings()))


def read(store) -> list[tuple]:
    rows = store.catalog.load_table("bronze.events").scan().to_arrow().to_pylist()
    return sorted((r["id"], r["value"]) for r in rows)


def write_own_days(folder: str, writer: int) -> int:
    """Each writer merges days of its own; returns how often it had to plan anew."""
    store, planned = open_store(folder), 0
    for number in range(LOADS):
        day = Partition(DAY_1.date + timedelta(days=10 * writer + number))
        pairs = [(f"{writer}-{number}-{n}", n) for n in range(20)]

        @retry(retry=retry_if_exception_type(MovedHeadError), stop=stop_after_attempt(20))
        def load(day=day, pairs=pairs):
            nonlocal planned
            planned += 1
            store.publish([stage_rows(store, events(pairs), merge(day))], rebase=True)

        load()
    return planned - LOADS


def write_the_same_keys(folder: str, writer: int) -> int:
    """All writers merge the same keys for their own day."""
    store, day = open_store(folder), Partition(DAY_1.date + timedelta(days=writer))

    @retry(
        retry=retry_if_exception_type(MovedHeadError),
        stop=stop_after_attempt(60),
        wait=wait_random(0, 0.2),
    )
    def load():
        pairs = [(f"k{n}", 100 * writer + n) for n in range(10)]
        store.publish([stage_rows(store, events(pairs), merge(day))], rebase=True)

    load()
    return 0


def all_at_once(function, folder: Path) -> list[int]:
    return in_processes(
        function,
        [(str(folder), writer) for writer in range(WRITERS)],
        preload=["phlo_iceberg.store", "phlo_testing.stores"],
    )


@pytest.mark.integration
def test_eight_processes_on_different_days_all_land_without_planning_anew(tmp_path):
    open_store(str(tmp_path)).publish(
        [stage_rows(open_store(str(tmp_path)), events([("start", 0)]), merge(DAY_1))]
    )
    replanned = all_at_once(write_own_days, tmp_path)
    store = open_store(str(tmp_path))
    expected = [
        (f"{w}-{m}-{n}", n) for w in range(WRITERS) for m in range(LOADS) for n in range(20)
    ]
    assert read(store) == sorted([*expected, ("start", 0)])
    assert len(store.history(EVENTS)) == WRITERS * LOADS + 1
    assert sum(replanned) == 0


@pytest.mark.integration
def test_eight_processes_starting_cold_make_one_table(tmp_path):
    all_at_once(write_own_days, tmp_path)
    assert len(read(open_store(str(tmp_path)))) == WRITERS * LOADS * 20


@pytest.mark.integration
def test_eight_processes_on_the_same_keys_end_as_in_order_of_days(tmp_path):
    open_store(str(tmp_path)).publish(
        [stage_rows(open_store(str(tmp_path)), events([("k0", -1)]), merge(DAY_1))]
    )
    all_at_once(write_the_same_keys, tmp_path)
    assert read(open_store(str(tmp_path))) == [(f"k{n}", 700 + n) for n in range(10)]


class TestRebase:
    """When a stage may be moved onto another head."""

    @pytest.fixture
    def store(self, tmp_path):
        store = open_store(str(tmp_path))
        publish_rows(store, events([("a", 1), ("b", 2)]), merge(DAY_1))
        return store

    def test_rows_of_other_keys_do_not_matter(self, store):
        staged = stage_rows(store, events([("c", 3)]), merge(DAY_2))
        publish_rows(store, events([("d", 4)]), merge(DAY_2), extraction=1)
        (published,) = store.publish([staged], rebase=True)
        assert read(store) == [("a", 1), ("b", 2), ("c", 3), ("d", 4)]
        assert published.row_count == 4

    def test_what_a_rebase_writes_anew_does_not_stay_twice(self, store):
        staged = stage_rows(store, events([("c", 3)]), merge(DAY_2))
        publish_rows(store, events([("d", 4)]), merge(DAY_2), extraction=1)
        store.publish([staged], rebase=True)
        folder = Path(store.load(EVENTS).location.removeprefix("file://"), "metadata")
        table = store.catalog.load_table("bronze.events")
        in_use = {s.manifest_list for s in table.snapshots()} | {
            m.manifest_path for s in table.snapshots() for m in s.manifests(table.io)
        }
        assert {path.as_uri() for path in folder.glob("*.avro")} == in_use

    def test_a_row_of_the_same_key_means_planning_anew(self, store):
        staged = stage_rows(store, events([("c", 3)]), merge(DAY_2))
        publish_rows(store, events([("c", 4)]), merge(DAY_2), extraction=1)
        with pytest.raises(MovedHeadError):
            store.publish([staged], rebase=True)
        assert read(store) == [("a", 1), ("b", 2), ("c", 4)]

    def test_a_touched_file_that_was_rewritten_means_planning_anew(self, store):
        staged = stage_rows(store, events([("a", 9)]), merge(DAY_2))
        publish_rows(store, events([("b", 8)]), merge(DAY_2))
        with pytest.raises(MovedHeadError):
            store.publish([staged], rebase=True)
        assert read(store) == [("a", 1), ("b", 8)]

    def test_new_deletes_on_a_touched_file_mean_planning_anew(self, store, monkeypatch):
        staged = stage_rows(store, events([("a", 9)]), merge(DAY_2))
        monkeypatch.setattr(stage, "REWRITE_ROWS", 0)
        monkeypatch.setattr(stage, "MIN_TOUCHED_SHARE", 1)
        published = publish_rows(store, events([("b", 8)]), merge(DAY_2))
        assert published.strategy == "merge-on-read"
        with pytest.raises(MovedHeadError):
            store.publish([staged], rebase=True)
        assert read(store) == [("a", 1), ("b", 8)]

    @pytest.mark.parametrize("value", [1, 9], ids=["equal", "stands"])
    def test_a_row_that_was_met_and_is_gone_means_planning_anew(self, store, value):
        how = Merge(("id",), DAY_2, method="first")
        staged = stage_rows(store, events([("a", value), ("c", 3)]), how)
        store.catalog.load_table("bronze.events").delete(EqualTo("id", "a"))
        with pytest.raises(MovedHeadError):
            store.publish([staged], rebase=True)
        store.publish([stage_rows(store, events([("a", value), ("c", 3)]), how)], rebase=True)
        assert read(store) == [("a", value), ("b", 2), ("c", 3)]

    def test_a_replaced_partition_must_not_have_got_rows(self, store):
        staged = stage_rows(store, events([("z", 9)]), Append(DAY_2))
        publish_rows(store, events([("y", 8)]), Append(DAY_2), extraction=0)
        with pytest.raises(MovedHeadError):
            store.publish([staged], rebase=True)
        other = stage_rows(store, events([("x", 7)]), Append(DAY_3))
        publish_rows(store, events([("w", 6)]), Append(DAY_1), extraction=1)
        store.publish([other], rebase=True)
        assert read(store) == [("w", 6), ("x", 7), ("y", 8)]
