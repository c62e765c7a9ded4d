"""Soak `phlo dev` for minutes: schedules of every minute, while its processes are attacked.

The project begins with days that nobody loaded, and the zone of its days is one whose midnight
comes in the middle of the soak. All processes are stopped for a while (SIGSTOP), or one of them is;
`phlo dev` gets SIGTERM, SIGHUP and SIGINT, or is killed, alone or with everything that it started.
After each stop, and at the end, the process table, the files and Dagster's records say whether

- a process, a lock or a run that goes on was left behind
- every day was loaded whole, after it had ended, and none of them twice without need

A day that has not ended delivers half of its rows, so that the tables tell when they were loaded.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zoneinfo
from collections import Counter
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psutil
from dagster import DagsterRun, DagsterRunStatus, RunsFilter
from phlo.config import get_settings
from phlo.lake import build_lake
from phlo.locks import locked
from phlo.orchestration.instance import open_instance
from phlo_testing.ports import free_ports
from phlo_testing.processes import own_environment

TABLES = {"merges": "merge", "replaces": "replace"}
ROWS = 20
CATCH_UP = 2
SECONDS_TO_END = 45
SECONDS_OF_PATIENCE = 240
GOING_ON = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
ENDED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

WORKFLOW = """
import random
import time
from datetime import UTC, datetime, timedelta

import pandera.pandas as pa
from phlo_dlt import phlo_ingestion


class Rows(pa.DataFrameModel):
    id: str
    value: int


def has_ended(day):
    now = datetime.now(UTC) + timedelta(minutes={offset})
    return now.date().isoformat() > day


def deliver(day):
    count = {rows} if has_ended(day) else {rows} // 2
    for number in range(count):
        yield {{"id": f"{{day}}-{{number}}", "value": number}}
    time.sleep(random.uniform(0, 3))
    if random.random() < 0.1:
        raise ConnectionError("The source is away.")


OPTIONS = dict(
    unique_key="id",
    validation_schema=Rows,
    group="soak",
    cron="* * * * *",
    start_date="{first}",
    retry_delay_seconds=1,
)
"""
ASSET = """

@phlo_ingestion(table_name={name!r}, merge_strategy={strategy!r}, **OPTIONS)
def {name}(partition_date: str):
    yield from deliver(partition_date)
"""


def heed_signals() -> None:
    """Undo what a script under nohup, or in the background, hands down: ignored signals."""
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)


def zone_file(offset: timedelta) -> bytes:
    """Return a time zone with one offset for ever, as RFC 8536 writes it."""
    counts = struct.pack(">6l", 0, 0, 0, 0, 1, 5)
    part = b"TZif2" + bytes(15) + counts
    part += struct.pack(">lbb", int(offset.total_seconds()), 0, 0) + b"SOAK\0"
    return part * 2 + b"\n\n"


def offset_with_midnight_at(moment: datetime) -> timedelta:
    """Return the offset from UTC of a zone whose day ends at a moment, to the minute."""
    offset = timedelta(minutes=-(moment.hour * 60 + moment.minute))
    return offset if offset > timedelta(hours=-12) else offset + timedelta(days=1)


class Soak:
    """One project, its `phlo dev`, and what was found wrong."""

    def __init__(self, folder: Path, seed: int, minutes: float) -> None:
        self.folder, self.chance = folder, random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self.offset = offset_with_midnight_at(datetime.now(UTC) + timedelta(minutes=minutes / 2))
        self.first = self.today() - timedelta(days=max(3, int(minutes)))
        self.settings = get_settings().model_copy(update={"project_dir": folder})
        self.server: subprocess.Popen[bytes] | None = None
        self._write_project()

    def today(self) -> date:
        """Return the day that it is in the project's zone."""
        return (datetime.now(UTC) + self.offset).date()

    def days(self) -> list[str]:
        """Return the days from the first to the one that is going on."""
        count = (self.today() - self.first).days + 1
        return [(self.first + timedelta(days=n)).isoformat() for n in range(count)]

    def end_of(self, day: str) -> datetime:
        """Return the moment at which a day ends."""
        end = date.fromisoformat(day) + timedelta(days=1)
        return datetime(end.year, end.month, end.day, tzinfo=UTC) - self.offset

    def _write_project(self) -> None:
        (self.folder / "zones").mkdir()
        (self.folder / "zones/Soak").write_bytes(zone_file(self.offset))
        minutes = int(self.offset.total_seconds() // 60)
        text = WORKFLOW.format(offset=minutes, rows=ROWS, first=self.first)
        text += "".join(ASSET.format(name=n, strategy=s) for n, s in TABLES.items())
        (self.folder / "workflows").mkdir()
        (self.folder / "workflows/soak.py").write_text(text)
        (self.folder / ".env").write_text(
            f"PHLO_TIMEZONE=Soak\nPHLO_DLT_CATCH_UP_PARTITIONS={CATCH_UP}\n"
        )
        (self.folder / ".env").chmod(0o600)
        self._record_first_ticks()

    def _record_first_ticks(self) -> None:
        """Record that the schedules asked for the first day, and that nothing came of it."""
        with open_instance(self.settings) as instance:
            for name in TABLES:
                tags = {
                    "dagster/schedule_name": f"dlt_{name}_schedule",
                    "dagster/partition": self.first.isoformat(),
                }
                status = DagsterRunStatus.FAILURE
                instance.add_run(DagsterRun(f"dlt_{name}_job", tags=tags, status=status))

    def environment(self) -> dict[str, str]:
        """Return the environment of the project's processes, by which they are found too."""
        zones = os.pathsep.join([str(self.folder / "zones"), *zoneinfo.TZPATH])
        return own_environment(PYTHONTZPATH=zones, PHLO_SOAK=str(self.folder))

    def processes(self) -> list[psutil.Process]:
        """Return the processes of the project that live."""
        return [process for process in psutil.process_iter() if self._belongs(process)]

    def _belongs(self, process: psutil.Process) -> bool:
        try:
            is_dead = process.status() == psutil.STATUS_ZOMBIE
            return not is_dead and process.environ().get("PHLO_SOAK") == str(self.folder)
        except psutil.Error:
            return False

    def serve(self) -> None:
        """Start `phlo dev`, unless it lives."""
        if self.server is not None and self.server.poll() is None:
            return
        if self.server is not None:
            self.counts["ended by itself"] += self.server.returncode == 1
            self.check_nothing_is_left("it ended")
        command = [sys.executable, "-m", "phlo_cli", "dev", "--port", str(free_ports(1)[0])]
        with (self.folder / "dev.log").open("a") as log:
            self.server = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=heed_signals,
            )
        self.counts["started"] += 1

    def attack(self) -> None:
        """Let `phlo dev` work for a while, then do something to it."""
        self.serve()
        time.sleep(self.chance.uniform(5, 60))
        whole = [self.stop, self.stop, self.pause, self.kill, self.kill_all]
        single = [self.pause_one, self.kill_one, self.kill_one]
        self.chance.choice(whole + single)()

    def stop(self, number: int | None = None) -> None:
        """Send `phlo dev` a signal that ends it, and wait a while before it is started again."""
        number = number or self.chance.choice(ENDING)
        name = signal.Signals(number).name
        self.counts[name] += 1
        if self.server is None or self.server.poll() is not None:
            return
        self.server.send_signal(number)
        try:
            code = self.server.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self.problems.append(f"{name} did not end phlo dev in {SECONDS_TO_END} s")
            return
        if code:
            self.problems.append(f"{name} ended phlo dev with exit code {code}")
        self.check_nothing_is_left(name)
        self._wait()

    def kill(self) -> None:
        """Kill `phlo dev` alone."""
        self.counts["killed"] += 1
        if self.server is not None:
            self.server.kill()
            self.server.wait()
        self.check_nothing_is_left("a kill")
        self._wait()

    def kill_all(self) -> None:
        """Kill everything at once, as a power cut does."""
        self.counts["power cut"] += 1
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()
        if self.server is not None:
            self.server.wait()
        self._wait()

    def kill_one(self) -> None:
        """Kill one of the processes, as a machine short of memory does; `phlo dev` recovers."""
        self.counts["one killed"] += 1
        if others := [p for p in self.processes() if self.server and p.pid != self.server.pid]:
            with suppress(psutil.Error):
                self.chance.choice(others).kill()

    def pause(self) -> None:
        """Stop all processes for a while, as a laptop does that is closed."""
        self.counts["paused"] += 1
        self._pause(self.processes(), self.chance.uniform(2, 70))

    def pause_one(self) -> None:
        """Stop one process for a while."""
        self.counts["one paused"] += 1
        if processes := self.processes():
            self._pause([self.chance.choice(processes)], self.chance.uniform(1, 40))

    def _pause(self, processes: list[psutil.Process], seconds: float) -> None:
        for act in (psutil.Process.suspend, psutil.Process.resume):
            for process in processes:
                with suppress(psutil.Error):
                    act(process)
            time.sleep(seconds if act is psutil.Process.suspend else 0)

    def _wait(self) -> None:
        time.sleep(self.chance.choice([0, 2, 20, 70]) * self.chance.random())

    def check_nothing_is_left(self, after: str) -> None:
        """Look for processes and locks after `phlo dev` has ended; runs may not go on."""
        end = time.monotonic() + SECONDS_TO_END
        while (left := self.processes()) and time.monotonic() < end:
            time.sleep(0.5)
        for process in left:
            with suppress(psutil.Error):
                self.problems.append(f"left after {after}: {' '.join(process.cmdline())[:200]}")
                process.kill()
        for lock in (self.folder / ".phlo").rglob("*lock"):
            # A killed process loses its environment a little before its locks.
            with suppress(BlockingIOError), locked(lock, timeout_seconds=10):
                continue
            self.problems.append(f"held after {after}: {lock.relative_to(self.folder)}")

    def finish(self) -> None:
        """Let `phlo dev` catch up undisturbed, stop it, and judge what is there."""
        self.serve()
        end, before = time.monotonic() + SECONDS_OF_PATIENCE, 0
        while self.missing() and time.monotonic() < end:
            time.sleep(20)
            self.serve()
            if (ended := self.count_ended_runs()) > before:
                end, before = time.monotonic() + SECONDS_OF_PATIENCE, ended
        self.stop(signal.SIGTERM)
        self.check_tables()
        self.check_runs()
        if said := self.missing():
            self.problems.append(f"phlo status --missing says {said}")

    def count_ended_runs(self) -> int:
        """Return how many runs have ended, by which a slow machine is told from one that waits."""
        with open_instance(self.settings) as instance:
            return instance.get_runs_count(RunsFilter(statuses=ENDED))

    def missing(self) -> str:
        """Return what `phlo status --missing` lists; the empty text where nothing is."""
        command = [sys.executable, "-m", "phlo_cli", "status", "--missing", "--json"]
        done = subprocess.run(
            [*command, "--since", self.first.isoformat()],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        listed = done.stdout.strip()
        return "" if listed == "[]" else listed or done.stderr

    def check_tables(self) -> None:
        """Compare the tables with what the days delivered after they had ended."""
        today = self.today().isoformat()
        for table in TABLES:
            rows = Counter(read_rows(self.settings, table))
            for day in self.days():
                of_day = {row: n for row, n in rows.items() if row[0].startswith(day)}
                whole = {(f"{day}-{n}", n): 1 for n in range(ROWS)}
                if of_day != whole and day != today:
                    self.problems.append(f"{table}, {day}: {len(of_day)} of {ROWS} rows")

    def check_runs(self) -> None:
        """Look for runs that go on, and days that were loaded again without need."""
        with open_instance(self.settings) as instance:
            left = instance.get_runs(RunsFilter(statuses=GOING_ON))
            done = instance.get_run_records(RunsFilter(statuses=[DagsterRunStatus.SUCCESS]))
        self.problems += [f"run {run.run_id} is {run.status.value} for ever" for run in left]
        self.counts["loads"] = len(done)
        times = Counter(
            (record.dagster_run.job_name, record.dagster_run.tags["dagster/partition"])
            for record in done
            if record.start_time
            >= self.end_of(record.dagster_run.tags["dagster/partition"]).timestamp()
        )
        self.problems += [f"{key} was loaded {n} times" for key, n in times.items() if n > 1]


def read_rows(settings, table: str) -> list[tuple[str, int]]:  # noqa: ANN001
    """Read key and value of every row by pyiceberg."""
    catalog = build_lake(settings).store.catalog  # pyright: ignore[reportAttributeAccessIssue]
    if ("bronze", table) not in catalog.list_tables("bronze"):
        return []
    rows = catalog.load_table(("bronze", table)).scan(selected_fields=("id", "value")).to_arrow()
    return [(row["id"], row["value"]) for row in rows.to_pylist()]


def main() -> int:
    """Soak for some minutes; 0 where all was right."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        soak = Soak(Path(folder), options.seed, options.minutes)
        end = time.monotonic() + options.minutes * 60
        while time.monotonic() < end:
            soak.attack()
        soak.finish()
        log = (soak.folder / "dev.log").read_text()
    print(", ".join(f"{n} {name}" for name, n in sorted(soak.counts.items())))
    if soak.problems:
        print("".join(log.splitlines(keepends=True)[-30:]), *soak.problems[:40], sep="\n")
        return 1
    print("Everything was right.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
