"""What a tick loads, on an instance with earlier loads and runs."""

from datetime import UTC, datetime

import pytest
from dagster import (
    AssetKey,
    AssetMaterialization,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    build_schedule_context,
)
from dagster._core.events import StepMaterializationData
from dagster._core.instance.utils import RUNLESS_JOB_NAME, RUNLESS_RUN_ID
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin


@pytest.fixture
def instance(tmp_path):
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def loaded(instance, key, at):
    data = StepMaterializationData(AssetMaterialization(AssetKey("dlt_events"), partition=key))
    event = DagsterEvent(
        DagsterEventType.ASSET_MATERIALIZATION.value, RUNLESS_JOB_NAME, event_specific_data=data
    )
    instance.report_dagster_event(event, run_id=RUNLESS_RUN_ID, timestamp=at.timestamp())


ORIGIN = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("lake"), "__repository__")


def asked(instance, key, at, status=DagsterRunStatus.SUCCESS):
    tags = {
        "dagster/schedule_name": "dlt_events_schedule",
        "dagster/partition": key,
        ".dagster/scheduled_execution_time": at.isoformat(),
    }
    name = "dlt_events_job"
    origin = ORIGIN.get_job_origin(name)
    instance.add_run(DagsterRun(name, tags=tags, status=status, remote_job_origin=origin))


def tick(events, instance, at):
    repository = events.project.definitions().get_repository_def()
    context = build_schedule_context(
        instance=instance, repository_def=repository, scheduled_execution_time=at
    )
    return repository.get_schedule_def("dlt_events_schedule").evaluate_tick(context)


def keys(evaluation):
    return [request.partition_key for request in evaluation.run_requests]


def day(number, hour=6):
    return datetime(2025, 1, number, hour, tzinfo=UTC)


def test_a_tick_loads_what_a_stopped_daemon_left_out_once(events, instance):
    events.declare(cron="0 6 * * *", start_date="2024-12-01")
    for number in (1, 2):
        asked(instance, f"2025-01-0{number}", day(number))
        loaded(instance, f"2025-01-0{number}", day(number))
    loaded(instance, "2025-01-01", day(2))

    requests = tick(events, instance, day(6)).run_requests

    assert [request.partition_key for request in requests] == [f"2025-01-0{n}" for n in range(2, 7)]
    reasons = [request.tags["phlo/reason"] for request in requests]
    assert reasons == ["it was not loaded since it ended"] * 4 + ["it holds the tick"]


def test_what_is_being_loaded_since_it_ended_is_not_asked_for_again(events, instance):
    events.declare(cron="0 * * * *", start_date="2025-01-01")
    asked(instance, "2025-01-01", day(1), DagsterRunStatus.FAILURE)
    asked(instance, "2025-01-02", day(2), DagsterRunStatus.STARTED)  # before it ended
    asked(instance, "2025-01-01", day(2), DagsterRunStatus.STARTED)

    # The daemon was killed before it launched this one.
    asked(instance, "2025-01-02", day(3), DagsterRunStatus.NOT_STARTED)

    assert keys(tick(events, instance, day(3))) == ["2025-01-02", "2025-01-03"]


def test_what_waits_in_the_queue_is_not_asked_for_again(events, instance):
    """A daemon that is slower than its ticks would wait for ever longer queues."""
    events.declare(cron="0 * * * *", start_date="2025-01-01")
    asked(instance, "2025-01-01", day(1, 23), DagsterRunStatus.QUEUED)  # begins after it ended
    asked(instance, "2025-01-02", day(2, 0), DagsterRunStatus.QUEUED)

    waiting = tick(events, instance, day(2, 0))
    assert "will load 2025-01-02" in waiting.skip_message
    assert keys(waiting) == []

    # An hour later it is asked for once more: the queue may stand still.
    assert keys(tick(events, instance, day(2, 7))) == ["2025-01-01"]
    asked(instance, "2025-01-01", day(2, 7), DagsterRunStatus.QUEUED)
    assert keys(tick(events, instance, day(2, 9))) == []


def test_a_tick_loads_a_bounded_number_and_leaves_the_older_ones_to_the_next(events, instance):
    events.project.set(PHLO_DLT_CATCH_UP_PARTITIONS="2")
    events.declare(cron="0 6 * * *", start_date="2024-12-01")
    asked(instance, "2025-01-01", day(1))

    assert keys(tick(events, instance, day(6))) == ["2025-01-04", "2025-01-05", "2025-01-06"]
    for number in (4, 5, 6):
        loaded(instance, f"2025-01-0{number}", day(6))
    assert keys(tick(events, instance, day(6, 12))) == ["2025-01-02", "2025-01-03", "2025-01-06"]


def test_days_before_the_schedule_began_are_not_its_own(events, instance):
    events.declare(cron="0 6 * * *", start_date="2020-01-01")
    loaded(instance, "2020-05-05", datetime(2020, 5, 6, tzinfo=UTC))
    asked(instance, "2025-01-02", day(2))
    loaded(instance, "2025-01-02", day(3))

    assert keys(tick(events, instance, day(3))) == ["2025-01-03"]


def test_a_tick_before_the_first_partition_is_skipped_and_says_so(events, instance):
    events.declare(cron="0 6 * * *", start_date="2030-01-01")

    evaluation = tick(events, instance, day(3))

    assert not evaluation.run_requests
    assert "no partition yet" in evaluation.skip_message
