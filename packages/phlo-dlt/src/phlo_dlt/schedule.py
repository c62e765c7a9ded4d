"""Schedules from ``cron``: which partitions a tick loads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from zoneinfo import ZoneInfo

from dagster import (
    AssetsDefinition,
    DagsterInvariantViolationError,
    DefaultScheduleStatus,
    RunRequest,
    RunsFilter,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    define_asset_job,
)
from phlo.orchestration.dagster_private import (
    PARTITION_TAG,
    SCHEDULE_TAG,
    previous_tick,
    switched_on,
)
from phlo.orchestration.missing import being_made, last_made, missing_partitions

from phlo_dlt.settings import get_dlt_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from dagster import DagsterInstance, TimeWindowPartitionsDefinition
    from phlo.config import Settings

    from phlo_dlt.spec import IngestionSpec

REASON_TAG = "phlo/reason"
"""Tag of a run that a schedule asked for: why this partition."""

_MISSING = "it was not loaded since it ended"


@dataclass(frozen=True)
class TickPlan:
    """What a tick loads.

    Attributes:
        reasons: Why each partition is loaded, by its key, oldest first; the key is ``None`` for
            an asset without partitions.
        later: Partitions that are missing too, and left to the next ticks, oldest first.
    """

    reasons: dict[str | None, str]
    later: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """What the tick loads, in words."""
        lines = [f"{key}: {reason}" for key, reason in self.reasons.items() if key is not None]
        if self.later:
            lines.append(
                f"{len(self.later)} more are missing ({self.later[0]} to {self.later[-1]}); the "
                "next ticks load them (PHLO_DLT_CATCH_UP_PARTITIONS)"
            )
        return "; ".join(lines)


def build_schedule(
    spec: IngestionSpec, asset: AssetsDefinition, settings: Settings
) -> ScheduleDefinition | None:
    """Build the schedule of an ingestion with ``cron``, on as soon as the daemon runs.

    A tick loads the partition that holds it, and every partition that ended and was last loaded
    before its end: Dagster makes only the newest of the ticks that a stopped daemon missed.
    """
    if spec.cron is None:
        return None
    cron = spec.cron

    def requests(context: ScheduleEvaluationContext) -> Iterator[RunRequest | SkipReason]:
        moment = context.scheduled_execution_time.astimezone(ZoneInfo(settings.timezone))
        plan = _plan(context, spec, asset, cron, moment)
        if isinstance(plan, SkipReason):
            yield plan
            return
        context.log.info("Loads %s. %s", spec.table, plan.message)
        for key, reason in plan.reasons.items():
            yield RunRequest(
                run_key=f"{moment.isoformat()}/{key}",
                partition_key=key,
                tags={REASON_TAG: reason} if key is not None else {},
            )

    return ScheduleDefinition(
        name=_schedule_name(spec),
        job=define_asset_job(_job_name(spec), selection=[asset.key]),
        cron_schedule=cron,
        execution_timezone=settings.timezone,
        default_status=DefaultScheduleStatus.RUNNING,
        execution_fn=requests,
        description=f"Loads {spec.table} ({spec.defined_at}).",
    )


def _job_name(spec: IngestionSpec) -> str:
    return f"{spec.asset_name}_job"


def _schedule_name(spec: IngestionSpec) -> str:
    return f"{spec.asset_name}_schedule"


def _plan(
    context: ScheduleEvaluationContext,
    spec: IngestionSpec,
    asset: AssetsDefinition,
    cron: str,
    moment: datetime,
) -> TickPlan | SkipReason:
    partitions = cast("TimeWindowPartitionsDefinition | None", asset.partitions_def)
    if partitions is None:
        return TickPlan({None: ""})
    if not partitions.get_partition_keys(current_time=moment):
        return SkipReason(f"{spec.table} has no partition yet: the first begins later.")
    instance = _instance_of(context)
    begins_at = _begins_at(instance, spec, partitions) if instance is not None else None
    if instance is None or begins_at is None:
        return _fresh_plan(partitions, cron, moment)
    made = last_made(instance, asset.key)
    pending = being_made(instance, asset.key, _job_name(spec), moment)
    missing = [
        one.key
        for one in missing_partitions(partitions, made, moment, since=begins_at)
        if one.key not in pending.asked_at or pending.asked_at[one.key] < one.ended_at
    ]
    limit = get_dlt_settings().catch_up_partitions
    reasons: dict[str | None, str] = dict.fromkeys(missing[-limit:], _MISSING)
    current = _current_key(partitions, moment)
    if current not in pending.queued:
        reasons[current] = "it holds the tick"
    if not reasons:
        return SkipReason(f"A run that waits in the queue will load {current} of {spec.table}.")
    return TickPlan(reasons, tuple(missing[:-limit]))


def _fresh_plan(
    partitions: TimeWindowPartitionsDefinition, cron: str, moment: datetime
) -> TickPlan:
    """Plan a tick of a schedule of which nothing is known."""
    *before, current = keys_of_tick(partitions, cron, moment)
    reasons: dict[str | None, str] = dict.fromkeys(before, "this is the first tick after its end")
    return TickPlan(reasons | {current: "it holds the tick"})


def keys_of_tick(
    partitions: TimeWindowPartitionsDefinition | None, cron: str, moment: datetime
) -> list[str | None]:
    """List the partitions that a tick loads where nothing is known of earlier loads.

    Args:
        partitions: The asset's; ``None`` for an unpartitioned one, which has one load without key.
        cron: The schedule.
        moment: The tick, in the schedule's time zone.

    Returns:
        The key of the partition that holds the tick; before it, at the first tick in a partition,
        that of the partition before, if there is one.
    """
    if partitions is None:
        return [None]
    current = _current_key(partitions, moment)
    window = partitions.time_window_for_partition_key(current)
    before = partitions.get_prev_partition_window(window.start)
    is_first = previous_tick(cron, moment) < window.start
    if before is None or not is_first:
        return [current]
    return [partitions.get_partition_key_for_timestamp(before.start.timestamp()), current]


def _current_key(partitions: TimeWindowPartitionsDefinition, moment: datetime) -> str:
    """Return the partition that holds a moment; the last one, where they exist once they ended."""
    keys = partitions.get_partition_keys(current_time=moment)
    key = partitions.get_partition_key_for_timestamp(moment.timestamp())
    return key if key in keys else keys[-1]


def _begins_at(
    instance: DagsterInstance, spec: IngestionSpec, partitions: TimeWindowPartitionsDefinition
) -> datetime | None:
    """Return when the schedule began to be responsible for partitions, if it did before.

    That is when the daemon saw it first, or the start of the first partition it asked for.
    """
    began = [_first_asked(instance, spec, partitions), switched_on(instance, _schedule_name(spec))]
    return min((moment for moment in began if moment is not None), default=None)


def _first_asked(
    instance: DagsterInstance, spec: IngestionSpec, partitions: TimeWindowPartitionsDefinition
) -> datetime | None:
    chosen = RunsFilter(tags={SCHEDULE_TAG: _schedule_name(spec)})
    for record in instance.get_run_records(chosen, limit=1, ascending=True):
        key = record.dagster_run.tags.get(PARTITION_TAG)
        if key is not None and partitions.has_partition_key(key):
            return partitions.time_window_for_partition_key(key).start
    return None


def _instance_of(context: ScheduleEvaluationContext) -> DagsterInstance | None:
    try:
        return context.instance
    except DagsterInvariantViolationError:  # a context that a test built without one
        return None
