"""What a load costs on a table with a year of loads behind it.

``commit``: stage and publish of ten rows, so that data files weigh nothing. ``materialize``: the
whole command, beside the same load of a fresh table. ``parallel``: 32 days by eight processes,
beside one. ``audit``: a load of a million rows with and without a blocking suite of row rules.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

from benchmarks.measure import compare

HERE = "benchmarks.loads"
ROUNDS = 3
LOADS = 365
START = date(2025, 1, 1)

WORKFLOW = """
import pandera.pandas as pa
from phlo_dlt import phlo_ingestion


class EventSchema(pa.DataFrameModel):
    id: str
    value: float
    qty: int
    note: str


@phlo_ingestion(
    table_name="events",
    unique_key="id",
    validation_schema=EventSchema,
    group="api",
    start_date="2025-01-01",
)
def events(partition_date: str):
    return [
        {"id": f"{partition_date}-{n}", "value": n * 0.5, "qty": n, "note": "x" * 80}
        for n in range(ROWS)
    ]
"""
SUITE = """
from phlo_quality import AcceptedValuesCheck, NullCheck, PatternCheck, RangeCheck, phlo_quality


@phlo_quality(
    table="bronze.events",
    checks=[
        NullCheck(columns=["id", "note"]),
        NullCheck(columns=["value"]),
        RangeCheck(column="value", min_value=0),
        RangeCheck(column="qty", min_value=0),
        PatternCheck(column="id", pattern=r"[0-9-]+"),
        AcceptedValuesCheck(column="note", values=["x" * 80]),
    ],
)
def rules(): ...
"""


def day(number: int) -> str:
    return str(START + timedelta(days=number))


def write_project(folder: Path, *, rows: int, suite: bool = False) -> None:
    (folder / "workflows" / "ingestion").mkdir(parents=True)
    code = WORKFLOW.replace("ROWS", str(rows))
    (folder / "workflows" / "ingestion" / "events.py").write_text(code)
    if suite:
        (folder / "workflows" / "quality").mkdir()
        (folder / "workflows" / "quality" / "rules.py").write_text(SUITE)


def phlo(folder: str, *arguments: str) -> None:
    """The command, in this process, its output thrown away."""
    os.environ["PHLO_PROJECT_DIR"] = folder
    os.chdir(folder)
    import contextlib
    import io

    from phlo_cli.main import main

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            main(list(arguments))
        except SystemExit as end:
            if end.code:
                raise RuntimeError(printed.getvalue()) from end


def backfill(folder: str, first: int, last: int, processes: int) -> None:
    days = ("--start-date", day(first), "--end-date", day(last))
    phlo(folder, "backfill", "events", *days, "--parallel", str(processes))


def load(folder: str, copy: str, number: int):
    """One more day in a project that is laid out and imported already."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    if (Path(copy) / ".phlo").exists():
        phlo(copy, "doctor", "--fix")  # Iceberg's metadata holds absolute paths
    phlo(copy, "status")
    return lambda: phlo(copy, "materialize", "events", "--partition", day(number))


def commit(folder: str, number: int, kind: str):
    """Stage and publish ten rows of one day; an append looks no key up."""
    os.environ["PHLO_PROJECT_DIR"] = folder
    import pyarrow.dataset as ds
    from phlo.lake import open_lake
    from phlo.names import Partition, TableName
    from phlo.values import Append, Merge

    store, table = open_lake().store, TableName("bronze", "events")
    schema, partition = store.load(table).schema, Partition(START + timedelta(days=number))
    how = {
        "merge": Merge(("id",), partition),
        "confined merge": Merge(("id",), partition, key_scope="partition"),
        "append": Append(partition, on_rerun="append"),
    }[kind]

    def publish() -> None:
        rows = _rows_of(schema, number)
        store.publish([store.stage(table, ds.dataset(rows), how, schema=schema)])

    return publish


def _rows_of(schema, number: int):
    """Ten rows, different in every run."""
    import pyarrow as pa

    mark = time.time_ns()
    columns = {
        "id": [f"{day(number)}-{mark}-{n}" for n in range(10)],
        "value": [0.5] * 10,
        "qty": [1] * 10,
        "note": ["x" * 80] * 10,
        "_phlo_partition_date": [START + timedelta(days=number)] * 10,
    }
    given = [f for f in schema if f.name in columns]
    return pa.table({f.name: pa.array(columns[f.name], f.type) for f in given})


def maintain(folder: str) -> None:
    """What the daily job does, all loads taken to be older than five days."""
    os.environ["PHLO_ICEBERG_KEEP_SNAPSHOT_DAYS"] = "0"
    phlo(folder, "maintain")


def facts(folder: str) -> dict:
    """Size of the metadata file, manifests and snapshots of the table."""
    os.environ["PHLO_PROJECT_DIR"] = folder
    from phlo.lake import open_lake

    table = open_lake().store.catalog.load_table("bronze.events")
    size = len(table.io.new_input(table.metadata_location).open().read())
    manifests = len(table.current_snapshot().manifests(table.io))
    snapshots = len(table.metadata.snapshots)
    told = f"metadata.json {size / 1000:.0f} kB, {manifests} manifests, {snapshots} snapshots"
    return {"what": told, "goal": "under 100 kB, at most 20 manifests"}


def run() -> list[dict]:
    """One row per question."""
    with tempfile.TemporaryDirectory() as folder:
        old, fresh = Path(folder, "old"), Path(folder, "fresh")
        for project in (old, fresh):
            write_project(project, rows=1000)
        compare(1, year=(f"{HERE}:backfill", (str(old), 0, LOADS - 1, 1)))
        compare(1, first=(f"{HERE}:backfill", (str(fresh), 0, 0, 1)))
        told = [facts(str(old))]
        rows = [_materialize(old, fresh, folder), *_commits(old, fresh)]
        compare(1, daily=(f"{HERE}:maintain", (str(old),)))
        told.append(facts(str(old)))
    return [*rows, _parallel(), _audit(), *told]


def _materialize(old: Path, fresh: Path, folder: str) -> dict:
    found = compare(
        ROUNDS,
        old=(f"{HERE}:load", (str(old), f"{folder}/copy", LOADS)),
        fresh=(f"{HERE}:load", (str(fresh), f"{folder}/copy", LOADS)),
    )
    ratio = found["old"].cpu_seconds / found["fresh"].cpu_seconds
    return _row("materialize, 365 loads behind / fresh", found["old"], ratio, "at most 1.3")


def _commits(old: Path, fresh: Path) -> list[dict]:
    rows = []
    for kind in ("merge", "confined merge", "append"):
        found = compare(
            ROUNDS,
            old=(f"{HERE}:commit", (str(old), LOADS, kind)),
            fresh=(f"{HERE}:commit", (str(fresh), LOADS, kind)),
        )
        ratio = found["old"].cpu_seconds / found["fresh"].cpu_seconds
        rows.append(_row(f"commit of ten rows, {kind}", found["old"], ratio, "60 ms"))
    return rows


def _parallel() -> dict:
    walls = {}
    for processes in (8, 1):
        with tempfile.TemporaryDirectory() as folder:
            write_project(Path(folder), rows=1000)
            compare(1, first=(f"{HERE}:backfill", (folder, 0, 0, 1)))
            target = (f"{HERE}:backfill", (folder, 1, 32, processes))
            walls[processes] = compare(1, some=target)["some"]
    ratio = walls[8].wall_seconds / walls[1].wall_seconds
    return _row("32 days by 8 processes / by one, wall", walls[8], ratio, "")


def _audit() -> dict:
    with tempfile.TemporaryDirectory() as folder:
        plain, judged = Path(folder, "plain"), Path(folder, "judged")
        write_project(plain, rows=1_000_000)
        write_project(judged, rows=1_000_000, suite=True)
        found = compare(
            ROUNDS,
            judged=(f"{HERE}:load", (str(judged), f"{folder}/copy", 0)),
            plain=(f"{HERE}:load", (str(plain), f"{folder}/copy", 0)),
        )
    ratio = found["judged"].cpu_seconds / found["plain"].cpu_seconds
    return _row("a million rows with six row rules / without", found["judged"], ratio, "")


def _row(what: str, usage, ratio: float, goal: str) -> dict:
    return {
        "what": what,
        "CPU s": usage.cpu_seconds,
        "wall s": usage.wall_seconds,
        "MB": usage.peak_mb,
        "ratio": ratio,
        "goal": goal,
    }
