"""Two tables written, maintained and read for a while by processes that are killed at any time."""

import random
import time
from datetime import timedelta
from functools import cache
from inspect import getfile
from multiprocessing import get_context
from pathlib import Path

import pytest
from phlo.config import Settings
from phlo.errors import MovedHeadError
from phlo.names import Partition, TableName
from phlo_iceberg.catalog import open_catalog
from phlo_iceberg.read.engine import DuckDBEngine
from phlo_iceberg.settings import IcebergSettings
from phlo_iceberg.store import IcebergStore
from phlo_iceberg.upkeep.policy import Policy
from phlo_iceberg.write import stage
from phlo_testing.processes import call_in_file
from phlo_testing.stores import DAY_1, EVENTS, merge, stage_rows
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random

TWINS = TableName("bronze", "twins")
WRITERS, LOADS, KEYS = 3, 40, 300
EAGER = Policy(
    keep_age=timedelta(0), orphan_age=timedelta(seconds=60), min_small_files=3, deleted_share=0.05
)
PRELOAD = ["phlo_iceberg.store", "phlo_testing.stores"]


def open_store(folder: str) -> IcebergStore:
    settings = Settings(project_dir=Path(folder))
    return IcebergStore(open_catalog(settings, IcebergSettings()), EAGER)


def keys_of(writer: int, number: int) -> list[int]:
    """What a writer's load is about: few of its keys, or all."""
    chance = random.Random(f"{writer} {number}")
    return chance.sample(range(KEYS), chance.choice([3, 30, KEYS // 2, KEYS]))


@cache
def after(writer: int, number: int) -> dict[str, int]:
    """A writer's rows after so many of its loads."""
    if not number:
        return {}
    loaded = {f"{writer}-{key}": number for key in keys_of(writer, number)}
    return after(writer, number - 1) | loaded


def write(folder: str, writer: int) -> None:
    """Load into both tables at once, going on where a killed process was."""
    store, done = open_store(folder), Path(folder, f"{writer}.done")
    for number in range(len(done.read_bytes()) + 1 if done.exists() else 1, LOADS + 1):
        load(store, writer, number)
        with done.open("ab") as file:
            file.write(b".")


@retry(
    retry=retry_if_exception_type(MovedHeadError),
    stop=stop_after_attempt(200),
    wait=wait_random(0, 0.3),
)
def load(store: IcebergStore, writer: int, number: int) -> None:
    on_read = number % 2
    stage.REWRITE_ROWS, stage.MIN_TOUCHED_SHARE = (0, 1) if on_read else (250_000, 0)
    day = Partition(DAY_1.date + timedelta(days=number // 6 + writer))
    rows = [{"id": f"{writer}-{key}", "value": number} for key in keys_of(writer, number)]
    staged = [
        stage_rows(store, rows, merge(day), extraction=number, table=table)
        for table in (EVENTS, TWINS)
    ]
    store.publish(staged, rebase=True)


def maintain(folder: str) -> None:
    store = open_store(folder)
    while True:
        for table in (EVENTS, TWINS):
            store.maintain(table)
        time.sleep(0.3)


def watch(folder: str) -> None:
    """Read both tables in turn by both engines: a writer's rows are those after some load."""
    store, seen = open_store(folder), {}
    while True:
        for table in (EVENTS, TWINS):
            for rows in (by_pyiceberg(store, table), by_duckdb(store, table)):
                for writer in range(WRITERS):
                    number = check_writer(rows, writer)
                    assert number >= seen.get((table, writer), 0), "went back"
                    seen[table, writer] = number


def check_writer(rows: dict[str, int], writer: int) -> int:
    """How many loads of a writer are there, all of them whole."""
    own = {key: value for key, value in rows.items() if key.startswith(f"{writer}-")}
    number = max(own.values(), default=0)
    assert own == after(writer, number)
    return number


def by_pyiceberg(store: IcebergStore, table: TableName) -> dict[str, int]:
    return once(store.catalog.load_table(str(table)).scan().to_arrow().to_pylist())


def by_duckdb(store: IcebergStore, table: TableName) -> dict[str, int]:
    reader = DuckDBEngine(store).query(f'SELECT id, "value" FROM {table}')
    return once(reader.read_all().to_pylist())


def once(rows: list[dict]) -> dict[str, int]:
    found = {row["id"]: row["value"] for row in rows}
    assert len(found) == len(rows), "a key twice"
    return found


def start(function, *arguments):
    context = get_context("forkserver")
    context.set_forkserver_preload([*PRELOAD, call_in_file.__module__])
    call = (getfile(function), function.__name__, arguments)
    process = context.Process(target=call_in_file, args=call, daemon=True)
    process.start()
    return process


@pytest.mark.slow
@pytest.mark.integration
def test_tables_are_right_whoever_is_killed_for_as_long_as_it_lasts(tmp_path):
    folder, chance = str(tmp_path), random.Random()
    for writer in range(WRITERS):
        load(open_store(folder), writer, 1)
    tasks = {name: (write, folder, name) for name in range(WRITERS)} | {"m": (maintain, folder)}
    running = {name: start(*task) for name, task in tasks.items()}
    watcher = start(watch, folder)
    while set(running) != {"m"}:
        time.sleep(chance.uniform(2, 6))
        assert watcher.is_alive()
        for name in [n for n, process in running.items() if not process.is_alive()]:
            assert running.pop(name).exitcode == 0
        victim = chance.choice(list(running))
        running[victim].kill()
        running[victim].join()
        running[victim] = start(*tasks[victim])
    for process in (watcher, *running.values()):
        process.kill()
        process.join()

    store = open_store(folder)
    expected = {k: v for writer in range(WRITERS) for k, v in after(writer, LOADS).items()}
    for table in (EVENTS, TWINS):
        assert by_pyiceberg(store, table) == by_duckdb(store, table) == expected
        assert store.load(table).row_count == len(expected)
        assert len(store.history(table)) < WRITERS * LOADS, "no maintenance got through"
