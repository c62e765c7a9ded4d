"""Every schedule of writers and a maintainer, by the code that commits in earnest.

The oracle reads a table's history as the serial order of its loads: a model applies them in that
order, and rows, accounts and files must agree with it.
"""

import re
import shutil
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from itertools import combinations, permutations
from types import SimpleNamespace

import pyarrow as pa
import pytest
from phlo import audit
from phlo.checks import CheckResult, CheckStatus
from phlo.errors import MovedHeadError, UnknownCommitError
from phlo.lake import Lake
from phlo.names import TableName
from phlo.retry import retry_on_moved_head
from phlo.values import Append, Merge, Replace
from phlo_iceberg.commit import settle, sql
from phlo_iceberg.read.engine import DuckDBEngine
from phlo_iceberg.store import IcebergStore
from phlo_iceberg.upkeep.policy import Policy
from phlo_testing.schedules import Bounds, explore
from phlo_testing.stores import DAY_1, DAY_2, DAY_3, EVENTS, SCHEMA, events, merge, stage_rows
from pyiceberg.catalog import load_catalog
from pyiceberg.catalog.sql import IcebergTables
from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError
from tenacity import wait_none

OTHERS = TableName("bronze", "others")
LOAD = "phlo.load"
ORPHANS = (
    f"SELECT count(*) FROM {EVENTS} AS c "
    f"WHERE NOT EXISTS (SELECT 1 FROM {OTHERS} AS p WHERE p.id = c.id)"
)
EAGER = Policy(keep_snapshots=1, keep_age=timedelta(0), min_small_files=2, deleted_share=0.01)
"""Joins files and expires snapshots as early as it may; files of running stages are spared."""


class RefusedError(Exception):
    """A load whose audit failed."""


@dataclass(frozen=True)
class Load:
    """Rows for one or several tables, published together.

    Attributes:
        pairs: Id and value of each row.
        how: How they are written.
        tables: Where to.
        limit: Greatest sum of values that the table may have by the load's audit.
        relates: Whether its audit demands each id of ``EVENTS`` in ``OTHERS``.
    """

    pairs: tuple[tuple[str, int], ...]
    how: Merge | Append | Replace
    tables: tuple[TableName, ...] = (EVENTS,)
    schema: pa.Schema = SCHEMA
    limit: int | None = None
    relates: bool = False


@dataclass
class World:
    """One lake, laid out anew for every schedule, and what its actors were told."""

    folder: object
    expires: bool = False
    published: dict = field(default_factory=dict)
    refused: set = field(default_factory=set)
    unknown: set = field(default_factory=set)

    def store(self, policy=None):
        catalog = load_catalog(
            "lake",
            type="sql",
            uri=f"sqlite:///{self.folder}/catalog.db?timeout=0",
            warehouse=(self.folder / "warehouse").as_uri(),
            init_catalog_tables="false",
        )
        return IcebergStore(catalog, policy)

    def write(self, name, load):
        """Do what an ingestion does with its rows; see ``phlo_dlt.load``."""
        store = self.store()
        try:
            retry_on_moved_head(lambda: self.attempt(store, name, load), 5)
        except UnknownCommitError:
            self.unknown.add(name)
        except RefusedError:
            self.refused.add(name)
        finally:
            store.catalog.engine.dispose()

    def attempt(self, store, name, load):
        staged = [
            stage_rows(
                store,
                events(load.pairs),
                load.how,
                table=table,
                schema=load.schema,
                summary={LOAD: name},
            )
            for table in load.tables
        ]
        try:
            suites = [Suite(load)] if load.limit is not None or load.relates else []
            audited = audit.audit(suites, Lake(store, DuckDBEngine(store)), staged[0])
            if audited.blocking:
                raise RefusedError  # noqa: TRY301 - its stage is discarded below
            published = store.publish(
                staged,
                reads=audited.reads,
                rebase=len(staged) == 1 and audited.holds_on_any_head,
            )
        except (MovedHeadError, RefusedError):
            for one in staged:
                store.discard(one)
            raise
        self.published[name] = published

    def maintain(self):
        few, many = replace(EAGER, min_small_files=99), replace(EAGER, keep_snapshots=99)
        store = self.store(few if self.expires else many)
        for table in store.list_tables():
            store.maintain(table)
        store.catalog.engine.dispose()


@dataclass(frozen=True)
class Suite:
    """A blocking suite of one check that reads the table, or another one."""

    load: Load
    name: str = "suite"
    blocking: bool = True
    asset_key: None = None
    scope: str = "table"
    defined_at: str = ""
    checks: tuple = (SimpleNamespace(name="check", is_row_rule=False, audits=True),)

    @property
    def table(self):
        return self.load.tables[0]

    def evaluate(self, engine, store, *, partition=None, at=None, only=None, context=None):
        if self.load.relates:
            query, allowed = ORPHANS, 0
        else:
            query, allowed = f'SELECT sum("value") FROM {self.table}', self.load.limit
        (value,) = engine.query(query, at=at).read_all().to_pylist()[0].values()
        status = CheckStatus.FAILED if value > allowed else CheckStatus.PASSED
        return [CheckResult("check", self.table, status, blocking=True)]


# -- the oracle


def apply(rows: Counter, load: Load) -> tuple[Counter, dict]:
    """Apply a load to rows of id, value and day; return the new ones and what was counted."""
    day = (load.how.partition or DAY_1).date.day
    new = Counter((key, value, day) for key, value in load.pairs)
    match load.how:
        case Merge():
            keys = {key for key, _ in load.pairs}
            stored = {row[0]: row for row in rows if row[0] in keys}
            same = {key for key, value in load.pairs if stored.get(key, ())[1:2] == (value,)}
            kept = Counter(row for row in rows if row[0] not in keys or row[0] in same)
            added = Counter(row for row in new if row[0] not in same)
            counted = {
                "inserted": len(keys - stored.keys()),
                "updated": len(keys & stored.keys() - same),
                "unchanged": len(same),
            }
            return kept + added, counted
        case Append(on_rerun="append"):
            return rows + new, {"inserted": len(load.pairs)}
        case _:
            kept = Counter({row: n for row, n in rows.items() if row[2] != day})
            return kept + new, {}


def check(world, loads, died):
    """Compare what the actors left with what they were told."""
    store = world.store()
    tables = sorted({table for load in loads.values() for table in load.tables})
    orders = {table: landed(store, table) for table in tables}
    if world.expires:
        check_some_order(store, world, loads, tables, died)
    else:
        check_outcomes(world, loads, orders, died)
        for table, order in orders.items():
            check_order(store, world, loads, table, order)
    if any(load.relates for load in loads.values()):
        check_relation(store)
    for table in store.list_tables():
        assert store.load(table).row_count == rows_of(store, table).total()
        assert_no_file_is_missing(store, table)
    store.catalog.engine.dispose()


def check_order(store, world, loads, table, order):
    """Check that a table is what these loads make of it one after another."""
    expected = Counter()
    for name in order:
        expected, counted = apply(expected, loads[name])
        check_account(world, name, table, counted)
        limit = loads[name].limit
        if limit is not None:
            assert sum(v * n for (_, v, _), n in expected.items()) <= limit, "published unaudited"
    assert rows_of(store, table) == expected, f"{table} is not its loads in order {order}"


def check_relation(store):
    """Check what both loads' audits demand: whichever came second was refused, or judged anew."""
    parents = {key for key, _, _ in rows_of(store, OTHERS)}
    assert {key for key, _, _ in rows_of(store, EVENTS)} <= parents, "child without its parent"


def check_some_order(store, world, loads, tables, died):
    """Check that some order of the acknowledged loads explains a table without its history."""
    acknowledged = [name for name in loads if name in world.published]
    open_ends = [name for name in loads if name in (world.unknown | died) - {*acknowledged}]
    assert {*acknowledged, *open_ends} | world.refused == {*loads}
    chosen = [c for n in range(len(open_ends) + 1) for c in combinations(open_ends, n)]
    wrong = []
    for order in (o for c in chosen for o in permutations([*acknowledged, *c])):
        try:
            for table in tables:
                check_order(
                    store, world, loads, table, [n for n in order if table in loads[n].tables]
                )
        except AssertionError as exc:
            wrong.append(str(exc))
        else:
            return
    raise AssertionError(f"no order explains the tables: {wrong}")


def landed(store, table) -> list[str]:
    """Names of the loads whose snapshots a table has, in the order in which they landed."""
    if not store.exists(table):
        return []
    snapshots = reversed(store.history(table))
    return [s.summary[LOAD] for s in snapshots if LOAD in s.summary]


def check_outcomes(world, loads, orders, died):
    for name, load in loads.items():
        times = [orders[table].count(name) for table in load.tables]
        assert len(set(times)) == 1, f"{name} landed in part of its tables"
        if name in world.published:
            assert times[0] == 1, f"{name} was acknowledged and landed {times[0]} times"
        elif name in world.refused:
            assert times[0] == 0, f"{name} was refused and landed"
        else:
            assert name in world.unknown or name in died, f"{name} has no outcome"
            assert times[0] <= 1, f"{name} landed twice"


def check_account(world, name, table, counted):
    for published in world.published.get(name, ()):
        if published.table == table:
            account = published.account.as_dict()
            assert {key: account[key] for key in counted} == counted, f"account of {name}"


def rows_of(store, table) -> Counter:
    if not store.exists(table):
        return Counter()
    rows = store.catalog.load_table((table.namespace, table.name)).scan().to_arrow().to_pylist()
    return Counter((r["id"], r["value"], r["_phlo_partition_date"].day) for r in rows)


def assert_no_file_is_missing(store, table):
    handle = store.catalog.load_table((table.namespace, table.name))
    for snapshot in handle.metadata.snapshots:
        for manifest in snapshot.manifests(handle.io):
            for entry in manifest.fetch_manifest_entry(handle.io):
                path = entry.data_file.file_path
                assert handle.io.new_input(path).exists(), f"{path} is live and missing"


# -- scenarios


@dataclass(frozen=True)
class Scenario:
    """What is there before, and who acts at once.

    Attributes:
        before: Loads that were published before.
        loads: One actor per load.
        maintains: Whether a maintainer acts beside them.
        expires: Whether the maintainer expires all snapshots but the newest.
    """

    loads: dict
    before: tuple = ()
    maintains: bool = False
    expires: bool = False


OLD = Load((("a", 1), ("b", 1)), merge(DAY_1))
WIDER = SCHEMA.append(pa.field("more", pa.string()))
SCENARIOS = {
    "merges of one key": Scenario(
        {
            "one": Load((("a", 2), ("c", 2)), merge(DAY_1)),
            "two": Load((("a", 3), ("d", 3)), merge(DAY_1)),
        },
        (OLD,),
    ),
    "appends": Scenario(
        {
            name: Load(((name, 1),), Append(day, on_rerun="append"))
            for name, day in (("one", DAY_1), ("two", DAY_1), ("three", DAY_2))
        },
        (OLD,),
    ),
    "replaced partitions": Scenario(
        {
            "one": Load((("x", 2),), Replace(DAY_1)),
            "two": Load((("y", 3),), Append(DAY_1)),
        },
        (OLD,),
    ),
    "several tables": Scenario(
        {
            "one": Load((("a", 2),), merge(DAY_1), (EVENTS, OTHERS)),
            "two": Load((("a", 3),), merge(DAY_1), (EVENTS, OTHERS)),
        },
        (replace(OLD, tables=(EVENTS, OTHERS)),),
    ),
    "new tables": Scenario(
        {
            "one": Load((("a", 2),), merge(DAY_1), (EVENTS, OTHERS)),
            "two": Load((("a", 3),), merge(DAY_1)),
        },
    ),
    "schema changes": Scenario(
        {
            "one": Load((("a", 2),), merge(DAY_1), schema=WIDER),
            "two": Load((("a", 3),), merge(DAY_1), schema=WIDER),
        },
        (OLD,),
    ),
    "a compaction": Scenario(
        {
            "one": Load((("a", 2), ("c", 2)), merge(DAY_1)),
            "two": Load((("d", 3),), merge(DAY_1)),
        },
        (OLD, replace(OLD, pairs=(("e", 1),))),
        maintains=True,
    ),
    "an expiry": Scenario(
        {
            "one": Load((("a", 2), ("c", 2)), merge(DAY_1)),
            "two": Load((("d", 3),), merge(DAY_1)),
        },
        (OLD, replace(OLD, pairs=(("e", 1),))),
        maintains=True,
        expires=True,
    ),
    "an expiry of appends": Scenario(
        {
            "one": Load((("a", 2),), Append(DAY_1, on_rerun="append")),
            "two": Load((("a", 3),), Append(DAY_2, on_rerun="append")),
        },
        (replace(OLD, how=Append(DAY_3, on_rerun="append")),),
        maintains=True,
        expires=True,
    ),
    "an audit of another table": Scenario(
        {
            "child": Load((("c", 5),), merge(DAY_2), relates=True),
            "parents": Load((("a", 1), ("b", 1)), Replace(DAY_1), (OTHERS,), relates=True),
        },
        (OLD, Load((("a", 1), ("b", 1), ("c", 1)), merge(DAY_1), (OTHERS,))),
    ),
    "an audit of the table": Scenario(
        {
            "one": Load((("c", 4),), merge(DAY_2), limit=8),
            "two": Load((("d", 4),), merge(DAY_3), limit=8),
        },
        (OLD,),
    ),
}


@dataclass
class Trials:
    """Runs a scenario under one schedule after another, each from the same start."""

    scenario: Scenario
    folder: object

    def __post_init__(self) -> None:
        world = World(self.folder / "lake")
        world.folder.mkdir()
        store = world.store()
        store.catalog.create_tables()
        store.catalog.create_namespace("bronze")
        self.before = {f"before {n}": load for n, load in enumerate(self.scenario.before)}
        for name, load in self.before.items():
            world.attempt(store, name, load)
        self.published = world.published
        store.catalog.engine.dispose()
        world.folder.rename(self.folder / "start")

    def __call__(self, scheduler) -> None:
        world = World(self.folder / "lake", self.scenario.expires, dict(self.published))
        shutil.rmtree(world.folder, ignore_errors=True)
        shutil.copytree(self.folder / "start", world.folder)
        loads = self.scenario.loads
        actors = {name: partial(world.write, name, load) for name, load in loads.items()}
        if self.scenario.maintains:
            actors["maintainer"] = world.maintain
        died = scheduler.run(actors)
        check(world, self.before | loads, died)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(settle, "WAIT", wait_none())
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda seconds: None))


def run(name, folder, bounds) -> int:
    """Explore a scenario; return how many schedules were tried."""
    schedules = []
    for schedule in explore(Trials(SCENARIOS[name], folder), bounds):
        schedules.append(schedule)
        if schedule.error is not None:
            schedule.error.add_note(f"replay({schedule.prefix}): {schedule}")
            raise schedule.error
    return len(schedules)


@pytest.mark.parametrize("name", SCENARIOS)
def test_schedules_chosen_at_random_are_some_serial_order(name, tmp_path):
    assert run(name, tmp_path, Bounds(preemptions=2, faults=1, sample=3)) == 3


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("bounds", [Bounds(2, 0), Bounds(1, 1)], ids=["preempted", "struck"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_more_schedules_are_some_serial_order(name, bounds, tmp_path):
    assert run(name, tmp_path, replace(bounds, sample=50, seed=1))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_schedule_of_two_merges_is_some_serial_order(tmp_path):
    assert run("merges of one key", tmp_path, Bounds(preemptions=2)) > 50


# -- faults that were planted: the search must find each


def swap_without_looking(catalog, session, swap):
    """Let the catalog name the new metadata whatever it names by now."""
    session.execute(
        update(IcebergTables)
        .where(*sql.row_of(catalog, swap.commit.name))
        .values(metadata_location=swap.new.metadata_location)
    )


def take_unknown_for_refused(catalog, commits, send):
    """Say that a commit whose answer was lost did not land, so that its files are deleted."""
    try:
        send()
    except (SQLAlchemyError, settle.NotSentError) as exc:
        raise MovedHeadError("The catalog did not take the commit.") from exc


PLANTED = {
    "the head is not compared": (
        "merges of one key",
        (sql, "_swap", swap_without_looking),
        "is not its loads in order|landed 0 times",
        Bounds(preemptions=1),
    ),
    "files are deleted though the outcome is unknown": (
        "appends",
        (sql, "settle", take_unknown_for_refused),
        "FileNotFoundError|landed twice|is live and missing|is not where the catalog says",
        Bounds(preemptions=0, faults=1),
    ),
    "a lost answer is taken for a refusal": (
        "appends",
        (settle, "outcome_of", lambda catalog, commits: "refused"),
        "landed 2 times|FileNotFoundError|is live and missing|is not where the catalog says",
        Bounds(preemptions=0, faults=1),
    ),
    "the audit is not repeated on another head": (
        "an audit of the table",
        (audit, "holds_on_any_head", lambda suites: True),
        "published unaudited",
        Bounds(preemptions=1),
    ),
    "tables that an audit read are not asserted": (
        "an audit of another table",
        (sql, "_assert_unmoved", lambda catalog, session, reads: None),
        "child without its parent",
        Bounds(preemptions=1),
    ),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found(fault, tmp_path, monkeypatch):
    scenario, patched, symptom, bounds = PLANTED[fault]
    monkeypatch.setattr(*patched)
    schedules = explore(Trials(SCENARIOS[scenario], tmp_path), replace(bounds, sample=60))
    errors = (s.error for s in schedules if s.error is not None)
    error = next(errors, None)
    assert error is not None, "no schedule showed the fault"
    assert re.search(symptom, f"{type(error).__name__}: {error}"), repr(error)
