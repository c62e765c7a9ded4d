"""What phlo-core needs of Dagster's private parts, one test by the name of each."""

import contextlib
import os
import signal
import threading
import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from dagster import (
    AssetCheckKey,
    AssetCheckResult,
    AssetCheckSpec,
    AssetKey,
    AssetSelection,
    AssetSpec,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DailyPartitionsDefinition,
    Definitions,
    Failure,
    MaterializeResult,
    MonthlyPartitionsDefinition,
    RetryPolicy,
    WeeklyPartitionsDefinition,
    asset,
    build_schedule_context,
    build_schedule_from_partitioned_job,
    define_asset_job,
    definitions,
    materialize,
    multi_asset,
    schedule,
)
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run_iterator
from phlo.orchestration import dagster_private


def run(job, instance):
    created = instance.create_run_for_job(job)
    for _ in execute_run_iterator(InMemoryJob(job), created, instance):
        pass
    return instance.get_run_by_id(created.run_id).status


def build_job(function):
    return Definitions(
        assets=[function], executor=dagster_private.cancellable_executor()
    ).resolve_implicit_global_asset_job_def()


@pytest.fixture
def instance():
    with DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_cancellable_executor_ends_a_step_that_would_be_tried_again(instance, number):
    attempts = []

    @asset(retry_policy=RetryPolicy(max_retries=3))
    def slow():
        attempts.append(1)
        os.kill(os.getpid(), number)
        time.sleep(20)

    assert run(build_job(slow), instance) is DagsterRunStatus.CANCELED
    assert attempts == [1]


def test_cancellable_executor_tries_a_step_that_fails_again(instance):
    attempts = []

    @asset(retry_policy=RetryPolicy(max_retries=1))
    def failing():
        attempts.append(1)
        raise ValueError(attempts)

    assert run(build_job(failing), instance) is DagsterRunStatus.FAILURE
    assert attempts == [1, 1]


def test_let_signals_end_waits_cancels_a_run_that_waits_to_try_again(instance):
    @asset(retry_policy=RetryPolicy(max_retries=3, delay=3600))
    def failing():
        threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
        raise ValueError

    assert run(build_job(failing), instance) is DagsterRunStatus.CANCELED


@pytest.mark.parametrize(
    ("metadata", "goes_on"), [({dagster_private.PARTIAL_FAILURE: True}, ["below_good"]), ({}, [])]
)
def test_let_partial_failures_pass_runs_what_needs_only_what_was_made(instance, metadata, goes_on):
    @multi_asset(specs=[AssetSpec("good"), AssetSpec("bad")])
    def both():
        yield MaterializeResult("good")
        raise Failure("bad failed", metadata=metadata, allow_retries=False)

    @asset(check_specs=[AssetCheckSpec("blocks", asset="checked", blocking=True)])
    def checked():
        return MaterializeResult(
            check_results=[AssetCheckResult(check_name="blocks", passed=False)]
        )

    below = [
        asset(name=f"below_{'_'.join(deps)}", deps=deps)(lambda: None)
        for deps in (["good"], ["bad"], ["good", "bad"], ["checked"])
    ]
    job = Definitions(
        assets=[both, checked, *below], executor=dagster_private.cancellable_executor()
    ).resolve_implicit_global_asset_job_def()
    created = instance.create_run_for_job(job)
    events = list(execute_run_iterator(InMemoryJob(job), created, instance))

    assert instance.get_run_by_id(created.run_id).status is DagsterRunStatus.FAILURE
    made = {e.asset_key.to_user_string() for e in events if e.is_step_materialization}
    assert made == {"good", "checked", *goes_on}


def test_asset_job_is_what_define_asset_job_returns():
    job = define_asset_job("job", AssetSelection.all())
    assert isinstance(job, dagster_private.AssetJob)


def test_tags_are_those_of_dagsters_runs(instance):
    assert dagster_private.PARTITION_TAG == "dagster/partition"
    assert dagster_private.RANGE_START_TAG == "dagster/asset_partition_range_start"
    assert dagster_private.RANGE_END_TAG == "dagster/asset_partition_range_end"


def test_schedule_tag_and_tick_tag_tell_which_tick_asked_for_a_run():
    @schedule(cron_schedule="0 6 * * *", target="*", name="nightly")
    def nightly(context): ...

    assert DagsterRun.tags_for_schedule(nightly) == {dagster_private.SCHEDULE_TAG: "nightly"}
    assert dagster_private.TICK_TAG == ".dagster/scheduled_execution_time"


def test_partitioned_schedule_is_what_builds_one_from_a_job_of_assets():
    built = build_schedule_from_partitioned_job(define_asset_job("job", AssetSelection.all()))
    assert isinstance(built, dagster_private.PartitionedSchedule)


def test_function_of_definitions_is_what_the_decorator_makes():
    @definitions
    def defs():
        return Definitions()

    assert isinstance(defs, dagster_private.FunctionOfDefinitions)
    assert not defs.has_context_arg
    assert isinstance(defs(), Definitions)


def lose_in_a_finalizer():
    class Finalized:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)  # the handler raises here, and Python drops it

    Finalized()
    time.sleep(60)


def lose_in_another_error():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    except BaseException:  # noqa: BLE001 - as some libraries do
        raise ValueError("a value") from None


def lose_and_end():
    with contextlib.suppress(BaseException):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)


@pytest.mark.parametrize("lose", [lose_in_a_finalizer, lose_in_another_error, lose_and_end])
def test_the_executor_cancels_a_run_whose_signal_a_step_lost(instance, lose):
    attempts = []

    @asset(retry_policy=RetryPolicy(max_retries=1))
    def lossy():
        attempts.append("lossy")
        lose()

    @asset(deps=[lossy])
    def below():
        attempts.append("below")
        time.sleep(60)
        attempts.append("to its end")

    job = Definitions(
        assets=[lossy, below], executor=dagster_private.cancellable_executor()
    ).resolve_implicit_global_asset_job_def()
    created = instance.create_run_for_job(job)
    list(execute_run_iterator(InMemoryJob(job), created, instance))
    assert instance.get_run_by_id(created.run_id).status is DagsterRunStatus.CANCELED
    assert attempts == (["lossy", "below"] if lose is lose_and_end else ["lossy"])


def test_instance_reference_replaces_settings_of_the_file(tmp_path):
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}")
    manager = {"module": "dagster._core.storage.noop_compute_log_manager"}
    overrides = {"compute_logs": {**manager, "class": "NoOpComputeLogManager"}}
    reference = dagster_private.instance_reference(tmp_path, overrides)
    with DagsterInstance.from_ref(reference) as opened:
        assert type(opened.compute_log_manager).__name__ == "NoOpComputeLogManager"
        assert not opened.telemetry_enabled


def test_run_log_is_the_file_of_a_run_which_dagster_leaves_when_it_deletes_the_run(tmp_path):
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        job = build_job(asset(name="b")(lambda: None))
        run_id = instance.create_run_for_job(job).run_id
        instance.report_engine_event("Said something.", run_id=run_id, job_name=job.name)
        log = dagster_private.run_log(instance, run_id)
        assert log.is_file()
        instance.delete_run(run_id)
        assert log.is_file()
    with DagsterInstance.ephemeral() as in_memory:
        assert dagster_private.run_log(in_memory, run_id) is None


@pytest.mark.parametrize(
    ("zone", "cron", "tick", "before"),
    [
        ("America/New_York", "30 1 * * *", "2025-11-02T01:30-05:00", "2025-11-01T01:30-04:00"),
        ("Europe/Berlin", "0 2 * * *", "2025-10-26T02:00+01:00", "2025-10-25T02:00+02:00"),
        ("UTC", "0 6 * * *", "2025-01-02T06:00+00:00", "2025-01-01T06:00+00:00"),
    ],
)
def test_previous_tick_counts_an_hour_that_comes_twice_once(zone, cron, tick, before):
    moment = datetime.fromisoformat(tick).astimezone(ZoneInfo(zone))
    expected = datetime.fromisoformat(before)
    assert dagster_private.previous_tick(cron, moment) == expected


def test_switched_on_is_none_for_a_schedule_that_no_daemon_saw(instance):
    assert dagster_private.switched_on(instance, "nightly") is None


@pytest.mark.parametrize(
    ("partitions", "at", "key"),
    [
        (DailyPartitionsDefinition("2025-01-01", end_offset=1), "2025-01-03 03:00", "2025-01-02"),
        (DailyPartitionsDefinition("2025-01-01", end_offset=1), "2025-01-03 00:00", "2025-01-02"),
        (DailyPartitionsDefinition("2025-01-01"), "2025-01-03 03:00", "2025-01-02"),
        (WeeklyPartitionsDefinition("2025-01-05", end_offset=1), "2025-01-20", "2025-01-12"),
        (MonthlyPartitionsDefinition("2025-01-01", end_offset=1), "2025-03-15", "2025-02-01"),
        (DailyPartitionsDefinition("2025-01-01", end_offset=1), "2025-01-01 03:00", None),
    ],
)
def test_ended_partitions_schedule_asks_for_the_newest_that_ended(instance, partitions, at, key):
    @asset(partitions_def=partitions)
    def made(): ...

    job = define_asset_job("job", [made])
    schedule = dagster_private.EndedPartitionsSchedule.of(build_schedule_from_partitioned_job(job))
    repository = Definitions([made], schedules=[schedule]).get_repository_def()
    moment = datetime.fromisoformat(at).replace(tzinfo=ZoneInfo("UTC"))
    context = build_schedule_context(
        instance, repository_def=repository, scheduled_execution_time=moment
    )
    tick = repository.get_schedule_def("job_schedule").evaluate_tick(context)
    assert [request.partition_key for request in tick.run_requests or []] == [key] * bool(key)


@pytest.mark.parametrize("has_files", [True, False])
def test_copy_snapshots_add_run_and_copy_events_give_another_instance_the_run(tmp_path, has_files):
    @asset(check_specs=[AssetCheckSpec("small", asset="made")])
    def made():
        yield MaterializeResult(check_results=[AssetCheckResult(passed=True)])

    def opened(name):
        if not has_files:
            return DagsterInstance.ephemeral()
        (tmp_path / name).mkdir()
        return DagsterInstance.local_temp(str(tmp_path / name))

    with opened("source") as source, opened("target") as target:
        done = source.get_run_by_id(materialize([made], instance=source).run_id)
        entries = source.all_logs(done.run_id)
        dagster_private.copy_snapshots(source, target, done)
        dagster_private.add_run(target, done, datetime(2025, 1, 15, tzinfo=UTC))
        dagster_private.copy_events(source, target, done.run_id, entries)

        assert target.all_logs(done.run_id) == entries
        record = target.get_run_record_by_id(done.run_id)
        assert record.dagster_run.is_success
        assert record.create_timestamp.date().isoformat() == "2025-01-15"
        (fetched,) = target.fetch_materializations(AssetKey("made"), limit=5).records
        assert fetched.run_id == done.run_id
        assert dagster_private.asset_of(fetched.event_log_entry) == AssetKey("made")
        key = AssetCheckKey(AssetKey("made"), "small")
        (checked,) = target.event_log_storage.get_asset_check_execution_history(key, limit=5)
        assert (checked.run_id, checked.status.value) == (done.run_id, "SUCCEEDED")
