"""What people do with Dagster works with phlo's assets: the guide's page, carried out."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterInstance

ROOT = Path(__file__).parents[2]
DAY = "2025-01-01"


@pytest.fixture
def project(phlo_project):
    """Write the blocks of the page that name a file."""
    page = (ROOT / "docs/guide/dagster.md").read_text()
    for text in page.split("```python\n")[1:]:
        block = text.split("```")[0]
        path = block.removeprefix("# ").splitlines()[0]
        phlo_project.write(path, block)
    return phlo_project


@pytest.fixture
def instance(tmp_path):
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def make(project, instance, *names, **more):
    """Materialize assets in this process, as one run."""
    selection = dg.AssetSelection.assets(*names)
    definitions = project.definitions()
    job = dg.define_asset_job("chosen", selection)
    chosen = dg.Definitions.merge(definitions, dg.Definitions(jobs=[job]))
    return chosen.resolve_job_def("chosen").execute_in_process(instance=instance, **more)


def metadata(result, name):
    (event,) = [
        e for e in result.get_asset_materialization_events() if e.asset_key.path[-1] == name
    ]
    return {k: v.value for k, v in event.materialization.metadata.items()}


def ids(project, table):
    rows = project.lake.engine.query(f"SELECT id FROM bronze.{table} ORDER BY id")
    return [row["id"] for row in rows.read_all().to_pylist()]


def test_partitioned_assets_read_the_partition_that_was_loaded(project, instance):
    make(project, instance, "dlt_orders", partition_key="2025-01-02")
    made = make(project, instance, "dlt_orders", "revenue", partition_key=DAY)
    assert metadata(made, "revenue") == {"revenue": 4.5}
    assert ids(project, "orders") == [f"2025-01-0{d}-{n}" for d in (1, 2) for n in range(3)]


def test_multi_assets_and_graph_assets_follow_a_load(project, instance):
    make(project, instance, "dlt_orders", partition_key=DAY)
    made = make(project, instance, "lowest", "highest", "summary")
    assert metadata(made, "lowest") == {"amount": 0.0}
    assert metadata(made, "highest") == {"amount": 3.0}
    assert made.output_for_node("summary.as_text") == "3 orders"


def test_loads_that_a_loop_declares_are_assets(project, instance):
    make(project, instance, "dlt_visits_north", "dlt_visits_south", partition_key=DAY)
    assert [ids(project, f"visits_{r}") for r in ("north", "south")] == [
        [f"north-{DAY}"],
        [f"south-{DAY}"],
    ]


def test_a_schedule_of_a_partitioned_job_and_a_sensor_ask_for_partitions(project, instance):
    repository = project.definitions().get_repository_def()
    at = dg.build_schedule_context(
        instance, repository_def=repository, scheduled_execution_time=moment("2025-01-03T03:00")
    )
    tick = repository.get_schedule_def("nightly_schedule").evaluate_tick(at)
    assert [request.partition_key for request in tick.run_requests] == ["2025-01-02"]
    sensor = repository.get_sensor_def("when_a_file_comes")
    with dg.build_sensor_context(instance, repository_def=repository) as context:
        requests = sensor.evaluate_tick(context).run_requests
    assert [request.partition_key for request in requests] == ["2025-01-02"]


def test_hooks_of_a_job_run_after_a_load(project, instance):
    job = project.definitions().resolve_job_def("nightly")
    run = job.execute_in_process(instance=instance, partition_key=DAY)
    assert "dlt_orders is done" in [entry.user_message for entry in instance.all_logs(run.run_id)]


def test_an_asset_with_a_condition_is_asked_for_after_a_load(project, instance):
    definitions = project.definitions()
    wanted = dg.AssetSelection.assets("fresh_copy")
    first = dg.evaluate_automation_conditions(definitions, instance, asset_selection=wanted)
    make(project, instance, "dlt_orders", partition_key=DAY)
    second = dg.evaluate_automation_conditions(
        definitions, instance, asset_selection=wanted, cursor=first.cursor
    )
    assert (first.total_requested, second.total_requested) == (0, 1)


FAILS_ONCE = """
import dagster as dg
from pathlib import Path

DAYS = dg.DailyPartitionsDefinition(start_date="2025-01-01", end_offset=1)

@dg.asset(deps=["dlt_orders"], partitions_def=DAYS)
def fragile():
    if not Path("healed").exists():
        raise ValueError("not yet")

again = dg.define_asset_job("again", ["dlt_orders", "fragile"])
"""


def dagster(project, *arguments):
    environment = os.environ | {"DAGSTER_HOME": str(project.root / "home")}
    (project.root / "home").mkdir(exist_ok=True)
    command = [sys.executable, "-m", "dagster", *arguments]
    ended = subprocess.run(
        command, cwd=project.root, env=environment, check=False, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def test_a_run_is_executed_again_from_its_failure(project, tmp_path, monkeypatch):
    project.write("workflows/own/fragile.py", FAILS_ONCE)
    monkeypatch.chdir(project.root)
    (tmp_path / "instance").mkdir()
    with DagsterInstance.local_temp(str(tmp_path / "instance")) as instance:
        job = dg.reconstructable(again_job)
        tags = {"dagster/partition": DAY}
        failed = dg.execute_job(job, instance, tags=tags)
        Path("healed").touch()
        options = dg.ReexecutionOptions.from_failure(failed.run_id, instance)
        healed = dg.execute_job(job, instance, tags=tags, reexecution_options=options)
    assert (failed.success, healed.success) == (False, True)
    steps = {event.step_key for event in healed.all_events if event.is_step_success}
    assert steps == {"fragile"}


def again_job():
    from phlo.config import get_settings
    from phlo.orchestration.assembly import build_definitions
    from phlo.project import load_project

    return build_definitions(load_project(get_settings())).resolve_job_def("again")


WORKSPACE = """
load_from:
  - python_module: {module_name: phlo.definitions, location_name: lake}
  - python_file: {relative_path: other.py, location_name: other}
"""


@pytest.mark.slow
def test_each_step_may_have_a_process_of_its_own(project):
    job = ("-m", "phlo.definitions", "-j", "in_processes")
    tags = f'{{"dagster/partition": "{DAY}"}}'
    assert "RUN_SUCCESS" in dagster(project, "job", "execute", *job, "--tags", tags)
    assert ids(project, "orders") == [f"{DAY}-{n}" for n in range(3)]


def test_other_code_locations_stand_beside(project):
    (project.root / "other.py").write_text("import dagster as dg\n\n@dg.asset\ndef other(): ...\n")
    (project.root / "workspace.yaml").write_text(WORKSPACE)
    validated = dagster(project, "definitions", "validate", "-w", "workspace.yaml")
    assert "lake" in validated
    assert "other" in validated


def moment(text):
    from datetime import UTC, datetime

    return datetime.fromisoformat(text).replace(tzinfo=UTC)
