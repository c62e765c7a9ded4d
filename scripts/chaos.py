"""Attack a project for minutes: writers that are killed and stopped, a maintainer, and readers.

`phlo materialize`, `phlo backfill --parallel` and `phlo maintain` run as processes of their own on
tables of every strategy, and are killed (SIGKILL) or stopped for a while (SIGSTOP) at any time.
Meanwhile pyiceberg and phlo's engine read every table. What each day delivers never changes, so
that a history checker can say of any state whether it may be seen:

- no key twice, and no row that was never delivered
- of an appended or replaced day, all rows or none; of a merged key, never an earlier day than one
  that was acknowledged, or that was read before
- at the end every day is loaded once more: the tables are those of a run in date order

With ``--postgres`` the catalog is in a PostgreSQL server that is stopped at once and started again
at any time, behind a proxy that loses answers to COMMIT. A reader may be told then that the catalog
does not answer, by phlo's own error; whatever was acknowledged still has to be there.
"""

from __future__ import annotations

import argparse
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

from phlo.config import get_settings
from phlo.errors import ServiceError
from phlo.lake import build_lake
from phlo.names import TableName
from phlo_iceberg.service_errors import explained_errors
from phlo_publishing.server import EmbeddedServer
from phlo_testing.database_proxy import LossyDatabaseProxy
from phlo_testing.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FIRST_DAY, DAYS = date(2025, 1, 1), 6
KEYS = 40
TABLES = {
    "lasts": {},
    "hashes": {"merge_config": {"deduplication_method": "hash"}},
    "firsts": {"merge_config": {"deduplication_method": "first"}},
    "appends": {"merge_strategy": "append"},
    "replaces": {"merge_strategy": "replace"},
}
MERGED = ("lasts", "hashes")
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
            if table in ("appends", "replaces"):
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
    if table in ("appends", "replaces"):
        return sorted(row for day in ALL for row in deliver(day).items())
    rows: dict[str, int] = {}
    for day in ALL:
        rows = rows | deliver(day) if table in MERGED else deliver(day) | rows
    return sorted(rows.items())


class Attack:
    """One project, and all that acts on it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed, self.checker = folder, seed, Checker()
        self.counts: Counter[str] = Counter()
        self.is_over = threading.Event()
        (folder / "workflows").mkdir()
        text = WORKFLOW.format(keys=KEYS, half=KEYS // 2, first=ALL[0])
        text += "".join(ASSET.format(name=n, options=o) for n, o in TABLES.items())
        (folder / "workflows/chaos.py").write_text(text)
        (folder / ".env").touch(0o600)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one command of phlo."""
        return subprocess.Popen(
            [sys.executable, "-m", "phlo_cli", *arguments],
            cwd=self.folder,
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
            if self._disturb(self.start(*arguments), chance):
                self.counts["ended otherwise"] += 1
                continue
            for day in days:
                self.checker.acknowledge(table, day)
            self.counts["acknowledged"] += len(days)

    def maintain(self) -> None:
        """Maintain all tables again and again, killed like the writers."""
        chance = random.Random(f"{self.seed} maintain")
        while not self.is_over.wait(2):
            if self._disturb(self.start("maintain"), chance) == 0:
                self.counts["maintained"] += 1

    def shake_catalog(self, server: CatalogServer) -> None:
        """Restart the catalog's server, or lose an answer of it, again and again."""
        chance = random.Random(f"{self.seed} catalog")
        while not self.is_over.wait(chance.uniform(5, 20)):
            if chance.random() < 0.4:
                server.restart(chance.uniform(0, 4))
                self.counts["restarts of PostgreSQL"] += 1
            else:
                server.proxy.lose_next_commit(chance.choice(["committed", "not committed"]))
        self.counts["lost answers"] = server.proxy.lost

    def _disturb(self, process: subprocess.Popen[bytes], chance: random.Random) -> int:
        """Kill or stop a command at some time, or let it be; return its exit code."""
        fate = chance.choice(["", "", "", "kill", "stop"])
        try:
            return process.wait(chance.uniform(1, 12) if fate else None)
        except subprocess.TimeoutExpired:
            self.counts[fate] += 1
        if fate == "kill":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            os.killpg(process.pid, signal.SIGSTOP)
            time.sleep(chance.uniform(0.5, 5))
            os.killpg(process.pid, signal.SIGCONT)
        return process.wait()

    def read(self) -> None:
        """Read every table by both readers until all is over."""
        lake = build_lake(get_settings().model_copy(update={"project_dir": self.folder}))
        while not self.is_over.wait(0.5):
            for table in TABLES:
                for reader in ("pyiceberg", "phlo"):
                    known = self.checker.acknowledged
                    try:
                        rows = read_rows(lake, reader, table)
                    except ServiceError:
                        self.counts["reads without an answer"] += 1
                    except Exception as exc:  # noqa: BLE001 - any of them is a finding
                        self.checker.problems.append(f"{table}, read by {reader}: {exc!r}")
                    else:
                        self.checker.check(reader, table, rows, known)

    def finish(self) -> None:
        """Load every day once more, undisturbed, and compare with a run in date order."""
        dates = ["--start-date", ALL[0], "--end-date", ALL[-1]]
        if code := self.start("backfill", *TABLES, *dates).wait():
            self.checker.problems.append(f"the last backfill ended with exit code {code}")
        lake = build_lake(get_settings().model_copy(update={"project_dir": self.folder}))
        for table in TABLES:
            if sorted(read_rows(lake, "pyiceberg", table)) != expected(table):
                self.checker.problems.append(f"{table} is not that of a run in date order")


class CatalogServer:
    """A PostgreSQL server for the catalog, and the proxy that phlo knows it by."""

    def __init__(self, folder: Path) -> None:
        self._server = EmbeddedServer(folder, port=free_ports(1)[0])
        address = self._server.start("lake")
        assert address.password is not None
        self.proxy = LossyDatabaseProxy(address.host, address.port)
        user = f"{address.user}:{address.password.get_secret_value()}"
        place = f"127.0.0.1:{self.proxy.port}/lake?sslmode=disable&gssencmode=disable"
        self.uri = f"postgresql+psycopg://{user}@{place}"
        self._pid_file = folder / "data" / "postmaster.pid"

    def restart(self, seconds: float) -> None:
        """Stop the server without letting a session end, and start it after some seconds."""
        os.kill(int(self._pid_file.read_text().split()[0]), signal.SIGQUIT)
        while self._server.is_running():
            time.sleep(0.1)
        time.sleep(seconds)
        self._server.start("lake")

    def close(self) -> None:
        """Stop both."""
        self.proxy.close()
        self._server.stop()


def read_rows(lake, reader: str, table: str) -> list[tuple[str, int]]:  # noqa: ANN001
    """Read key and value of every row; of a table that is not there yet, none."""
    name = TableName("bronze", table)
    if not lake.store.exists(name):
        return []
    if reader == "phlo":
        rows = lake.engine.query(f'SELECT id, "value" FROM bronze.{table}').read_all()
    else:
        with explained_errors():
            rows = lake.store.catalog.load_table(("bronze", table)).scan().to_arrow()
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
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder, ExitStack() as stack:
        tasks: list[Callable[[], None]] = []
        attack = Attack(Path(folder), options.seed)
        if options.postgres:
            server = CatalogServer(Path(folder) / "postgres")
            stack.callback(server.close)
            os.environ["PHLO_ICEBERG_CATALOG_URI"] = server.uri
            tasks.append(lambda: attack.shake_catalog(server))
        if code := attack.start("materialize", "lasts", "--partition", ALL[0]).wait():
            print(f"The first load ended with exit code {code}.")
            return 1
        tasks += [attack.maintain, attack.read]
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
