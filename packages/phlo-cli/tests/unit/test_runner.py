"""`phlo.lake` runs assets from Python by the rules of the commands."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from phlo import lake
from phlo.errors import AssetNotFoundError, ConfigurationError, RunFailedError
from phlo_cli.branch_plans import find_plan
from phlo_cli.project_settings import require_project
from rich.console import Console

SOURCE = """
    import pandera.pandas as pa
    from phlo_dlt import phlo_ingestion

    class Events(pa.DataFrameModel):
        id: str = pa.Field(unique=True)
        value: float = pa.Field(ge=0)

    @phlo_ingestion(
        table_name="events", unique_key="id", validation_schema=Events, group="api",
        max_retries=0,
    )
    def events(partition_date: str):
        if partition_date == "2025-01-03":
            raise ZeroDivisionError("no <b>such</b> day")
        return [{"id": partition_date, "value": 1.0}]
"""


@pytest.fixture
def project(phlo_project):
    phlo_project.write("workflows/events.py", SOURCE)
    phlo_project.set(PHLO_START_DATE="2025-01-01")
    return phlo_project


def rows():
    found = lake.query("SELECT id, value FROM bronze.events ORDER BY id").to_arrow()
    return [(row["id"], row["value"]) for row in found.to_pylist()]


def test_a_run_is_told_as_text_as_a_table_and_as_html(project, capsys):
    run = lake.materialize("events", partition="2025-01-01")
    assert "✓ bronze.events  1 inserted" in capsys.readouterr().out
    assert (run.is_ok, rows()) == (True, [("2025-01-01", 1.0)])
    title, header, row = repr(run).splitlines()
    assert title.startswith(f"Run {run.run_id[:8]}: success in ")
    assert title.endswith(", partition 2025-01-01")
    assert header.split() == ["asset", "status", "rows", "seconds"]
    assert row.split()[:4] == ["bronze.events", "materialized", "1", "inserted"]
    console = Console(width=90, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(run)
    assert "│ bronze.events │ materialized │ 1 inserted │" in console.export_text()
    console.file.close()
    assert "<td>bronze.events</td><td>materialized</td><td>1 inserted</td>" in run._repr_html_()


def test_a_failed_run_raises_with_its_result_and_escapes_html(project):
    with pytest.raises(RunFailedError, match="ZeroDivisionError") as failed:
        lake.materialize("events", partition="2025-01-03", progress=False)
    run = failed.value.result
    assert run.assets[0].status == "failed"
    assert "no &lt;b&gt;such&lt;/b&gt; day" in run._repr_html_()
    looked_at = lake.materialize(
        "events", partition="2025-01-03", progress=False, raise_on_error=False
    )
    assert not looked_at.is_ok


def test_wrong_names_and_contradictions_are_those_of_the_command(project):
    with pytest.raises(AssetNotFoundError, match="events"):
        lake.materialize("evnts")
    for arguments in (
        {},
        {"start_date": "2025-01-01"},
        {"start_date": "2025-01-01", "end_date": "2025-01-02", "missing": True},
        {"partitions": ["2025-01-01"], "end_date": "2025-01-02"},
        {"resume": True},
    ):
        with pytest.raises(ConfigurationError, match="which partitions"):
            lake.backfill("events", **arguments)


def test_a_backfill_makes_what_it_can_and_resumes_once_the_file_is_mended(project):
    days = {"start_date": "2025-01-01", "end_date": "2025-01-04"}
    with pytest.raises(RunFailedError, match=r"3 of 4 partitions made") as failed:
        lake.backfill("events", **days, progress=False)
    ended = failed.value.result
    assert list(ended.failed) == ["2025-01-03"]
    assert "failed: ZeroDivisionError" in ended._repr_html_()
    file = project.root / "workflows" / "events.py"
    file.write_text(file.read_text().replace("2025-01-03", "1999-01-01"))
    resumed = lake.backfill(resume=True, progress=False)
    assert resumed.is_ok
    assert rows() == [(f"2025-01-0{day}", 1.0) for day in (1, 2, 3, 4)]


def test_a_plan_leaves_main_alone_and_can_be_applied(project):
    lake.materialize("events", partition="2025-01-01", progress=False)
    made = lake.plan("events", partition="2025-01-02", progress=False)
    assert "bronze.events" in made._repr_html_()
    assert repr(made).splitlines()[-1] == f"phlo apply {made.plan_id}"
    assert find_plan(require_project(), made.plan_id) == made
    assert rows() == [("2025-01-01", 1.0)]


def test_another_branch_is_read_and_written_for_one_call(project):
    from phlo_cli.lake_branches import open_branches

    lake.materialize("events", partition="2025-01-01", progress=False)
    open_branches().create_branch("dev", "main")
    lake.materialize("events", partition="2025-01-02", branch="dev", progress=False)
    assert len(rows()) == 1
    assert lake.table("bronze.events", branch="dev").to_arrow().num_rows == 2
    assert "PHLO_BRANCH" not in os.environ


SCRIPT = """
from phlo import lake

print(lake.backfill("events", partitions=["2025-01-01", "2025-01-02"], parallel=2))
"""


@pytest.mark.slow
def test_a_script_without_a_main_guard_runs_in_processes(project, tmp_path):
    done = run_script(tmp_path, SCRIPT)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 partitions made" in done.stdout
    assert rows() == [("2025-01-01", 1.0), ("2025-01-02", 1.0)]


CANCELED = """
import os, signal
from phlo import lake

try:
    lake.materialize("events", partition="2025-01-01")
except KeyboardInterrupt:
    print("stopped")
"""


def test_a_stopped_run_is_recorded_and_stops_the_script(project, tmp_path):
    file = project.root / "workflows" / "events.py"
    wait = f"__import__('os').kill(__import__('os').getpid(), {int(signal.SIGTERM)});"
    wait += "__import__('time').sleep(60)"
    file.write_text(file.read_text().replace("if partition_date", f"{wait}\n    if partition_date"))
    done = run_script(tmp_path, CANCELED)
    assert done.stdout.rstrip().endswith("stopped"), done.stderr
    status = subprocess.run(
        [sys.executable, "-m", "phlo_cli", "logs", "--json"], capture_output=True, text=True
    )
    assert "cancel" in status.stdout.lower()


def run_script(folder, text):
    script = folder / "script.py"
    script.write_text(textwrap.dedent(text))
    return subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=200, check=False
    )
