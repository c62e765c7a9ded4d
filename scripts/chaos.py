"""Attack a project for minutes: writers that are killed and stopped, a maintainer, and readers.

`phlo materialize`, `phlo backfill --parallel` and `phlo maintain` run as processes of their own on
tables of every strategy, and are killed (SIGKILL) or stopped for a while (SIGSTOP) at any time; so
is one that runs dbt models over two of these tables and publishes two of the models to PostgreSQL.
Meanwhile pyiceberg and phlo's engine read every table, and PostgreSQL is asked for the marts. What
each day delivers never changes, so that a history checker can say of any state whether it may be
seen:

- no key twice, and no row that was never delivered
- of an appended or replaced day, all rows or none; of a merged key, never an earlier day than one
  that was acknowledged, or that was read before
- at the end every day is loaded once more: the tables are those of a run in date order

A third of the commands have a clock that is wrong by up to two days and jumps while they run, and
some may write no more from a certain moment on, as on a full disk: files that would grow beyond a
few kilobytes fail.

With ``--postgres`` the catalog is in a PostgreSQL server that is stopped at once and started again
at any time, behind a proxy that loses answers to COMMIT. A reader may be told then that the catalog
does not answer, by phlo's own error; whatever was acknowledged still has to be there.

With ``--s3`` the files are in an object store, behind a proxy that answers 503 in place of it, cuts
connections, and is slow for a while.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg
from phlo.config import get_settings
from phlo.errors import ServiceError
from phlo.lake import build_lake
from phlo.names import TableName
from phlo_iceberg.service_errors import explained_errors

sys.path.insert(0, str(Path(__file__).parent))  # a test loads this file by its path

from chaos_servers import catalog_server, marts_server, shake_server, shake_store, store_proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa
    from chaos_servers import Server
    from phlo.lake import Lake

CLOCK = Path(__file__).parent / "chaos_clock"
FIRST_DAY, DAYS = date(2025, 1, 1), 6
KEYS = 40
TABLES = {
    "lasts": {},
    "hashes": {"merge_config": {"deduplication_method": "hash"}},
    "firsts": {"merge_config": {"deduplication_method": "first"}},
    "appends": {"merge_strategy": "append"},
    "replaces": {"merge_strategy": "replace"},
}
MODELS = {"copied": "lasts", "grown": "lasts", "gathered": "appends"}
"""What dbt makes, by the table that it is made of."""
MARTS = {"mart_copied": "copied", "mart_grown": "grown"}
"""Published tables, by their models."""
MERGED = ("lasts", "hashes", "copied", "grown", "mart_copied", "mart_grown")
WHOLE_DAYS = ("appends", "replaces", "gathered")
ALL = [(FIRST_DAY + timedelta(days=n)).isoformat() for n in range(DAYS)]

WORKFLOW = """
import random

import pandera.pandas as pa
from phlo_dlt import phlo_ingestion


class Rows(pa.DataFrameModel):
    id: str
    value: int


def deliver(day):
    keys = random.Random(day).sample(range({keys}), {half})
    return [{{"id": str(key), "value": int(day[-2:]) * 1000 + key}} for key in keys]


OPTIONS = dict(
    unique_key="id",
    validation_schema=Rows,
    group="chaos",
    start_date="{first}",
    retry_delay_seconds=1,
)
"""
ASSET = """

@phlo_ingestion(table_name={name!r}, **OPTIONS, **{options!r})
def {name}(partition_date: str):
    return deliver(partition_date)
"""
PUBLISHING = """
from phlo.publishing import publishing_asset

replaced = publishing_asset(tables={"mart_copied": "gold.copied"}, name="publish_copied")
merged = publishing_asset(
    tables={"mart_grown": "gold.grown"}, mode="merge", key="id", name="publish_grown"
)
"""
DBT = "workflows/transforms/dbt"
DBT_FILES = {
    "dbt_project.yml": "name: chaos\nversion: '1.0'\nconfig-version: 2\n",
    "models/sources.yml": """
sources:
  - name: bronze
    schema: bronze
    tables:
      - {name: lasts, meta: {dagster_asset_key: dlt_lasts}}
      - {name: appends, meta: {dagster_asset_key: dlt_appends}}
""",
    "models/gold/copied.sql": "select id, value from {{ source('bronze', 'lasts') }}",
    "models/gold/grown.sql": "{{ config(materialized='incremental', unique_key='id') }}"
    "select id, value from {{ ref('copied') }}",
    "models/gold/gathered.sql": "select id, value from {{ source('bronze', 'appends') }}",
    "models/gold/tests.yml": """
models:
  - name: copied
    columns: [{name: id, data_tests: [unique, not_null]}]
""",
}
BUILD = ("materialize", *MODELS, "publish_copied", "publish_grown")


def deliver(day: str) -> dict[str, int]:
    """Return what a day delivers: value by key, as the workflow does."""
    keys = random.Random(day).sample(range(KEYS), KEYS // 2)
    return {str(key): int(day[-2:]) * 1000 + key for key in keys}


def day_of(value: int) -> str:
    """Return the day that delivered a value."""
    return f"{ALL[0][:-2]}{value // 1000:02}"


def is_delivered(key: str, value: int) -> bool:
    """Return whether some day delivers a key with this value."""
    return day_of(value) in ALL and deliver(day_of(value)).get(key) == value


class Checker:
    """Judges every state that is read, by what was acknowledged before the read began."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._acknowledged: set[tuple[str, str]] = set()
        self._seen: dict[tuple[str, str, str], str] = {}
        self.problems: list[str] = []
        self.reads = 0

    def acknowledge(self, table: str, day: str) -> None:
        """Note that a command said that a day was loaded."""
        with self._lock:
            self._acknowledged.add((table, day))

    @property
    def acknowledged(self) -> set[tuple[str, str]]:
        """Tables and days that were acknowledged so far."""
        with self._lock:
            return set(self._acknowledged)

    def check(
        self, reader: str, table: str, rows: list[tuple[str, int]], known: set[tuple[str, str]]
    ) -> None:
        """Judge one state of a table.

        Args:
            reader: Who read it; what one reader saw it may not lose again.
            table: The table.
            rows: Key and value of each row.
            known: What had been acknowledged before it was read.
        """
        self.reads += 1
        try:
            days = {day for name, day in known if name == table}
            if table in WHOLE_DAYS:
                _check_whole_days(rows, days)
            else:
                self._check_keys(reader, table, rows, days)
        except AssertionError as exc:
            self.problems.append(f"{table}, read by {reader}: {exc}")

    def _check_keys(
        self, reader: str, table: str, rows: list[tuple[str, int]], days: set[str]
    ) -> None:
        found = dict(rows)
        assert len(found) == len(rows), "a key twice"
        for key, value in found.items():
            assert is_delivered(key, value), f"{key}: {value} was never delivered"
        pick = max if table in MERGED else min
        for key in map(str, range(KEYS)):
            bounds = [day for day in days if key in deliver(day)]
            before = self._seen.get((reader, table, key))
            bounds += [before] if before else []
            if key not in found:
                assert not bounds, f"{key} is lost"
                continue
            day = day_of(found[key])
            assert pick([day, *bounds]) == day, f"{key} is of {day}, though {bounds} were there"
            self._seen[reader, table, key] = day


def _check_whole_days(rows: list[tuple[str, int]], days: set[str]) -> None:
    by_day: dict[str, Counter[tuple[str, int]]] = {}
    for key, value in rows:
        by_day.setdefault(day_of(value), Counter())[key, value] += 1
    for day, counted in by_day.items():
        assert counted == Counter(deliver(day).items()), f"{day} is there in part, or twice"
    assert days <= by_day.keys(), f"{sorted(days - by_day.keys())} are lost"


def expected(table: str) -> list[tuple[str, int]]:
    """Return the rows of a run in date order."""
    if table in WHOLE_DAYS:
        return sorted(row for day in ALL for row in deliver(day).items())
    rows: dict[str, int] = {}
    for day in ALL:
        rows = rows | deliver(day) if table in MERGED else deliver(day) | rows
    return sorted(rows.items())


class Attack:
    """One project, and all that acts on it."""

    def __init__(self, folder: Path, seed: int, marts: Server) -> None:
        self.folder, self.seed, self.marts = folder, seed, marts
        self.checker = Checker()
        self.counts: Counter[str] = Counter()
        self.is_over = threading.Event()
        (folder / DBT / "models/gold").mkdir(parents=True)
        for name, content in DBT_FILES.items():
            (folder / DBT / name).write_text(content)
        (folder / "workflows/marts.py").write_text(PUBLISHING)
        text = WORKFLOW.format(keys=KEYS, half=KEYS // 2, first=ALL[0])
        text += "".join(ASSET.format(name=n, options=o) for n, o in TABLES.items())
        (folder / "workflows/chaos.py").write_text(text)
        (folder / ".env").touch(0o600)

    def start(self, *arguments: str, clock: str = "") -> subprocess.Popen[bytes]:
        """Start one command of phlo, where a clock is given with that one."""
        wrong_clock = {"PYTHONPATH": str(CLOCK), "CHAOS_CLOCK": clock}
        return subprocess.Popen(
            [sys.executable, "-m", "phlo_cli", *arguments],
            cwd=self.folder,
            env=os.environ | (wrong_clock if clock else {}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def write(self, number: int) -> None:
        """Load days of tables until all is over, killing or stopping some of the commands."""
        chance = random.Random(f"{self.seed} {number}")
        while not self.is_over.is_set():
            table, days = chance.choice(list(TABLES)), chance.sample(ALL, 2)
            if chance.random() < 0.3:
                arguments = ["backfill", table, "--partitions", ",".join(days), "--parallel", "2"]
            else:
                days = days[:1]
                arguments = ["materialize", table, "--partition", days[0]]
            if self._disturb(arguments, chance):
                self.counts["ended otherwise"] += 1
                continue
            for day in days:
                self.checker.acknowledge(table, day)
            self.counts["acknowledged"] += len(days)

    def build(self) -> None:
        """Build and publish the models again and again, killed like the writers."""
        chance = random.Random(f"{self.seed} build")
        while not self.is_over.is_set():
            known = self.checker.acknowledged
            if self._disturb(BUILD, chance):
                self.counts["builds ended otherwise"] += 1
                continue
            self.counts["built"] += 1
            for made, source in {**MODELS, **{m: MODELS[of] for m, of in MARTS.items()}}.items():
                for day in (day for table, day in known if table == source):
                    self.checker.acknowledge(made, day)

    def maintain(self) -> None:
        """Maintain all tables again and again, killed like the writers."""
        chance = random.Random(f"{self.seed} maintain")
        while not self.is_over.wait(2):
            if self._disturb(["maintain"], chance) == 0:
                self.counts["maintained"] += 1

    def shake(self, shaking: Callable[..., None], server: object) -> None:
        """Let things happen to a server until all is over."""
        chance = random.Random(f"{self.seed} {server.__class__.__name__}")
        shaking(server, chance, self.is_over, self.counts)

    def _disturb(self, arguments: Sequence[str], chance: random.Random) -> int:
        """Run a command, and let something happen to it or not; return its exit code."""
        clock = f"{_skew(chance)} {_skew(chance)}" if chance.random() < 0.3 else ""
        self.counts["wrong clock"] += bool(clock)
        process = self.start(*arguments, clock=clock)
        fate = chance.choice(["", "", "", "kill", "stop", "full"])
        try:
            return process.wait(chance.uniform(1, 12) if fate else None)
        except subprocess.TimeoutExpired:
            self.counts[fate] += 1
        if fate == "full":
            _fill_disk(process.pid, chance.randrange(64_000))
        elif fate == "kill":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            os.killpg(process.pid, signal.SIGSTOP)
            time.sleep(chance.uniform(0.5, 5))
            os.killpg(process.pid, signal.SIGCONT)
        return process.wait()

    def read(self) -> None:
        """Read every table by every reader it has until all is over."""
        lake = build_lake(get_settings().model_copy(update={"project_dir": self.folder}))
        while not self.is_over.wait(0.5):
            for table in (*TABLES, *MODELS):
                for reader in (read_by_pyiceberg, read_by_phlo):
                    self._read(reader.__name__, table, partial(reader, lake, table))
            for mart in MARTS:
                self._read("PostgreSQL", mart, partial(read_mart, self.marts, mart))

    def _read(self, reader: str, table: str, rows: Callable[[], list[tuple[str, int]]]) -> None:
        known = self.checker.acknowledged
        try:
            self.checker.check(reader, table, rows(), known)
        except (ServiceError, psycopg.OperationalError):
            self.counts["reads without an answer"] += 1
        except Exception as exc:  # noqa: BLE001 - any of them is a finding
            self.checker.problems.append(f"{table}, read by {reader}: {exc!r}")

    def finish(self) -> None:
        """Load every day once more, undisturbed, and compare with a run in date order."""
        dates = ["--start-date", ALL[0], "--end-date", ALL[-1]]
        if code := self.start("backfill", *TABLES, *dates).wait():
            self.checker.problems.append(f"the last backfill ended with exit code {code}")
        if code := self.start(*BUILD).wait():
            self.checker.problems.append(f"the last build ended with exit code {code}")
        lake = build_lake(get_settings().model_copy(update={"project_dir": self.folder}))
        states = {t: read_by_pyiceberg(lake, t) for t in (*TABLES, *MODELS)}
        states |= {mart: read_mart(self.marts, mart) for mart in MARTS}
        for table, rows in states.items():
            if sorted(rows) != expected(origin(table)):
                self.checker.problems.append(f"{table} is not that of a run in date order")


def _skew(chance: random.Random) -> float:
    """Return by how many seconds a clock is wrong: less than files of no table are kept for."""
    return chance.uniform(-1, 1) * 86_400


def _fill_disk(pid: int, size: int) -> None:
    """Let a process, and those that it starts, write no file beyond a size any more."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            one.rlimit(psutil.RLIMIT_FSIZE, (size, size))


def origin(table: str) -> str:
    """Return the loaded table that a model or mart is made of; a loaded one itself."""
    table = MARTS.get(table, table)
    return MODELS.get(table, table)


def read_by_pyiceberg(lake: Lake, table: str) -> list[tuple[str, int]]:
    """Read key and value of every row; of a table that is not there yet, none."""
    if not lake.store.exists(name := name_of(table)):
        return []
    with explained_errors():
        rows = lake.store.catalog.load_table((name.namespace, name.name)).scan().to_arrow()
    return rows_of(rows)


def read_by_phlo(lake: Lake, table: str) -> list[tuple[str, int]]:
    """Do the same by phlo's engine."""
    if not lake.store.exists(name := name_of(table)):
        return []
    return rows_of(lake.engine.query(f'SELECT id, "value" FROM {name}').read_all())


def read_mart(server: Server, mart: str) -> list[tuple[str, int]]:
    """Do the same with a published table."""
    with server.address.connect() as connection:
        if connection.execute("SELECT to_regclass(%s)", [f"marts.{mart}"]).fetchone() == (None,):
            return []
        return connection.execute(f"SELECT id, value FROM marts.{mart}").fetchall()


def name_of(table: str) -> TableName:
    """Return a table's whole name."""
    return TableName("gold" if table in MODELS else "bronze", table)


def rows_of(rows: pa.Table) -> list[tuple[str, int]]:
    """Return key and value of every row."""
    return [(row["id"], row["value"]) for row in rows.select(["id", "value"]).to_pylist()]


def run_for(seconds: float, attack: Attack, tasks: Sequence[Callable[[], None]]) -> None:
    """Let all act at once for some seconds, and wait until each has ended."""
    threads = [threading.Thread(target=task) for task in tasks]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    attack.is_over.set()
    for thread in threads:
        thread.join()


def main() -> int:
    """Attack for some minutes; 0 where all was right."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--writers", type=int, default=2)
    parser.add_argument("--postgres", action="store_true", help="the catalog is in PostgreSQL")
    parser.add_argument("--s3", action="store_true", help="the files are in an object store")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder, ExitStack() as stack:
        marts = stack.enter_context(marts_server(Path(folder) / "marts"))
        attack = Attack(Path(folder), options.seed, marts)
        tasks = [partial(attack.shake, shake_server, marts)]
        if options.postgres:
            server = stack.enter_context(catalog_server(Path(folder) / "catalog"))
            tasks.append(partial(attack.shake, shake_server, server))
        if options.s3:
            proxy = stack.enter_context(store_proxy(Path(folder) / "s3"))
            tasks.append(partial(attack.shake, shake_store, proxy))
        if code := attack.start("materialize", "lasts", "appends", "--partition", ALL[0]).wait():
            print(f"The first load ended with exit code {code}.")
            return 1
        tasks += [attack.build, attack.maintain, attack.read]
        tasks += [partial(attack.write, number) for number in range(options.writers)]
        run_for(options.minutes * 60, attack, tasks)
        attack.finish()
    problems = list(dict.fromkeys(attack.checker.problems))
    counted = ", ".join(f"{n} {name}" for name, n in sorted(attack.counts.items()))
    print(f"seed {options.seed}: {counted}, {attack.checker.reads} reads")
    print("\n".join(problems[:20]) or "Everything was right.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
