"""The same loads on a real Trino as in this process: equal tables, accounts and verdicts."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from datetime import date, datetime
from decimal import Decimal
from random import Random

import pytest
from phlo.config import reset_settings
from phlo.lake import open_lake, reset_lake
from phlo.names import TableName
from phlo.values import LoadAccount
from phlo_testing.trino import WORK_CATALOGS

pytestmark = [pytest.mark.trino, pytest.mark.integration, pytest.mark.xdist_group("servers")]

SCHEMA = """
    from datetime import date, datetime
    from typing import Annotated
    import pandas as pd
    import pandera.pandas as pa
    import pyarrow

    class EventSchema(pa.DataFrameModel):
        id: str = pa.Field(nullable=False)
        Part: int = pa.Field(nullable=False)
        name: str = pa.Field(nullable=True)
        amount: Annotated[pd.ArrowDtype, pyarrow.decimal128(12, 2)] = pa.Field(nullable=True, ge=0)
        level: float = pa.Field(nullable=True)
        at: datetime = pa.Field(nullable=True)
        day: date = pa.Field(nullable=True)
        ok: bool = pa.Field(nullable=True)
        gone: bool = pa.Field(default=False)
        seen: int = pa.Field(nullable=True)
        MORE
"""
INGESTION = """
    from phlo_dlt import phlo_ingestion
    from workflows.schemas.api import EventSchema

    import json
    from pathlib import Path

    def source(partition_date):
        return json.loads(Path("rows.json").read_text())

    @phlo_ingestion(
        table_name="events",
        unique_key=["id", "Part"],
        validation_schema=EventSchema,
        group="api",
        ARGUMENTS
    )
    def api_events(partition_date: str):
        return source(partition_date)
"""
SUITE = """
    from phlo_quality import CountCheck, CustomSQLCheck, NullCheck, RangeCheck, UniqueCheck
    from phlo_quality import phlo_quality

    @phlo_quality(
        table="bronze.events",
        checks=[
            NullCheck(["id"]),
            RangeCheck(column="amount", max_value=1000),
            CountCheck(min_count=1),
            UniqueCheck(["id", "Part"]),
        ],
        blocking=True,
    )
    def delivered():
        pass

    @phlo_quality(
        table="bronze.events",
        scope="table",
        checks=[
            NullCheck(["Part"]),
            CustomSQLCheck(
                name="names",
                expected_result=0,
                query="SELECT count(*) FROM bronze.events WHERE length(name) > 40",
            ),
        ],
        blocking=True,
    )
    def whole():
        pass
"""
EVENTS = TableName("bronze", "events")
VOLATILE = {"_dlt_load_id", "_dlt_id", "_phlo_ingested_at", "_phlo_run_id"}


def row(key, part=1, **more):
    return {
        "id": key,
        "Part": part,
        "name": f"näme {key} 'q' 😀",
        "amount": Decimal("1.10"),
        "level": 0.5,
        "at": datetime(1969, 12, 31, 23, 59, 59, 123456),
        "day": date(2025, 1, 15),
        "ok": None,
        "gone": False,
        "seen": 1,
    } | more


def nulls(key, part=1, **more):
    empty = dict.fromkeys(("name", "amount", "level", "at", "day", "ok", "seen"))
    return row(key, part) | empty | more


DAY, NEXT, LATE = "2025-01-15", "2025-01-16", "2025-01-14"
FIRST = [row("a"), row("a", 2), nulls("b"), row("c"), row("d", level=float("nan")), row("e")]
REFUSED = [row("a"), row("x", amount=Decimal("1000.01"))]
CONFIG = {"invalid_rows": "quarantine", "merge_config": {"delete_column": "gone"}}
FEED = [
    (DAY, FIRST),
    # Repeated keys, rows that are equal, changed, new, deleted, and rows that break a rule.
    (
        NEXT,
        [
            row("a", name="erste"),
            row("a", name="letzte ✓"),
            nulls("b"),
            nulls("c", seen=2),
            row("d", level=float("nan")),
            row("e", gone=True),
            row("f", gone=True),
            row("g", amount=Decimal("-1")),
            row("h", at=datetime(9999, 12, 31, 1)),
        ],
    ),
    # A partition that comes late, whose rows lose where the table has later ones.
    (LATE, [row("a", name="alt"), row("e", name="zurück"), row("i"), row("b", 9, name=None)]),
    # A check fails on it.
    (NEXT, REFUSED),
]


class Sides:
    """One project on two lakes: on Trino's, and on one in this process.

    Attributes:
        events: Declares and loads.
    """

    def __init__(self, events, settings, monkeypatch):
        self.events, self._settings, self._monkeypatch = events, settings, monkeypatch
        self._stores = []

    def on(self, is_cluster):
        for name, value in self._settings.items():
            if is_cluster:
                self._monkeypatch.setenv(name, value)
            else:
                self._monkeypatch.delenv(name, raising=False)
        reset_settings()
        reset_lake()
        self.close()
        self._stores.append(open_lake().store)
        return self._stores[0]

    def close(self):
        while self._stores:
            self._stores.pop().catalog.engine.dispose()

    def declare(self, more="", suite=SUITE, **arguments):
        self.events.project.write("workflows/quality/api.py", suite)
        self.events.declare(SCHEMA.replace("MORE", more), INGESTION, **arguments)

    def load_both(self, partition, rows):
        """Load on both sides, and say of each how it ended and what its tables hold."""
        made = [self._load(is_cluster, partition, rows) for is_cluster in (True, False)]
        assert made[0] == made[1]
        return made[0]

    def _load(self, is_cluster, partition, rows):
        store = self.on(is_cluster)
        result = self.events.load([dict(r) for r in rows], partition)
        account = None
        if result.success:
            facts = self.events.facts(result)
            account = {name: facts[name] for name in LoadAccount().as_dict()}
        checks = {
            (e.check_name, e.passed, e.metadata["rows"].value if "rows" in e.metadata else None)
            for e in result.get_asset_check_evaluations()
        }
        return {"account": account, "checks": checks, "tables": contents(store)}


def contents(store):
    """Every table as pyiceberg reads it, rows sorted, without what tells runs apart."""
    tables = {}
    for name in store.list_tables():
        rows = store.catalog.load_table((name.namespace, name.name)).scan().to_arrow().to_pylist()
        kept = [{k: v for k, v in r.items() if k not in VOLATILE | {"run_id"}} for r in rows]
        tables[str(name)] = sorted(map(repr, kept))
    return tables


AUDITS, MERGES = {"PHLO_TRINO_AUDITS": "true"}, {"PHLO_TRINO_MERGE_ROWS": "1"}


@pytest.fixture
def sides(request, trino_lake, events, monkeypatch):
    names = ",".join(f"{branch}={name}" for branch, name in WORK_CATALOGS.items())
    how = getattr(request, "param", MERGES)
    settings = trino_lake.settings | {"PHLO_TRINO_WORK_CATALOGS": names} | how
    made = Sides(events, settings, monkeypatch)
    store = made.on(True)
    for table in store.list_tables():
        store.drop(table)
    yield made
    made.close()


def queries(trino_lake, text, state="FINISHED"):
    """The queries with a text that Trino knows."""
    found = trino_lake.execute(
        f"SELECT query FROM system.runtime.queries WHERE strpos(query, '{text}') > 0 "
        f"AND state = '{state}' AND strpos(query, 'system.runtime.queries') = 0"
    )
    return [query for (query,) in found]


@pytest.mark.parametrize("sides", [AUDITS], indirect=True)
def test_checks_on_a_cluster_say_what_checks_in_this_process_say(sides, trino_lake):
    sides.declare(**CONFIG)
    before = sides.load_both(DAY, FIRST)
    refused = sides.load_both(NEXT, REFUSED)
    assert refused["tables"] == before["tables"]
    failed = {name for name, passed, _ in refused["checks"] if not passed}
    assert failed == {"delivered__RangeCheck__amount"}
    assert queries(trino_lake, '"delivered"')
    assert_nothing_is_left(sides.on(True))


def test_merges_on_a_cluster_make_what_merges_in_this_process_make(sides, trino_lake):
    sides.declare(**CONFIG)
    before = None
    for partition, rows in FEED:
        ended = sides.load_both(partition, rows)
        if rows == REFUSED:
            assert ended["account"] is None
            assert ended["tables"] == before
        else:
            assert ended["account"]["extracted"] == len(rows)
        before = ended["tables"]
    sides.declare("extra: str = pa.Field(nullable=True)", **CONFIG)
    sides.load_both(NEXT, [row("a", extra="ä"), row("c"), row("z", extra=None)])
    assert queries(trino_lake, "MERGE INTO")
    store = sides.on(True)
    run = store.history(EVENTS)[0].summary
    assert run["phlo.asset"] == "dlt_events"
    assert store.load(EVENTS).row_count == len(before["bronze.events"]) + 1
    assert_nothing_is_left(store)


def random_rows(random):
    """Rows of few keys, so that they meet; every column has nulls."""
    return [
        row(
            random.choice("abcdefghijkl"),
            random.randrange(2),
            name=random.choice([None, "", "ß", "日本"]),
            amount=random.choice([None, Decimal("0.00"), Decimal("9.99")]),
            level=random.choice([None, 0.0, -0.0, float("nan"), 1e300]),
            at=random.choice([None, datetime(1, 1, 1), datetime(2025, 1, 1)]),
            gone=random.random() < 0.2,
            seen=random.choice([None, 1, 2, 3]),
        )
        for _ in range(30)
    ]


@pytest.mark.parametrize(
    "config",
    [
        {"order_by": "seen", "delete_column": "gone"},
        {"deduplication_method": "first", "delete_column": "gone"},
    ],
)
def test_random_rows_meet_stored_ones_by_the_rules_of_the_store(sides, config):
    random = Random(str(config))
    sides.declare(suite="", merge_config=config)
    for partition in (NEXT, DAY, NEXT):
        assert sides.load_both(partition, random_rows(random))["account"] is not None


def assert_nothing_is_left(store):
    assert [b.name for b in store.branches()] == ["main"]
    assert all(store.examine(table, deep=True) == [] for table in store.list_tables())


RIVAL = """
    from phlo_quality import QualityCheck, QualityCheckResult, phlo_quality

    rival = list

    class Rival(QualityCheck):
        def execute(self, df, context):
            rival()
            return QualityCheckResult(passed=True)

    @phlo_quality(table="bronze.events", checks=[Rival()])
    def rivaled():
        pass
"""


def test_a_load_whose_table_moved_meanwhile_is_merged_anew(sides, trino_lake):
    store = sides.on(True)
    sides.declare(suite=RIVAL, **CONFIG)
    assert sides.events.load([row("a")], DAY).success
    calls = []

    def rival():
        calls.append(1)
        if len(calls) == 1:
            values = "('other', 1, 'of another writer', FALSE)"
            trino_lake.execute(f"INSERT INTO bronze.events (id, Part, name, gone) VALUES {values}")

    importlib.import_module("workflows.quality.api").rival = rival
    result = sides.events.load([row("a", name="new"), row("b")], NEXT)
    assert result.success, sides.events.failure(result).description
    assert len(calls) == 2
    assert trino_lake.execute("SELECT id, name FROM bronze.events ORDER BY id") == [
        ["a", "new"],
        ["b", row("b")["name"]],
        ["other", "of another writer"],
    ]
    assert_nothing_is_left(store)


SLOW = """
    from phlo_quality import CustomSQLCheck, phlo_quality

    @phlo_quality(
        table="bronze.events",
        checks=[
            CustomSQLCheck(
                expected_result=0,
                query="SELECT count(*) FROM bronze.events AS slow "
                "CROSS JOIN unnest(sequence(1, 10000)) AS a(x) "
                "CROSS JOIN unnest(sequence(1, 10000)) AS b(y) "
                "CROSS JOIN unnest(sequence(1, 10000)) AS c(z) WHERE x + y + z < 0",
            )
        ],
        blocking=True,
    )
    def slow():
        pass
"""


def test_a_load_that_is_killed_leaves_main_and_its_rerun_makes_what_it_would_have(
    sides, trino_lake
):
    sides.declare(**CONFIG)
    before = sides.load_both(DAY, FIRST)["tables"]
    store = sides.on(True)
    sides.events.project.write("workflows/quality/api.py", SLOW)
    rows = [{"id": "a", "Part": 1, "name": "killed"}, {"id": "new", "Part": 1}]
    (sides.events.project.root / "rows.json").write_text(json.dumps(rows))
    process = subprocess.Popen(
        [sys.executable, "-m", "phlo_cli", "materialize", "dlt_events", "--partition", NEXT],
        cwd=sides.events.project.root,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while process.poll() is None and not queries(trino_lake, "AS slow", "RUNNING"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert process.poll() is None, process.communicate()[0]
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert contents(store) == before
    assert [b.name for b in store.branches()] == ["main", "work-1"]
    sides.declare(**CONFIG)
    sides.load_both(NEXT, [row("a", name="killed"), row("new")])
    assert not queries(trino_lake, "AS slow", "RUNNING")
    assert_nothing_is_left(sides.on(True))
