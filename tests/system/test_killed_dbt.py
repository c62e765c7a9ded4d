"""A dbt run that is killed leaves old tables or new ones, and the next run ends as a clean one.

By every door: `phlo materialize`, `phlo dbt build` and `dbt build` at a prompt.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from phlo.locks import locked
from phlo_testing.crash import kill_points
from phlo_testing.processes import DBT_PRELOAD, in_processes, own_environment
from pyiceberg.catalog.sql import SqlCatalog

FILES = {
    "dbt_project.yml": "name: shop\nversion: '1.0'\nseeds: {+schema: bronze}\n"
    "snapshots: {+schema: snaps}\n",
    "models/silver/days.sql": "{{ config(materialized='incremental', unique_key='day') }}"
    "select day, n from {{ ref('src') }}",
    "models/silver/kept.sql": "{{ config(materialized='incremental', unique_key='day', "
    "incremental_strategy='merge', merge_update_columns=['n'], post_hook=\"update {{ this }} "
    "set n = n + 1 where day = 'b'\") }} select day, n from {{ ref('src') }}",
    "models/gold/totals.sql": "select sum(n) as n from {{ ref('days') }}",
    "models/schema.yml": "models: [{name: days, columns: [{name: day, data_tests: [unique]}]}]",
    "snapshots/history.sql": "{% snapshot history %}{{ config(unique_key='day', strategy='check', "
    "check_cols=['n']) }}select day, n from {{ ref('src') }}{% endsnapshot %}",
}
BEFORE, AFTER = "day,n\na,1\nb,2\n", "day,n\nb,3\nc,4\n"
COLUMNS = {
    "bronze.src": ("day", "n"),
    "silver.days": ("day", "n"),
    "silver.kept": ("day", "n"),
    "gold.totals": ("n",),
    "snaps.history": ("day", "n", "dbt_valid_to"),
}
OLD = {
    "bronze.src": [("a", 1), ("b", 2)],
    "silver.days": [("a", 1), ("b", 2)],
    "silver.kept": [("a", 1), ("b", 3)],
    "gold.totals": [(3,)],
    "snaps.history": [("a", 1, True), ("b", 2, True)],
}
NEW = {
    "bronze.src": [("b", 3), ("c", 4)],
    "silver.days": [("a", 1), ("b", 3), ("c", 4)],
    "silver.kept": [("a", 1), ("b", 4), ("c", 4)],
    "gold.totals": [(8,)],
    "snaps.history": [("a", 1, True), ("b", 2, False), ("b", 3, True), ("c", 4, True)],
}
SEED = os.environ.get("PHLO_KILL_SEED", "1")
POINTS = int(os.environ.get("PHLO_KILL_POINTS", "3"))
"""How many points a door is killed at in the slow suite; 0: all."""
MOMENTS = int(os.environ.get("PHLO_KILL_MOMENTS", "1"))
"""How many random moments each signal is sent at by each door in the slow suite."""
DOORS = {
    "phlo materialize": [sys.executable, "-m", "phlo_cli", "materialize", "tag:dbt"],
    "phlo dbt": [sys.executable, "-m", "phlo_cli", "dbt", "build"],
    "dbt": [str(Path(sys.executable).with_name("dbt")), "build"],
}


class Killed:
    """A project of which one run landed, laid out again before every kill."""

    def __init__(self, root: Path) -> None:
        self.root, self.copy = root, root.with_name("copy")
        self.dbt_dir = root / "workflows/transforms/dbt"
        for name, text in FILES.items():
            (self.dbt_dir / name).parent.mkdir(parents=True, exist_ok=True)
            (self.dbt_dir / name).write_text(text)
        (root / "pyproject.toml").write_text('[project]\nname = "shop"\n')
        self.write_source(BEFORE)
        in_processes(run_in_process, [(str(root), "dbt init")], preload=DBT_PRELOAD)
        in_processes(run_in_process, [(str(root), "dbt")], preload=DBT_PRELOAD)
        assert self.tables() == OLD
        self.snapshots_before = self.snapshot_counts()
        self.write_source(AFTER)
        shutil.copytree(root, self.copy)

    def write_source(self, text: str) -> None:
        (self.dbt_dir / "seeds").mkdir(exist_ok=True)
        (self.dbt_dir / "seeds/src.csv").write_text(text)

    def lay_out(self) -> None:
        """Put the project back as the first run left it."""
        shutil.rmtree(self.root)
        shutil.copytree(self.copy, self.root)

    def start(self, door: str) -> subprocess.Popen:
        return subprocess.Popen(
            DOORS[door],
            cwd=self.dbt_dir,
            env=environment(),
            stdout=subprocess.DEVNULL,
            preexec_fn=heed_signals,
        )

    @contextlib.contextmanager
    def catalog(self):
        with contextlib.closing(
            SqlCatalog("lake", uri=f"sqlite:///{self.root / '.phlo/catalog.db'}")
        ) as catalog:
            yield catalog

    def tables(self) -> dict[str, list[tuple]]:
        """The rows of every table; of a moment only whether it is null."""
        with self.catalog() as catalog:
            return {
                name: sorted(
                    tuple(
                        row[column] is None if column == "dbt_valid_to" else row[column]
                        for column in columns
                    )
                    for row in catalog.load_table(name).scan().to_arrow().to_pylist()
                )
                for name, columns in COLUMNS.items()
            }

    def snapshot_counts(self) -> dict[str, int]:
        with self.catalog() as catalog:
            return {name: len(catalog.load_table(name).snapshots()) for name in COLUMNS}

    def judge_next_run(self, run_again) -> None:
        """Hold what a killed run left to the rules, and the next run to a clean one."""
        left = self.tables()
        assert left in (OLD, NEW)
        run_again()
        assert self.tables() == NEW
        # A run that had published before it died is not published twice.
        once = {name: count + 1 for name, count in self.snapshots_before.items()}
        assert self.snapshot_counts() == once
        assert list((self.root / ".phlo/dbt/runs").iterdir()) == []
        for lock in (self.root / ".phlo").rglob("*lock"):
            if lock.is_file():
                with locked(lock, timeout_seconds=0):  # raises while a process holds it
                    pass


def environment() -> dict[str, str]:
    return own_environment(DBT_SEND_ANONYMOUS_USAGE_STATS="false")


def heed_signals() -> None:
    """Undo what a test run in the background, or under nohup, hands down: ignored signals."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def run_in_process(root: str, door: str) -> None:
    """Run a door's command in this process, which a point of it may kill."""
    os.chdir(Path(root) / "workflows/transforms/dbt")
    os.environ |= {"PHLO_PROJECT_DIR": root, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    with contextlib.redirect_stdout(sys.stderr):
        if door == "dbt init":
            from phlo_dbt.command import run_command

            assert run_command(["init"]) == 0
            return
        if door == "dbt":
            from dbt.cli.main import dbtRunner

            result = dbtRunner().invoke(["--log-level", "none", "build"])
            assert result.success, result.exception
            return
        from phlo_cli.main import main

        try:
            main(DOORS[door][3:])  # as the command line does, in this process
        except SystemExit as ended:
            assert not ended.code, ended.code  # noqa: PT017 - the process of a kill, not a test


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Killed:
    root = tmp_path_factory.mktemp("killed") / "project"
    root.mkdir()
    return Killed(root)


_CHANGES = ("sql INSERT INTO iceberg", "sql UPDATE iceberg")


def is_phlos(name: str, before: str) -> bool:
    """Whether a point is one of phlo's own: not of Dagster's database or dbt's own files."""
    if name in ("commit", "after commit"):
        return before.startswith(_CHANGES)
    own = ("/warehouse/", "/dbt/runs/", "/locks/", ".lock", "manifest")
    return name.startswith(_CHANGES) or any(part in name for part in own)


def kill_at_points(killed: Killed, door: str, sample: int | None) -> None:
    """Kill a door's command at some of its points; each time, the next run makes up for it."""
    arguments = (str(killed.root), door)
    points = kill_points(
        run_in_process,
        arguments,
        preload=DBT_PRELOAD,
        prepare=killed.lay_out,
        is_wanted=is_phlos,
        sample=sample,
        seed=f"{SEED} {door}",
    )
    for point in points:
        print(door, point)
        killed.judge_next_run(
            lambda: in_processes(run_in_process, [arguments], preload=DBT_PRELOAD)
        )


@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS)
def test_a_run_killed_at_many_points_of_it_is_made_up_by_the_next(killed, door):
    kill_at_points(killed, door, sample=POINTS or None)


@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS)
def test_a_process_that_is_stopped_at_random_moments_is_made_up_by_the_next(killed, door):
    """Real processes; the moments are shares of what a run without a signal takes."""
    moments = random.Random(f"{SEED} {door}")
    killed.lay_out()
    began = time.monotonic()
    assert killed.start(door).wait() == 0
    seconds = time.monotonic() - began
    assert killed.tables() == NEW
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL) * MOMENTS:
        killed.lay_out()
        process = killed.start(door)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moments.uniform(0.1, 1.0) * seconds)
        process.send_signal(number)
        stopped = time.monotonic()
        code = process.wait(120)
        print(door, number.name, f"took {time.monotonic() - stopped:.1f} s, exit code {code}")
        killed.judge_next_run(lambda: killed.start(door).wait())
