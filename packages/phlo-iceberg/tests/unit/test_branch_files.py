"""Whose a file is: what a table names of another one's folder is never deleted with it."""

from datetime import timedelta
from itertools import permutations

import pytest
from phlo.lake import open_lake
from phlo.names import TableName
from phlo_iceberg.store import IcebergStore
from phlo_iceberg.upkeep.policy import Policy
from phlo_testing.stores import DAY_1, EVENTS, merge, publish_rows
from pyiceberg.catalog import load_catalog

EXPIRE_ALL = Policy(1, timedelta(0), orphan_age=timedelta(seconds=-60), min_small_files=2)
STAGE = TableName("bronze", "stage")
ADDED = TableName("silver", "added")
ROWS = {"a": 1, "b": 2}


@pytest.fixture
def store(phlo_environment):
    store = open_lake().store
    for number, (key, value) in enumerate(ROWS.items()):
        load(store, {key: value}, number)
    return store


def load(store, rows, number):
    items = [{"id": key, "value": value} for key, value in rows.items()]
    publish_rows(store, items, merge(DAY_1), extraction=number)


def read(store, table):
    """The rows of a table as pyiceberg alone reads them."""
    catalog = load_catalog(store.catalog.name, **store.catalog.properties)
    rows = catalog.load_table((table.namespace, table.name)).scan().to_arrow().to_pylist()
    catalog.engine.dispose()
    return {row["id"]: row["value"] for row in rows}


def borrow(store, table, location):
    """Make a table of the data files that ``bronze.events`` has, as another engine adds them."""
    events = store.catalog.load_table((EVENTS.namespace, EVENTS.name))
    store.catalog.create_namespace_if_not_exists(table.namespace)
    made = store.catalog.create_table(
        (table.namespace, table.name), events.schema(), location=location
    )
    files = [task.file.file_path for task in events.scan().plan_files()]
    made.add_files(files, check_duplicate_files=False)


def maintain(store, table):
    if store.exists(table):
        IcebergStore(store.catalog, EXPIRE_ALL).maintain(table)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_table_of_files_of_another_one_leaves_them_to_it(store, order):
    """Whatever is cleaned up first: the branch, its table, or the table whose files they are."""
    folder = store.load(EVENTS).location
    store.create_branch("work")
    work = store.on_branch("work")
    borrow(work, STAGE, f"{folder}/stage-1")
    borrow(work, ADDED, f"{folder}-added")
    load(work, {"a": 9, "c": 3}, 7)
    actions = [
        lambda: [maintain(store, t) for t in (EVENTS, STAGE)],
        lambda: [maintain(work, t) for t in (EVENTS, STAGE, ADDED)],
        lambda: store.delete_branch("work"),
    ]
    for number in order:
        if number == 1 and "work" not in {b.name for b in store.branches()}:
            continue
        actions[number]()
        assert read(store, EVENTS) == ROWS
        assert store.examine(EVENTS, deep=True) == []
        if "work" in {b.name for b in store.branches()}:
            assert read(work, EVENTS) == ROWS | {"a": 9, "c": 3}
            assert read(work, STAGE) == ROWS


def test_what_is_published_of_files_in_another_folder_outlives_both(store):
    store.create_branch("work")
    work = store.on_branch("work")
    borrow(work, STAGE, f"{store.load(EVENTS).location}/stage-1")
    store.publish_branch("work")
    store.delete_branch("work")
    load(store, {"a": 5}, 9)
    for table in (EVENTS, STAGE, EVENTS):
        maintain(store, table)
    assert read(store, EVENTS) == {"a": 5, "b": 2}
    assert read(store, STAGE) == ROWS
    store.drop(STAGE)
    maintain(store, EVENTS)
    assert read(store, EVENTS) == {"a": 5, "b": 2}
