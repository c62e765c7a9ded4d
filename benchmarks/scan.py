"""A scan of a table after months of merges of spread keys, beside the same rows written once.

Every merge changes keys of all days that were there, as late corrections do, and the daily
maintenance follows each. Days: ``PHLO_BENCH_DAYS=120`` (the default), 365 where
there is half an hour.
"""

from __future__ import annotations

import os
import tempfile
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
from phlo.names import Partition
from phlo.values import Append, Merge
from phlo_iceberg.read.engine import DuckDBEngine
from phlo_iceberg.upkeep.maintenance import maintain_table
from phlo_iceberg.upkeep.policy import Policy

from benchmarks.data import changed, day_of, day_rows
from benchmarks.measure import compare
from benchmarks.merge import TABLE, open_store, publish

HERE = "benchmarks.scan"
ROUNDS = 5
ROWS = 2_000
SPREAD = 0.01
"""Share of the rows of every earlier day that a day changes."""


def merge_all(folder: str, days: int) -> None:
    """Load every day: its own rows, and later versions of some rows of the days before."""
    store = open_store(folder)
    policy = Policy(keep_snapshots=5, keep_age=timedelta(0))
    keys: list[pa.Table] = []
    for day in range(days):
        rows = day_rows(day, ROWS)
        late = [_late(earlier, day) for earlier in keys]
        how = Merge(("id",), Partition(day_of(day)))
        publish(store, ds.dataset(pa.concat_tables([rows, *late])), how)
        maintain_table(store.catalog, TABLE, policy, dry_run=False)
        keys.append(rows)


def _late(rows: pa.Table, day: int) -> pa.Table:
    """One in a hundred rows of an earlier day, other ones for each day, as of that day."""
    return changed(rows.slice(day % round(1 / SPREAD)), SPREAD, day)


def write_once(folder: str, merged: str) -> None:
    """Write the rows of the merged table into a table of its own, a file per day."""
    rows = open_store(merged).catalog.load_table(("bronze", "orders")).scan().to_arrow()
    store = open_store(folder)
    publish(store, ds.dataset(rows.select(day_rows(0, 1).schema.names)), Append(None))


def scan(folder: str):
    """Read all rows and columns, as an export does."""
    os.environ["PHLO_PROJECT_DIR"] = folder
    engine = DuckDBEngine(open_store(folder))
    query = "SELECT count(*), sum(amount), max(note), max(id), max(ts) FROM bronze.orders"
    return lambda: engine.query(query).read_all()


def files(folder: str) -> str:
    """Tell the files that a scan opens."""
    tasks = open_store(folder).state(TABLE).all_tasks
    return f"{len(tasks)} files, {sum(len(t.delete_files) for t in tasks)} with deletes"


def run() -> list[dict]:
    """One row."""
    days = int(os.environ.get("PHLO_BENCH_DAYS", "120"))
    with tempfile.TemporaryDirectory() as folder:
        merged, once = str(Path(folder, "merged")), str(Path(folder, "once"))
        Path(merged).mkdir()
        Path(once).mkdir()
        compare(1, merged=(f"{HERE}:merge_all", (merged, days)))
        compare(1, once=(f"{HERE}:write_once", (once, merged)))
        found = compare(ROUNDS, merged=(f"{HERE}:scan", (merged,)), once=(f"{HERE}:scan", (once,)))
        told = files(merged), files(once)
    return [
        {
            "what": f"scan after {days} spread merges ({told[0]}) / written once ({told[1]})",
            "CPU s": found["merged"].cpu_seconds,
            "wall s": found["merged"].wall_seconds,
            "MB": found["merged"].peak_mb,
            "ratio": found["merged"].cpu_seconds / found["once"].cpu_seconds,
            "goal": "at most 1.3",
        }
    ]
