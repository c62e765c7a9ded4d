"""Branches and undo under SIGKILL, full disks, broken connections and lost answers."""

import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from phlo.errors import BranchExistsError, BranchNotFoundError, RunNotFoundError
from phlo.interrupts import interrupts_as_keyboard_interrupt
from phlo.names import TableName
from phlo_iceberg.branches import transaction
from phlo_iceberg.store import IcebergStore
from phlo_testing.crash import fault_points, kill_points
from phlo_testing.database_proxy import lossy_database_proxy
from phlo_testing.stores import DAY_1, DAY_2, EVENTS, events, merge, publish_rows
from pyiceberg.catalog import load_catalog
from sqlalchemy.event import listen
from tenacity import wait_fixed

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("servers")]

PRELOAD = ["phlo_iceberg.store", "phlo_testing.stores"]
OTHER, MADE = TableName("silver", "other"), TableName("gold", "made")
RUN = "22222222-run"
LANDED = (BranchExistsError, BranchNotFoundError, RunNotFoundError)
"""What an action raises that has been done already."""

ACTIONS = {
    "create": lambda store: store.create_branch("new", "dev"),
    "publish": lambda store: store.publish_branch("dev"),
    "update": lambda store: store.update_branch("old"),
    "delete": lambda store: store.delete_branch("dev"),
    "undo": lambda store: store.undo(RUN),
}


def open_store(folder: str) -> IcebergStore:
    catalog = load_catalog(
        "lake",
        type="sql",
        uri=f"sqlite:///{folder}/catalog.db",
        warehouse=Path(folder, "warehouse").as_uri(),
    )
    return IcebergStore(catalog)


def run_action(folder: str, action: str) -> None:
    store = open_store(folder)
    ACTIONS[action](store)
    store.catalog.engine.dispose()


def run_again(folder: str, action: str) -> None:
    with suppress(*LANDED):
        run_action(folder, action)


def lay_out(store) -> None:
    """A run on two tables of main; the branch dev with changes of both and a table of its own.

    The branch old has another row of one of them, which an update writes anew.
    """
    publish_rows(store, events([("a", 1)]), merge(DAY_1))
    publish_rows(store, events([("z", 8)]), merge(DAY_1), table=OTHER)
    store.create_branch("old")
    publish_rows(store.on_branch("old"), events([("o", 4)]), merge(DAY_1))
    for table, row in ((EVENTS, ("a", 2)), (OTHER, ("z", 9))):
        summary = {"phlo.run-id": RUN}
        publish_rows(store, events([row]), merge(DAY_2), table=table, summary=summary)
    store.create_branch("dev")
    dev = store.on_branch("dev")
    publish_rows(dev, events([("a", 3), ("b", 3)]), merge(DAY_2), extraction=3)
    publish_rows(dev, events([("z", 10)]), merge(DAY_2), table=OTHER, extraction=3)
    publish_rows(dev, events([("m", 5)]), merge(DAY_2), table=MADE)


def state(store) -> dict:
    """Read all tables of all branches with pyiceberg alone; none may lack a file."""
    found = {}
    for branch in store.branches():
        name = "lake" if branch.is_main else f"lake@{branch.name}"
        catalog = load_catalog(name, **store.catalog.properties)
        one = IcebergStore(catalog)
        for table in one.list_tables():
            assert one.examine(table, deep=True) == []
            rows = catalog.load_table((table.namespace, table.name)).scan().to_arrow().to_pylist()
            found[branch.name, str(table)] = sorted((r["id"], r["value"]) for r in rows)
        found.setdefault((branch.name, ""), [])
        catalog.engine.dispose()
    return found


def state_in(folder: str) -> dict:
    store = open_store(folder)
    try:
        return state(store)
    finally:
        store.catalog.engine.dispose()


class Layout:
    """A folder that is laid out anew for every blow, and what it is before and after an action."""

    def __init__(self, tmp_path, action: str) -> None:
        self.start, self.work = str(tmp_path / "start"), str(tmp_path / "work")
        Path(self.work).mkdir()
        store = open_store(self.work)
        lay_out(store)
        store.catalog.engine.dispose()
        shutil.copytree(self.work, self.start)
        self.before = state_in(self.work)
        run_action(self.work, action)
        self.after = state_in(self.work)
        assert self.before != self.after

    def prepare(self) -> None:
        shutil.rmtree(self.work)
        shutil.copytree(self.start, self.work)


def is_commit(name: str, before: str) -> bool:
    return name in ("commit", "after commit")


def is_change(name: str, before: str) -> bool:
    """Where rows change, and where files come and go; not at each of alike reads."""
    return not name.startswith(("sql SELECT", "sql PRAGMA", "os.mkdir", "open ", "after create"))


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("is_wanted", [is_commit, pytest.param(is_change, marks=pytest.mark.slow)])
def test_a_killed_action_is_done_or_not_and_the_next_try_succeeds(action, is_wanted, tmp_path):
    layout = Layout(tmp_path, action)
    for name in kill_points(
        run_action,
        (layout.work, action),
        preload=PRELOAD,
        prepare=layout.prepare,
        is_wanted=is_wanted,
    ):
        assert state_in(layout.work) in (layout.before, layout.after), name
        run_again(layout.work, action)
        assert state_in(layout.work) == layout.after, name


@pytest.mark.parametrize("action", ACTIONS)
def test_a_ctrl_c_at_the_commit_leaves_every_file_that_a_catalog_names(action, tmp_path):
    layout = Layout(tmp_path, action)
    layout.prepare()
    store = open_store(layout.work)
    with suppress(KeyboardInterrupt), interrupts_as_keyboard_interrupt():
        listen(
            store.catalog.engine, "commit", lambda _: os.kill(os.getpid(), signal.SIGINT), once=True
        )
        ACTIONS[action](store)
        pytest.fail("The signal did not come.")
    store.catalog.engine.dispose()
    assert state_in(layout.work) == layout.after
    run_again(layout.work, action)
    assert state_in(layout.work) == layout.after


@pytest.mark.slow
@pytest.mark.parametrize("action", ACTIONS)
def test_a_failed_call_leaves_it_done_or_not_and_the_next_try_succeeds(action, tmp_path):
    layout = Layout(tmp_path, action)
    for name, error in fault_points(
        run_action, (layout.work, action), preload=PRELOAD, prepare=layout.prepare
    ):
        found = state_in(layout.work)
        assert found in ((layout.before, layout.after) if error else (layout.after,)), name
        run_again(layout.work, action)
        assert state_in(layout.work) == layout.after, name


@pytest.mark.parametrize("loss", ["committed", "not committed"])
@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_whose_answer_is_lost_lands_once(
    action, loss, postgres_database, tmp_path, monkeypatch
):
    monkeypatch.setattr(transaction, "WAIT", wait_fixed(0.05))
    address, warehouse = postgres_database, (tmp_path / "lake").as_uri()

    def open_at(port: int) -> IcebergStore:
        place = f"127.0.0.1:{port}/{address.database}?sslmode=disable&gssencmode=disable"
        login = f"{address.user}:{address.password.get_secret_value()}"
        uri = f"postgresql+psycopg://{login}@{place}"
        return IcebergStore(load_catalog("lake", type="sql", uri=uri, warehouse=warehouse))

    direct = open_at(address.port)
    lay_out(direct)
    before = state(direct)
    with lossy_database_proxy(address.host, address.port) as proxy:
        store = open_at(proxy.port)
        proxy.lose_next_commit(loss)
        ACTIONS[action](store)
        assert proxy.lost == 1
        store.catalog.engine.dispose()
    after = state(direct)
    assert after != before
    if action == "publish":
        assert after["main", "bronze.events"] == [("a", 3), ("b", 3)]
        assert after["main", "gold.made"] == [("m", 5)]
    if action == "undo":
        assert after["main", "bronze.events"] == [("a", 1)]
    if action in ("publish", "undo"):
        assert len(direct.history(EVENTS)) == 3
    direct.catalog.engine.dispose()
