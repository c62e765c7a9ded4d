"""The daily maintenance as Dagster runs it."""

from dagster import DagsterInstance, DefaultScheduleStatus
from phlo.values import Append
from phlo_testing.stores import DAY_1, events, publish_rows


def test_the_daily_job_joins_small_files_and_keeps_the_rows(phlo_project):
    store = phlo_project.lake.store
    for n in range(6):
        how = Append(DAY_1, on_rerun="append")
        publish_rows(store, events([(f"k{n}", n)]), how, extraction=n)
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
