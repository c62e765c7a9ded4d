"""Parts of Dagster that it does not publish, all that phlo-core uses of them.

Each stands here with what it does, why no public way will do, and since which version of Dagster
it is so; a test of its name says what it must do, so that an upgrade that breaks it is seen.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, nullcontext
from copy import copy
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import (
    DagsterEventType,
    ExecutorDefinition,
    RunRequest,
    ScheduleDefinition,
    SkipReason,
    TimeWindowPartitionsDefinition,
    executor,
    in_process_executor,
)
from dagster._core.definitions.partitions.partitioned_schedule import (
    UnresolvedPartitionedAssetScheduleDefinition,
)
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.errors import DagsterExecutionInterruptedError, raise_execution_interrupts
from dagster._core.execution.plan import execute_plan
from dagster._core.execution.plan.active import ActiveExecution
from dagster._core.execution.retries import RetryMode
from dagster._core.execution.step_dependency_config import StepDependencyConfig
from dagster._core.executor.in_process import InProcessExecutor
from dagster._core.instance.ref import InstanceRef
from dagster._core.scheduler.instigation import ScheduleInstigatorData
from dagster._core.storage.dagster_run import DagsterRunStatus
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
    SCHEDULE_NAME_TAG,
    SCHEDULED_EXECUTION_TIME_TAG,
)
from dagster._utils.schedules import reverse_cron_string_iterator
from dagster.components.definitions import LazyDefinitions
from dagster_shared.error import SerializableErrorInfo
from phlo.redaction import install_redaction, redact
from phlo.signal_watch import did_signal_come, heed_signals, insist_on_signals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from traceback import TracebackException

    from dagster import (
        AssetKey,
        DagsterEvent,
        DagsterInstance,
        DagsterRun,
        EventLogEntry,
        InitExecutorContext,
        JobDefinition,
        ScheduleEvaluationContext,
    )

# Dagster's tags of runs have no public names. Since 1.0.
PARTITION_TAG = PARTITION_NAME_TAG
RANGE_START_TAG = ASSET_PARTITION_RANGE_START_TAG
RANGE_END_TAG = ASSET_PARTITION_RANGE_END_TAG
SCHEDULE_TAG = SCHEDULE_NAME_TAG
TICK_TAG = SCHEDULED_EXECUTION_TIME_TAG

# What define_asset_job returns has no public name. Since 1.0.
AssetJob = UnresolvedAssetJobDefinition

# What build_schedule_from_partitioned_job returns for such a job has none either. Since 1.5.
PartitionedSchedule = UnresolvedPartitionedAssetScheduleDefinition

# What the decorator `dagster.definitions` makes of a function has no public name. Since 1.10.
FunctionOfDefinitions = LazyDefinitions

PARTIAL_FAILURE = "phlo/partial_failure"
"""Metadata of a ``Failure`` whose step has made the other outputs; see below."""


class EndedPartitionsSchedule(UnresolvedPartitionedAssetScheduleDefinition):
    """A schedule of a partitioned job whose ticks ask for the newest partition that has ended.

    The partitions of loads include the running day. Dagster's own tick asks for the last partition,
    so it would load the running day once, in the middle of it, and never the whole of it. Nothing
    public makes a schedule of a job whose partitions are not known yet. Since 1.5.
    """

    @classmethod
    def of(cls, schedule: PartitionedSchedule) -> EndedPartitionsSchedule:
        """Take what ``build_schedule_from_partitioned_job`` returned."""
        return cls(
            **{name: getattr(schedule, name) for name in PartitionedSchedule.__annotations__}
        )

    def resolve(self, resolved_job: JobDefinition) -> ScheduleDefinition:
        """Make the schedule of a job whose assets are known."""
        schedule = super().resolve(resolved_job)
        partitions = resolved_job.partitions_def
        if not isinstance(partitions, TimeWindowPartitionsDefinition):
            return schedule

        def ask_for_ended(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
            window = partitions.get_prev_partition_window(context.scheduled_execution_time)
            if window is None:
                return SkipReason("No partition has ended yet.")
            key = partitions.get_partition_key_for_timestamp(window.start.timestamp())
            return RunRequest(run_key=key, partition_key=key, tags=dict(self.tags or {}))

        return ScheduleDefinition(
            name=self.name,
            cron_schedule=schedule.cron_schedule,
            execution_timezone=schedule.execution_timezone,
            job=resolved_job,
            execution_fn=ask_for_ended,
            default_status=self.default_status,
            description=self.description,
            metadata=self.metadata,
            owners=self.owners,
        )


_FAILED = (DagsterEventType.STEP_FAILURE, DagsterEventType.STEP_UP_FOR_RETRY)


class CancellableExecutor(InProcessExecutor):
    """Run all steps in one process; a signal cancels the run, whatever retries its steps have.

    Dagster's own executor answers a signal to a step with a retry policy by trying the step
    again, and records a run that a signal ended as failed unless its page asked for it. Executors
    have no public base class. Since 1.0.
    """

    def execute(self, plan_context, execution_plan) -> Iterator[DagsterEvent]:  # noqa: ANN001 - Dagster's signature
        """Run the steps of a plan, and yield their events."""
        try:
            with insist_on_signals():
                for event in super().execute(plan_context, execution_plan):
                    yield event
                    if event.event_type in _FAILED and did_signal_come():
                        raise DagsterExecutionInterruptedError  # noqa: TRY301 - ends as a signal does
        except (KeyboardInterrupt, DagsterExecutionInterruptedError):
            heed_signals()
            _record_cancel(plan_context.instance, plan_context.run_id)
            raise


def _record_cancel(instance: DagsterInstance, run_id: str) -> None:
    """Mark a run as being canceled, so that Dagster records it as canceled when it ends."""
    run = instance.get_run_by_id(run_id)
    if run is not None and run.status is DagsterRunStatus.STARTED:
        instance.report_run_canceling(run, "A signal to the run's process canceled it.")


def cancellable_executor() -> ExecutorDefinition:
    """Build the executor of phlo's jobs, with the configuration of ``in_process_executor``.

    The executor's class has to be Dagster's, and its configuration is read by private classes.
    Since 1.0.
    """
    schema: Any = in_process_executor.config_schema

    @executor(name="in_process", config_schema=schema)
    def cancellable(context: InitExecutorContext) -> CancellableExecutor:
        config = context.executor_config
        let_signals_end_waits()
        let_partial_failures_pass()
        return CancellableExecutor(
            retries=RetryMode.from_config(config["retries"]),  # pyright: ignore[reportArgumentType]
            step_dependency_config=StepDependencyConfig.from_config(
                config.get("step_dependency_config")  # pyright: ignore[reportArgumentType]
            ),
        )

    return cancellable


def previous_tick(cron: str, moment: datetime) -> datetime:
    """Return the last tick of a schedule before a moment, in the moment's time zone.

    No other library answers as Dagster's daemon ticks where clocks change: an hour that comes
    twice has one tick. The iterator has no public name. Since 1.0.
    """
    zone = getattr(moment.tzinfo, "key", None) or "UTC"
    ticks = reverse_cron_string_iterator(moment.timestamp(), cron, zone)
    return next(tick for tick in ticks if tick.timestamp() < moment.timestamp())


def switched_on(instance: DagsterInstance, schedule: str) -> datetime | None:
    """Return when the daemon saw a schedule for the first time, or since it was switched on.

    What an instance keeps of a schedule has no public form. Since 1.0.
    """
    if instance.schedule_storage is None:  # an instance in memory
        return None
    data = [s.instigator_data for s in instance.all_instigator_state() if s.name == schedule]
    starts = [d.start_timestamp for d in data if isinstance(d, ScheduleInstigatorData)]
    moments = [datetime.fromtimestamp(start, UTC) for start in starts if start is not None]
    return min(moments, default=None)


def let_signals_end_waits() -> None:
    """Let a signal end the pause before a step is tried again, in this process.

    Dagster sleeps through it, for as long as the delay of the retry policy says, and offers no
    other way to wait. Since 1.0.
    """
    ActiveExecution.sleep_til_ready = _sleep_until_ready


def _sleep_until_ready(self: ActiveExecution) -> None:
    with raise_execution_interrupts():
        time.sleep(max(0.0, self.sleep_interval()))


@cache
def let_partial_failures_pass() -> None:
    """Run what needs only the outputs that a step made before it failed in part.

    A step fails in part if its ``Failure`` has the metadata :data:`PARTIAL_FAILURE`. The run fails
    all the same; steps below the outputs that are missing are skipped. Dagster's own setting
    ``require_upstream_step_success`` goes on below failed blocking checks too (Dagster 1.13).
    """
    handle_event = ActiveExecution.handle_event

    def handle(self: ActiveExecution, dagster_event: DagsterEvent) -> None:
        if dagster_event.is_step_failure and _is_partial(dagster_event):
            self.mark_failed = self.mark_success
            try:
                handle_event(self, dagster_event)
            finally:
                del self.mark_failed
        else:
            handle_event(self, dagster_event)

    ActiveExecution.handle_event = handle


def _is_partial(event: DagsterEvent) -> bool:
    data = event.step_failure_data.user_failure_data
    return data is not None and PARTIAL_FAILURE in data.metadata


def run_log(instance: DagsterInstance, run_id: str) -> Path | None:
    """Return the file of a run's log; ``None`` where a database holds the logs of all runs.

    Dagster deletes the rows of a run that is deleted and leaves the file; the storage of events,
    and the name of that file, are not public. Since 1.0.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        return None
    return Path(storage.path_for_shard(run_id))


def copy_snapshots(source: DagsterInstance, target: DagsterInstance, run: DagsterRun) -> None:
    """Copy the snapshots of the job and the plan to which a run refers; one that is there stays.

    An instance refuses a run of a job that it does not know. ``dagster debug`` exports and imports
    runs, as files and for this process's own instance alone. Since 1.0.
    """
    if run.job_snapshot_id:
        target.add_snapshot(source.get_job_snapshot(run.job_snapshot_id))
    if run.execution_plan_snapshot_id:
        target.add_snapshot(source.get_execution_plan_snapshot(run.execution_plan_snapshot_id))


def add_run(instance: DagsterInstance, run: DagsterRun, created_at: datetime) -> None:
    """Record a run as not started; its events, stored next, tell how it went.

    ``create_run_for_job`` makes runs of now. Since 1.0.
    """
    not_started = run.with_status(DagsterRunStatus.NOT_STARTED)
    instance.run_storage.add_historical_run(not_started, created_at)


def copy_events(
    source: DagsterInstance, target: DagsterInstance, run_id: str, entries: Iterable[EventLogEntry]
) -> None:
    """Let an instance have the log of another one's run, and count the events that are given.

    Where both keep a file for each run, the file is copied whole, and the index gets the events of
    assets and checks: to store them one by one takes as long as the run did. The storage of events
    is not public. Since 1.0.
    """
    old, new = run_log(source, run_id), run_log(target, run_id)
    if old is None or new is None:
        for entry in entries:
            target.handle_new_event(entry)
        return
    with closing(sqlite3.connect(old)) as before, closing(sqlite3.connect(new)) as after:
        before.backup(after)
    for entry in _store_in_index(target, entries):
        if entry.dagster_event is not None and entry.dagster_event.is_job_event:
            at = datetime.fromtimestamp(entry.timestamp, UTC)
            target.run_storage.handle_run_event(run_id, entry.dagster_event, at)


def _store_in_index(
    target: DagsterInstance, entries: Iterable[EventLogEntry]
) -> list[EventLogEntry]:
    """Store the events of assets and checks in one transaction, and return the others."""
    index: Any = copy(target.event_log_storage)
    others = []
    with index.index_connection() as connection:
        index.run_connection = index.index_connection = lambda *_: nullcontext(connection)
        for entry in entries:
            if asset_of(entry) is None:
                others.append(entry)
            else:
                SqlEventLogStorage.store_event(index, entry)
    return others


def asset_of(entry: EventLogEntry) -> AssetKey | None:
    """Return the asset of an event, also of one of its checks; ``None`` for other entries.

    The property ``DagsterEvent.asset_key`` knows no checks. Since 1.4.
    """
    event = entry.dagster_event
    if event is None:
        return None
    if event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
        return event.asset_check_planned_data.asset_key
    if event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION:
        return event.asset_check_evaluation_data.asset_key
    return event.asset_key


def instance_reference(home: Path, overrides: Mapping[str, object]) -> InstanceRef:
    """Read a folder's ``dagster.yaml``, with some of its settings replaced.

    ``DagsterInstance.from_config`` takes no settings beside the file's. Since 1.0.
    """
    return InstanceRef.from_dir(str(home), overrides=dict(overrides))


@cache
def redact_recorded_errors() -> None:
    """Let every error pass :func:`phlo.redaction.redact` before Dagster stores or prints it.

    Dagster makes a ``SerializableErrorInfo`` of each error of a chain, and of a ``Failure`` a
    ``UserFailureData`` besides; events, logs, pages and other processes see only those. Its own
    ``DAGSTER_REDACT_USER_CODE_ERRORS`` hides whole errors (Dagster 1.13).
    """
    install_redaction()
    as_error_info = SerializableErrorInfo.from_traceback.__func__  # pyright: ignore[reportFunctionMemberAccess]
    as_failure_data = execute_plan._user_failure_data_for_exc

    def from_traceback(cls: Any, trace: TracebackException) -> SerializableErrorInfo:
        info = as_error_info(cls, trace)
        return cls(
            message=redact(info.message),
            stack=[redact(frame) for frame in info.stack],
            cls_name=info.cls_name,
            cause=info.cause,
            context=info.context,
        )

    def user_failure_data_for_exc(error: BaseException | None) -> Any:
        data = as_failure_data(error)
        return data and data._replace(description=redact(data.description or "") or None)

    setattr(SerializableErrorInfo, "from_traceback", classmethod(from_traceback))  # noqa: B010
    execute_plan._user_failure_data_for_exc = user_failure_data_for_exc
