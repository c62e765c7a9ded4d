"""Incremental sources: every row once, whatever happens to their loads."""

import json
import os
import random
import shutil
import sys
from pathlib import Path

import pytest
from phlo_testing.crash import kill_points
from phlo_testing.processes import in_processes
from pyiceberg.catalog import load_catalog

PRELOAD = [
    "phlo.orchestration.assembly",
    "phlo_dlt.asset",
    "phlo_iceberg.store",
    "phlo_iceberg.read.engine",
]
WORKFLOW = """
import json
from pathlib import Path

import dlt
import pandera.pandas as pa
from phlo_dlt import phlo_ingestion


class EventSchema(pa.DataFrameModel):
    id: str
    at: int
    value: int = pa.Field(ge=0)


@dlt.resource(name="events")
def rows(at=dlt.sources.incremental("at")):
    given = json.loads((Path(__file__).parents[2] / "upstream.json").read_text())
    yield [row for row in given if at.last_value is None or row["at"] >= at.last_value]


@phlo_ingestion(
    table_name="events",
    unique_key="id",
    validation_schema=EventSchema,
    group="api",
    partitions=None,
    merge_strategy="append",
    merge_config={"on_rerun": "append"},
    invalid_rows="quarantine",
    max_retries=0,
)
def api_events():
    return rows()
"""


def load(root: str, *partitions: str) -> None:
    """Materialize the events of a project, as a process of its own does."""
    os.environ["PHLO_PROJECT_DIR"] = root
    sys.path.insert(0, root)
    from dagster import DagsterInstance
    from phlo.config import get_settings
    from phlo.orchestration.assembly import build_definitions
    from phlo.project import load_project

    job = build_definitions(load_project(get_settings())).resolve_implicit_global_asset_job_def()
    with DagsterInstance.ephemeral() as instance:
        for partition in partitions or [None]:
            job.execute_in_process(instance=instance, partition_key=partition)


def load_apart(root: Path) -> None:
    in_processes(load, [(str(root),)], preload=PRELOAD)


def upstream(root: Path, *rows: tuple) -> None:
    """Rows ``(id, at, value)`` that the source has by now."""
    dicts = [dict(zip(("id", "at", "value"), row, strict=True)) for row in rows]
    (root / "upstream.json").write_text(json.dumps(dicts))


def stored(root: Path, table: str = "bronze.events", *, column: str = "id") -> list:
    catalog = load_catalog(
        "lake",
        type="sql",
        uri=f"sqlite:///{root}/.phlo/catalog.db",
        warehouse=f"file://{root}/.phlo/warehouse",
    )
    try:
        if not catalog.table_exists(table):
            return []
        rows = catalog.load_table(table).scan().to_arrow().column(column).to_pylist()
    finally:
        catalog.engine.dispose()
    return sorted(rows)


OLD = [("a", 1, 1), ("b", 2, 2)]
NEW = [*OLD, ("same moment", 2, 3), ("c", 3, 4), ("bad", 4, -1), ("d", 4, 5)]
LAST = [*NEW, ("e", 5, 6)]


DAILY = WORKFLOW.replace("partitions=None", 'start_date="2025-01-01"')
CURSOR = DAILY.replace("max_retries=0", "max_retries=20, retry_delay_seconds=0")
WINDOW = DAILY.replace("""    merge_config={"on_rerun": "append"},\n""", "").replace(
    """api_events():
    return rows()""",
    """api_events(partition_date: str):
    day = int(partition_date[-2:])
    return rows(at=dlt.sources.incremental("at", initial_value=day, end_value=day + 1))""",
)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "project"
    (root / "workflows" / "ingestion").mkdir(parents=True)
    (root / "workflows" / "ingestion" / "events.py").write_text(WORKFLOW)
    return root


def is_phlos(name: str, before: str) -> bool:
    """Whether a point is one of phlo's own: not of Dagster's database or dlt's working files."""
    if name in ("commit", "after commit"):
        return before.startswith(_CHANGES)
    own = ("/warehouse/", "/locks/", "extraction.json", ".lock", "load.parquet", "shutil.rmtree")
    return name.startswith(_CHANGES) or any(part in name for part in own)


_CHANGES = ("sql INSERT INTO iceberg", "sql UPDATE iceberg")


@pytest.mark.slow
@pytest.mark.integration
def test_no_row_of_an_incremental_source_is_lost_or_doubled(root, tmp_path):
    upstream(root, *OLD)
    load_apart(root)
    assert stored(root) == ["a", "b"]
    upstream(root, *NEW)
    start = tmp_path / "start"
    shutil.copytree(root, start)

    def prepare():
        shutil.rmtree(root)
        shutil.copytree(start, root)

    points = 0
    for point in kill_points(
        load, (str(root),), preload=PRELOAD, prepare=prepare, is_wanted=is_phlos
    ):
        points += 1
        assert stored(root) in (["a", "b"], ["a", "b", "c", "d", "same moment"]), point
        load_apart(root)
        assert stored(root) == ["a", "b", "c", "d", "same moment"], point
        assert stored(root, "quarantine.bronze__events", column="key") == ['{"id":"bad"}'], point
        upstream(root, *LAST)
        load_apart(root)
        assert stored(root) == ["a", "b", "c", "d", "e", "same moment"], point
    assert points > 20


@pytest.mark.integration
@pytest.mark.parametrize(
    ("workflow", "seed"),
    [
        pytest.param(CURSOR, 1, id="cursor-1", marks=pytest.mark.slow),
        pytest.param(CURSOR, 2, id="cursor-2", marks=pytest.mark.slow),
        pytest.param(WINDOW, 1, id="window-1", marks=pytest.mark.slow),
        pytest.param(WINDOW, 2, id="window-2", marks=pytest.mark.slow),
    ],
)
def test_a_shuffled_parallel_backfill_loads_every_row_once(root, workflow, seed):
    """Whether each partition reads its own window, or all go on from one cursor."""
    (root / "workflows" / "ingestion" / "events.py").write_text(workflow)
    rows = [(f"{day}-{n}", day, n) for day in range(1, 9) for n in range(3)]
    upstream(root, *rows)
    days = [f"2025-01-0{day}" for day in range(1, 9)]
    random.Random(seed).shuffle(days)
    groups = [(str(root), *days[n::3]) for n in range(3)]

    in_processes(load, groups, preload=PRELOAD)
    in_processes(load, [(str(root), *reversed(days))], preload=PRELOAD)

    assert stored(root) == sorted(name for name, *_ in rows)
