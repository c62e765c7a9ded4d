"""What becomes of a commit whose answer was lost while others went on with the table."""

from datetime import timedelta

import pytest
from phlo.errors import MovedHeadError, UnknownCommitError
from phlo.values import Append
from phlo_iceberg.commit import settle, sql
from phlo_iceberg.store import IcebergStore
from phlo_iceberg.upkeep.policy import Policy
from phlo_testing.stores import DAY_1, EVENTS, events, publish_rows, stage_rows
from pyiceberg.catalog import load_catalog
from sqlalchemy.exc import OperationalError
from tenacity import wait_none

APPEND = Append(DAY_1, on_rerun="append")
KEEPS_ONE = Policy(keep_snapshots=1, keep_age=timedelta(0), min_small_files=99)


@pytest.fixture
def store(tmp_path):
    warehouse = (tmp_path / "warehouse").as_uri()
    catalog = load_catalog("lake", type="sql", uri="sqlite:///:memory:", warehouse=warehouse)
    yield IcebergStore(catalog, KEEPS_ONE)
    catalog.engine.dispose()


@pytest.fixture
def lose_answer(monkeypatch):
    """Lose the answer to the next commit, and let others act before it is sent again."""
    swap_all = sql._swap_all

    def lose(others, *, lands):
        def swap_and_lose(*arguments):
            monkeypatch.setattr(sql, "_swap_all", swap_all)
            if lands:
                swap_all(*arguments)
            raise OperationalError("", None, Exception("the connection broke"))

        def wait(retry_state) -> float:
            others()
            monkeypatch.setattr(settle, "WAIT", wait_none())
            return 0

        monkeypatch.setattr(sql, "_swap_all", swap_and_lose)
        monkeypatch.setattr(settle, "WAIT", wait)

    return lose


def rows_of(store) -> list:
    rows = store.catalog.load_table(("bronze", "events")).scan().to_arrow().to_pylist()
    return sorted((row["id"], row["value"]) for row in rows)


def append_other(store):
    publish_rows(store, events([("b", 2)]), APPEND)


@pytest.fixture
def staged(store):
    publish_rows(store, events([("old", 0)]), APPEND)
    return stage_rows(store, events([("a", 1)]), APPEND)


def test_a_load_that_landed_is_known_after_another_writer(store, staged, lose_answer):
    lose_answer(lambda: append_other(store), lands=True)
    store.publish([staged])
    assert rows_of(store) == [("a", 1), ("b", 2), ("old", 0)]


def test_a_load_that_did_not_land_is_refused_after_another_writer(store, staged, lose_answer):
    lose_answer(lambda: append_other(store), lands=False)
    with pytest.raises(MovedHeadError):
        store.publish([staged])
    assert rows_of(store) == [("b", 2), ("old", 0)]


def test_a_load_whose_snapshot_expired_is_not_taken_for_refused(store, staged, lose_answer):
    """Its snapshot is gone, its rows are live: to delete its files would destroy the table."""

    def go_on():
        append_other(store)
        store.maintain(EVENTS)

    lose_answer(go_on, lands=True)
    with pytest.raises(UnknownCommitError) as error:
        store.publish([staged])
    assert error.value.snapshot_ids == {EVENTS: staged.snapshot.snapshot_id}
    assert rows_of(store) == [("a", 1), ("b", 2), ("old", 0)]


def test_a_load_that_did_not_land_is_refused_though_snapshots_expired(store, staged, lose_answer):
    def go_on():
        append_other(store)
        store.maintain(EVENTS)

    lose_answer(go_on, lands=False)
    with pytest.raises(MovedHeadError):
        store.publish([staged])
    assert rows_of(store) == [("b", 2), ("old", 0)]
