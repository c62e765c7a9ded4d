"""Eight processes on branches and main at once: every row that landed is there, and no other."""

import random
from contextlib import suppress
from datetime import timedelta

import pytest
from phlo.errors import (
    BranchConflictError,
    BranchExistsError,
    BranchInUseError,
    BranchNotFoundError,
    MovedHeadError,
    RunNotFoundError,
    TableNotFoundError,
    UndoError,
)
from phlo.names import TableName
from phlo_iceberg.store import IcebergStore
from phlo_iceberg.upkeep.policy import Policy
from phlo_testing.processes import in_processes
from phlo_testing.stores import DAY_1, DAY_2, events, merge, publish_rows, stage_rows
from pyiceberg.catalog import load_catalog
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.xdist_group("servers")]

SHARED = TableName("bronze", "shared")
KEEP_LITTLE = Policy(1, timedelta(minutes=30), orphan_age=timedelta(minutes=30), min_small_files=4)
"""Files are joined often; no snapshot goes while a process may read it, however slow it is."""
BUSY = (BranchConflictError, BranchInUseError, MovedHeadError)
again = retry(
    retry=retry_if_exception_type((MovedHeadError, BranchInUseError)),  # somebody's copy of it
    stop=stop_after_attempt(200),
    wait=wait_random(0, 0.3),
    reraise=True,
)


def open_store(uri: str, warehouse: str) -> IcebergStore:
    return IcebergStore(load_catalog("lake", type="sql", uri=uri, warehouse=warehouse), KEEP_LITTLE)


class Worker:
    """One process: it knows which of its rows are on main, by table."""

    def __init__(self, store: IcebergStore, number: int, seed: int) -> None:
        self.store, self.number = store, number
        self.random = random.Random(seed * 100 + number)
        self.own = TableName("bronze", f"own_{number}")
        self.landed: set[tuple[str, str]] = set()
        self.loads = 0

    def load(self, store: IcebergStore, table: TableName) -> tuple[str, str]:
        """Load a row of a key that nobody else has; its run has the same name."""
        self.loads += 1
        key = f"w{self.number}-{self.loads}."

        @again
        def publish() -> None:
            how, summary = merge(DAY_1), {"phlo.run-id": key}
            staged = stage_rows(store, events([(key, 1)]), how, table=table, summary=summary)
            store.publish([staged], rebase=True)

        publish()
        return str(table), key

    def act(self) -> None:
        actions = [self.load_on_main, self.publish_a_branch, self.undo, self.maintain, self.meddle]
        self.random.choices(actions, weights=[3, 4, 2, 1, 1])[0]()

    def table(self) -> TableName:
        return self.random.choice([SHARED, self.own])

    def load_on_main(self) -> None:
        self.landed.add(self.load(self.store, self.table()))

    def publish_a_branch(self) -> None:
        """Make a branch, load there, bring it up to date, and publish or delete it."""
        name = f"w{self.number}"
        again(self.store.create_branch)(name)
        rows = {self.load(self.store.on_branch(name), self.table()) for _ in range(2)}
        if self.random.random() < 0.3:
            self.store.on_branch(name).maintain(SHARED)
        if self.random.random() < 0.8 and self.is_published(name):
            self.landed |= rows
        again(self.store.delete_branch)(name)

    def is_published(self, name: str) -> bool:
        for _ in range(30):
            with suppress(*BUSY):
                again(self.store.update_branch)(name)
                self.store.publish_branch(name)
                return True
        return False

    def undo(self) -> None:
        """Take back a run of this process, where no other stands on it."""
        mine = sorted(key for table, key in self.landed if table == str(self.own))
        if mine:
            key = self.random.choice(mine)
            with suppress(UndoError, RunNotFoundError):
                again(self.store.undo)(key)
                self.landed = {row for row in self.landed if row[1] != key}

    def maintain(self) -> None:
        with suppress(TableNotFoundError, MovedHeadError):
            self.store.maintain(self.table())

    def meddle(self) -> None:
        """Update somebody's branch, or make one of it that goes at once."""
        name, copy = f"w{self.random.randrange(8)}", f"copy-{self.number}"
        with suppress(BranchNotFoundError, BranchExistsError, *BUSY):
            self.store.create_branch(copy, name)
        with suppress(BranchNotFoundError):
            again(self.store.delete_branch)(copy)


def work(uri: str, warehouse: str, number: int, seed: int) -> list:
    worker = Worker(open_store(uri, warehouse), number, seed)
    for _ in range(20):
        worker.act()
    return sorted(worker.landed)


def postgres_uri(database) -> str:
    password = database.password.get_secret_value()
    place = f"{database.host}:{database.port}/{database.database}"
    return f"postgresql+psycopg://{database.user}:{password}@{place}"


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_landed_on_main_is_there_and_nothing_else(kind, tmp_path, request):
    uri = (
        f"sqlite:///{tmp_path}/catalog.db"
        if kind == "sqlite"
        else postgres_uri(request.getfixturevalue("postgres_database"))
    )
    warehouse = (tmp_path / "warehouse").as_uri()
    store = open_store(uri, warehouse)
    publish_rows(store, events([("start", 1)]), merge(DAY_2), table=SHARED)
    results = in_processes(
        work,
        [(uri, warehouse, number, 7) for number in range(8)],
        preload=["phlo_iceberg.store", "phlo_testing.stores"],
    )
    expected = {tuple(row) for rows in results for row in rows} | {(str(SHARED), "start")}
    assert [branch.name for branch in store.branches()] == ["main"]
    assert rows_of(store) == sorted(expected)
    assert [store.examine(table, deep=True) for table in store.list_tables()] == [
        [] for _ in store.list_tables()
    ]
    store.catalog.engine.dispose()


def rows_of(store: IcebergStore) -> list[tuple[str, str]]:
    """Read all keys of all tables with pyiceberg alone."""
    catalog = load_catalog("lake", **store.catalog.properties)
    rows = [
        (f"{namespace}.{name}", key)
        for namespace, name in catalog.list_tables("bronze")
        for key in catalog.load_table((namespace, name)).scan().to_arrow()["id"].to_pylist()
    ]
    catalog.engine.dispose()
    return sorted(rows)
