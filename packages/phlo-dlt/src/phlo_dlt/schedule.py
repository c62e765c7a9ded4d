"""Schedules from ``cron``."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, cast
from zoneinfo import ZoneInfo

from croniter import croniter
from dagster import (
    AssetsDefinition,
    DefaultScheduleStatus,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    define_asset_job,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagster import TimeWindowPartitionsDefinition
    from phlo.config import Settings

    from phlo_dlt.spec import IngestionSpec


def build_schedule(
    spec: IngestionSpec, asset: AssetsDefinition, settings: Settings
) -> ScheduleDefinition | None:
    """The schedule of an ingestion with ``cron``, on as soon as the daemon runs.

    A tick materializes the partition that holds it; the first tick in a partition also
    materializes the one before, whose last rows may have come after its last tick.
    """
    if spec.cron is None:
        return None
    cron = spec.cron

    def requests(context: ScheduleEvaluationContext) -> Iterator[RunRequest]:
        moment = context.scheduled_execution_time.astimezone(ZoneInfo(settings.timezone))
        partitions = cast("TimeWindowPartitionsDefinition | None", asset.partitions_def)
        for key in keys_of_tick(partitions, cron, moment):
            yield RunRequest(run_key=f"{moment.isoformat()}/{key}", partition_key=key)

    return ScheduleDefinition(
        name=f"{spec.asset_name}_schedule",
        job=define_asset_job(f"{spec.asset_name}_job", selection=[asset.key]),
        cron_schedule=cron,
        execution_timezone=settings.timezone,
        default_status=DefaultScheduleStatus.RUNNING,
        execution_fn=requests,
        description=f"Loads {spec.table} ({spec.defined_at}).",
    )


def keys_of_tick(
    partitions: TimeWindowPartitionsDefinition | None, cron: str, moment: datetime
) -> list[str | None]:
    """The partitions that a tick loads.

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
    previous = croniter(cron, moment).get_prev(datetime)
    window = partitions.time_window_for_partition_key(_key_at(partitions, moment))
    is_first = previous < window.start
    before = partitions.get_prev_partition_window(window.start) if is_first else None
    current = _key_at(partitions, moment)
    if before is None:
        return [current]
    return [_key_at(partitions, before.start), current]


def _key_at(partitions: TimeWindowPartitionsDefinition, moment: datetime) -> str:
    return partitions.get_partition_key_for_timestamp(moment.timestamp())
