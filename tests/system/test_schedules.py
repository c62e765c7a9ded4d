"""Schedules under `phlo dev`, with Dagster's own daemon and the runs that it launches."""

import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from phlo_testing.processes import own_environment

WORKFLOW = """
import time
from datetime import datetime

import pandera.pandas as pa
from phlo_dlt import phlo_ingestion


class TickSchema(pa.DataFrameModel):
    id: str
    minute: str


@phlo_ingestion(
    table_name="ticks",
    unique_key="id",
    validation_schema=TickSchema,
    group="clock",
    cron="* * * * *",
)
def ticks(partition_date: str):
    now = datetime.now().isoformat(timespec="seconds")
    return [{"id": now, "minute": now[:16]}]


@phlo_ingestion(
    table_name="stuck",
    unique_key="id",
    validation_schema=TickSchema,
    group="clock",
    cron="* * * * *",
    max_runtime_seconds=5,
    max_retries=0,
)
def stuck(partition_date: str):
    yield {"id": "a", "minute": "never"}
    time.sleep(3600)
"""


@contextmanager
def dev(folder):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "phlo_cli", "dev", "--port", str(port)]
    with (folder / "dev.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=own_environment(), stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=90)


def answer(folder, *arguments):
    command = [sys.executable, "-m", "phlo_cli", *arguments, "--json"]
    done = subprocess.run(
        command, cwd=folder, env=own_environment(), capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def states(folder):
    return {row["table"]: row["state"] for row in answer(folder, "status")}


@pytest.mark.slow
@pytest.mark.integration
def test_a_cron_of_every_minute_fires_and_a_source_that_hangs_is_stopped(tmp_path):
    subprocess.run([sys.executable, "-m", "phlo_cli", "init", "."], cwd=tmp_path, check=True)
    (tmp_path / "workflows" / "ingestion" / "shop" / "clock.py").write_text(WORKFLOW)
    minutes = "SELECT count(DISTINCT minute) AS n FROM bronze.ticks"
    with dev(tmp_path):
        end = time.monotonic() + 360
        while time.monotonic() < end:
            time.sleep(5)
            found = states(tmp_path)
            is_there = found["bronze.ticks"] == "ok" and found["bronze.stuck"] == "failed"
            if is_there and answer(tmp_path, "query", minutes)[0]["n"] >= 2:
                break
        log = (tmp_path / "dev.log").read_text()
        assert is_there, (found, log[-4000:])
        assert answer(tmp_path, "query", minutes)[0]["n"] >= 2, log[-4000:]
    assert "bronze.stuck" not in {row["table"] for row in answer(tmp_path, "catalog", "tables")}
