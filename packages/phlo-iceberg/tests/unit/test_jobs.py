"""The daily maintenance as Dagster runs it (R139)."""

from dagster import DagsterInstance, DefaultScheduleStatus
from phlo.values import Append
from phlo_testing.loads import BY_PARTITION_DATE, load_rows, with_metadata
from phlo_testing.stores import DAY_1, EVENTS, SCHEMA


def test_the_daily_job_joins_small_files_and_keeps_the_rows(phlo_project):
    store = phlo_project.lake.store
    for n in range(6):
        rows = load_rows(SCHEMA, [{"id": f"k{n}", "value": n}], DAY_1, n)
        how = Append(DAY_1, on_rerun="append")
        schema = with_metadata(SCHEMA)
        store.publish(
            [store.stage(EVENTS, rows, how, schema=schema, partition_by=BY_PARTITION_DATE)]
        )
    job = phlo_project.definitions().resolve_job_def("phlo_maintenance")
    with DagsterInstance.ephemeral() as instance:
        assert job.execute_in_process(instance=instance).success
    table = store.catalog.load_table("bronze.events")
    assert len(list(table.scan().plan_files())) == 1
    found = sorted((r["id"], r["value"]) for r in table.scan().to_arrow().to_pylist())
    assert found == [(f"k{n}", n) for n in range(6)]


def test_its_schedule_is_on_unless_the_setting_is_empty(phlo_project):
    (schedule,) = phlo_project.definitions().schedules
    assert schedule.default_status is DefaultScheduleStatus.RUNNING
    assert schedule.cron_schedule == "17 3 * * *"
    phlo_project.set(PHLO_ICEBERG_MAINTENANCE_CRON="")
    assert not phlo_project.definitions().schedules
