"""The step of a load: which partition it works on, and what it refuses."""

from datetime import UTC, datetime

import pytest
from dagster import DagsterInstance, build_schedule_context
from phlo.errors import UnknownCommitError
from phlo_iceberg.store import IcebergStore

RANGE = {
    "dagster/asset_partition_range_start": "2025-01-01",
    "dagster/asset_partition_range_end": "2025-01-03",
}


def refuse_to_be_asked(_partition_date):
    raise AssertionError("The source was asked.")


@pytest.mark.parametrize("strategy", ["replace", "merge", "append"])
@pytest.mark.parametrize("tags", [{}, RANGE], ids=["no partition", "a range"])
def test_a_run_that_names_no_single_partition_is_refused_before_the_source_is_asked(
    events, strategy, tags
):
    events.declare(merge_strategy=strategy, max_retries=3)
    assert events.load([events.row("a")], "2025-01-01").success
    assert events.load([events.row("b")], "2025-01-02").success
    before = events.table().metadata_location

    result = events.load(refuse_to_be_asked, None, tags=tags)

    assert not result.success
    failure = events.failure(result)
    assert failure.metadata["error"].value == "InvalidPartitionError"
    assert events.table().metadata_location == before
    if tags:
        assert "phlo backfill dlt_events --start-date 2025-01-01 --end-date 2025-01-03" in (
            failure.description
        )
    else:
        assert "build_schedule_from_partitioned_job" in failure.description


SCHEDULE = """
    from dagster import ScheduleDefinition, build_schedule_from_partitioned_job, define_asset_job

    nightly = define_asset_job("nightly", selection="*")
    whole = ScheduleDefinition(name="whole", job=nightly, cron_schedule="0 3 * * *")
    by_day = build_schedule_from_partitioned_job(
        define_asset_job("daily", selection="key:dlt_events"), name="by_day", hour_of_day=4
    )
"""


def run_tick(project, name, rows):
    """Make a tick of a schedule, and carry out the runs it asks for."""
    import importlib

    repository = project.definitions().get_repository_def()
    importlib.import_module("workflows.ingestion.api.events").source = rows
    tick_at = datetime(2025, 1, 3, 4, tzinfo=UTC)
    with DagsterInstance.ephemeral() as instance:
        schedule = repository.get_schedule_def(name)
        context = build_schedule_context(
            instance=instance, repository_def=repository, scheduled_execution_time=tick_at
        )
        job = repository.get_job(schedule.job_name)
        return [
            job.execute_in_process(
                instance=instance,
                partition_key=request.partition_key,
                tags=request.tags,
                raise_on_error=False,
            )
            for request in schedule.evaluate_tick(context).run_requests
        ]


def test_a_schedule_of_the_user_without_partitions_is_refused(events):
    events.declare(start_date="2025-01-01")
    events.project.write("workflows/schedules.py", SCHEDULE)

    (result,) = run_tick(events.project, "whole", refuse_to_be_asked)

    assert not result.success
    assert "has no partition" in events.failure(result).description


def test_an_asset_without_partitions_loads_in_a_run_that_has_one(events):
    events.declare(partitions=None)
    asked = []

    def source(partition_date):
        asked.append(partition_date)
        return [events.row("a")]

    assert events.load(source, None, tags={"dagster/partition": "2025-01-15"}).success
    assert asked == [None]
    assert [row["_phlo_partition_date"] for row in events.rows()] == [None]


def test_a_retry_finds_what_the_attempt_before_published_without_learning_of_it(
    events, monkeypatch
):
    """Rows that are added, and not merged, would stand there twice."""
    asked, publish = [], IcebergStore.publish

    def deliver(partition_date):
        asked.append(partition_date)
        return [events.row("a"), events.row("b")]

    def lose_the_answer(store, staged, **options):
        publish(store, staged, **options)
        raise UnknownCommitError("The catalog did not say.")

    events.declare(
        merge_strategy="append",
        merge_config={"on_rerun": "append"},
        max_retries=1,
        retry_delay_seconds=0,
    )
    attempts = iter([lose_the_answer, publish])
    monkeypatch.setattr(
        IcebergStore, "publish", lambda *given, **options: next(attempts)(*given, **options)
    )

    result = events.load(deliver)

    assert result.success
    assert asked == ["2025-01-15"]
    assert sorted(row["id"] for row in events.table().scan().to_arrow().to_pylist()) == ["a", "b"]
    (made,) = result.asset_materializations_for_node("dlt_events")
    assert (made.metadata["inserted"].value, made.metadata["extracted"].value) == (2, 2)
