"""A signal to `phlo` cancels what it does: loads, dbt, checks, publishing, backfill workers."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import psutil
import pytest
from phlo.locks import locked
from phlo_testing.processes import own_environment
from pyiceberg.catalog.sql import SqlCatalog

FLOWS = """
import time

import pandera.pandas as pa
from phlo_dlt import phlo_ingestion
from phlo_quality import CustomSQLCheck, phlo_quality


class Rows(pa.DataFrameModel):
    id: str


@phlo_ingestion(table_name="numbers", unique_key="id", validation_schema=Rows, group="g")
def numbers(partition_date: str):
    return [{"id": str(number)} for number in range(2000)]


@phlo_ingestion(table_name="hangs", unique_key="id", validation_schema=Rows, group="g")
def hangs(partition_date: str):
    yield {"id": "a"}
    print("STARTED", flush=True)
    time.sleep(120)


@phlo_ingestion(table_name="fails", unique_key="id", validation_schema=Rows, group="g")
def fails(partition_date: str):
    print("STARTED", flush=True)
    raise ConnectionError("The source is away.")


HEAVY = (
    "SELECT count(*) FROM {t} a, {t} b, {t} c, {t} d "
    "WHERE to_hex(md5(to_utf8(a.id || b.id || c.id))) = d.id"
)


@phlo_quality(
    table="bronze.numbers",
    checks=[CustomSQLCheck(HEAVY.format(t="bronze.numbers"), expected_result=0)],
    blocking=False,
)
def heavy(): ...
"""
MODEL = """
{{ config(pre_hook="COPY (SELECT 1) TO 'started.csv'") }}
SELECT count(*) AS n
FROM range(10000000) a(x), range(10000000) b(y)
WHERE md5(x::VARCHAR || y::VARCHAR) = ''
"""


def environment():
    return own_environment(PYTHONUNBUFFERED="1")


def start(folder, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "phlo_cli", *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=heed_signals,
    )


def heed_signals():
    """Undo what a test run in the background, or under nohup, hands down: ignored signals."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def rows_of(database, query):
    with closing(sqlite3.connect(database)) as connection:
        return set(connection.execute(query))


def published(project):
    catalog = project / ".phlo/catalog.db"
    if not rows_of(catalog, "SELECT 1 FROM sqlite_master WHERE name = 'iceberg_tables'"):
        return set()  # the signal came before anything was opened
    return rows_of(catalog, "SELECT table_name FROM iceberg_tables")


def wait_for(process, text):
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"{text!r} was never printed")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cancel")
    (folder / "workflows/transforms/dbt/models/gold").mkdir(parents=True)
    (folder / "workflows/flows.py").write_text(FLOWS)
    dbt = folder / "workflows/transforms/dbt"
    (dbt / "dbt_project.yml").write_text("name: shop\nversion: '1.0'\nconfig-version: 2\n")
    (dbt / "models/gold/endless.sql").write_text(MODEL)
    return folder


CASES = {
    "a load": (["materialize", "hangs"], "STARTED", signal.SIGINT),
    "a load that waits to be tried again": (
        ["materialize", "fails"],
        "trying again",
        signal.SIGTERM,
    ),
    "a check": (["materialize", "numbers"], "inserted", signal.SIGTERM),
    "dbt": (["materialize", "endless"], "1 asset", signal.SIGINT),
    "a closed terminal": (["materialize", "hangs"], "STARTED", signal.SIGHUP),
    "a backfill in processes": (
        ["backfill", "hangs", "--partitions", "2025-01-01,2025-01-02", "--parallel", "2"],
        "STARTED",
        signal.SIGINT,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_signal_ends_it_and_publishes_nothing(project, name):
    arguments, text, number = CASES[name]
    process = start(project, *arguments)
    wait_for(process, text)
    while name == "dbt" and process.poll() is None and not (project / "started.csv").exists():
        time.sleep(0.1)
    time.sleep(1)  # so that what is canceled waits inside a library
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    try:
        out, _ = process.communicate(timeout=200)
    finally:
        process.kill()
        process.communicate()

    assert process.returncode == 128 + number, out
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]
    assert "Traceback" not in out
    assert "what it needs failed" not in out
    assert "backfill" in arguments or "check" in name or "was stopped" in out, out
    for lock in (project / ".phlo/staging").rglob(".lock"):
        with locked(lock, timeout_seconds=0):  # raises while a process holds it
            pass
    tables = published(project)
    assert tables <= {("numbers",)}
    runs = rows_of(project / ".phlo/dagster/history/runs.db", "SELECT status FROM runs")
    assert runs == {("CANCELED",)}


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.2, 0.5, 0.8, 1.1, 1.4, 1.7, 2.0])
def test_a_signal_while_dbt_is_imported_or_parses_ends_it(project, seconds):
    process = start(project, "materialize", "endless")
    wait_for(process, "1 asset")
    time.sleep(seconds)  # whatever dbt does then: some of it swallows interrupts
    process.send_signal(signal.SIGINT)
    try:
        out, _ = process.communicate(timeout=200)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, out
    tables = published(project)
    assert ("endless",) not in tables
    runs = rows_of(project / ".phlo/dagster/history/runs.db", "SELECT status FROM runs")
    assert runs == {("CANCELED",)}


LATE = """
import os
import signal

import pandera.pandas as pa
from phlo_dlt import phlo_ingestion
from phlo_iceberg.store import IcebergStore

publish = IcebergStore.publish


def publish_under_fire(self, stages, **more):
    os.kill(os.getpid(), signal.SIGTERM)
    return publish(self, stages, **more)


IcebergStore.publish = publish_under_fire


class Rows(pa.DataFrameModel):
    id: str


@phlo_ingestion(table_name="late", unique_key="id", validation_schema=Rows, group="g")
def late(partition_date: str):
    return [{"id": str(number)} for number in range(3)]
"""


@pytest.fixture
def late_project(tmp_path):
    dbt = tmp_path / "workflows/transforms/dbt"
    (dbt / "models/gold").mkdir(parents=True)
    (tmp_path / "workflows/flows.py").write_text(LATE)
    (dbt / "dbt_project.yml").write_text("name: shop\nversion: '1.0'\nconfig-version: 2\n")
    (dbt / "models/gold/model.sql").write_text("SELECT CAST(x AS VARCHAR) AS id FROM range(3) t(x)")
    return tmp_path


@pytest.mark.parametrize(("asset", "table"), [("late", "bronze.late"), ("model", "gold.model")])
def test_a_signal_during_the_publish_waits_for_the_commit_and_says_so(late_project, asset, table):
    process = start(late_project, "materialize", asset)
    out, _ = process.communicate(timeout=200)
    assert process.returncode == 143, out
    with closing(SqlCatalog("lake", uri=f"sqlite:///{late_project / '.phlo/catalog.db'}")) as lake:
        rows = lake.load_table(table).scan(selected_fields=("id",)).to_arrow()
    assert sorted(rows["id"].to_pylist()) == ["0", "1", "2"]
    process = start(late_project, "logs", "--json")
    said, _ = process.communicate(timeout=200)
    [canceled] = [
        line["message"] for line in json.loads(said) if "Canceled while" in line["message"]
    ]
    assert table in canceled
    assert rows_of(late_project / ".phlo/dagster/history/runs.db", "SELECT status FROM runs") == {
        ("CANCELED",)
    }
