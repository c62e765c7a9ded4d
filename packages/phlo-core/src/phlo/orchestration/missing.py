"""Partitions that were never made, or last made before they had ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from dagster import AssetRecordsFilter, DagsterEventType, DagsterRunStatus, RunsFilter
from phlo.orchestration.dagster_private import PARTITION_TAG, TICK_TAG
from phlo.orchestration.undone import last_valid_materialization, undone_run_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dagster import (
        AssetKey,
        DagsterInstance,
        EventLogRecord,
        RunRecord,
        TimeWindow,
        TimeWindowPartitionsDefinition,
    )

_LONGEST_WAIT = timedelta(hours=1)
WAITS = datetime.max.replace(tzinfo=UTC)
"""When a run was asked for that has not begun: it reads all that is there when it begins."""

_PAGE = 500
_UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
]


@dataclass(frozen=True)
class MissingPartition:
    """One partition that has ended, and that may lack rows.

    Attributes:
        key: The partition key.
        ended_at: When its window ended.
        made_at: When its last run began, before that end; ``None`` where it was never made.
    """

    key: str
    ended_at: datetime
    made_at: datetime | None


def missing_partitions(
    definition: TimeWindowPartitionsDefinition,
    made: Mapping[str, datetime],
    now: datetime,
    *,
    since: datetime | None = None,
) -> list[MissingPartition]:
    """List the partitions that ended and were not made after their end, oldest first.

    Args:
        definition: The asset's partitions.
        made: When the last good run of each partition began.
        now: Partitions that end later are not missing yet.
        since: Partitions that ended before it are missing only if they were made too early;
            ``None`` takes all that were never made too.
    """
    ended = [(key, window) for key, window in windows(definition, now) if window.end <= now]
    return [
        MissingPartition(key, window.end, made.get(key))
        for key, window in ended
        if (made[key] < window.end if key in made else since is None or window.end > since)
    ]


def windows(
    definition: TimeWindowPartitionsDefinition, now: datetime
) -> list[tuple[str, TimeWindow]]:
    """List the partitions that exist at a moment, with their windows."""
    keys = definition.get_partition_keys(current_time=now)
    return [(key, definition.time_window_for_partition_key(key)) for key in keys]


def last_made(instance: DagsterInstance, key: AssetKey) -> dict[str, datetime]:
    """Find when the last run began that made each partition of an asset.

    What counts is when the run began: rows that came while it went on may not be in it.
    """
    made = {
        record.partition_key: (record.run_id, datetime.fromtimestamp(record.timestamp, UTC))
        for record in newest_materializations(instance, key)
        if record.partition_key is not None
    }
    began = _run_starts(instance, {run_id for run_id, _ in made.values() if run_id})
    return {partition: began.get(run_id, at) for partition, (run_id, at) in made.items()}


def newest_materializations(instance: DagsterInstance, key: AssetKey) -> list[EventLogRecord]:
    """Return the newest materialization of each partition by a run that was not undone."""
    newest = instance.get_latest_storage_id_by_partition(
        key, DagsterEventType.ASSET_MATERIALIZATION
    )
    records = [
        record
        for ids in _pages(list(newest.values()))
        for record in instance.fetch_materializations(
            AssetRecordsFilter(key, storage_ids=ids), limit=_PAGE
        ).records
    ]
    undone = undone_run_ids(instance)
    standing = (
        record
        if record.run_id not in undone
        else last_valid_materialization(instance, key, undone, record.partition_key)
        for record in records
    )
    return [record for record in standing if record is not None]


def made_partitions(instance: DagsterInstance, key: AssetKey) -> set[str]:
    """Return the partitions of an asset that some run made which was not undone."""
    if not undone_run_ids(instance):
        return set(instance.get_materialized_partitions(key))
    return {r.partition_key for r in newest_materializations(instance, key) if r.partition_key}


class PendingRuns(NamedTuple):
    """The partitions for which a run waits or goes on.

    Attributes:
        asked_at: When the newest run of each was asked for. One that waits in the queue reads its
            source later than now: its time is :data:`WAITS`, for an hour; then its queue stands
            still, or did, and it is no promise.
        queued: Those for which a run waits in the queue, however long.
    """

    asked_at: dict[str, datetime]
    queued: frozenset[str]


def being_made(
    instance: DagsterInstance, key: AssetKey, job_name: str, now: datetime
) -> PendingRuns:
    """Find the partitions for which a run waits or goes on at a moment."""
    records = instance.get_run_records(RunsFilter(statuses=_UNFINISHED))
    asked = [
        (partition, _asked_at(record, now), record.dagster_run.status)
        for record in records
        if (partition := record.dagster_run.tags.get(PARTITION_TAG))
        and (
            record.dagster_run.job_name == job_name
            or key in (record.dagster_run.asset_selection or ())
        )
    ]
    return PendingRuns(
        {partition: at for partition, at, _ in sorted(asked, key=lambda a: a[1])},
        frozenset(name for name, _, status in asked if status is DagsterRunStatus.QUEUED),
    )


def _asked_at(record: RunRecord, now: datetime) -> datetime:
    """Return the tick of a schedule that asked for a run, else when the run was made."""
    tick = record.dagster_run.tags.get(TICK_TAG)
    asked = datetime.fromisoformat(tick) if tick else record.create_timestamp
    is_waiting = record.dagster_run.status is DagsterRunStatus.QUEUED
    return WAITS if is_waiting and now - asked <= _LONGEST_WAIT else asked


def _run_starts(instance: DagsterInstance, run_ids: Iterable[str]) -> dict[str, datetime]:
    return {
        record.dagster_run.run_id: datetime.fromtimestamp(record.start_time, UTC)
        for ids in _pages(sorted(run_ids))
        for record in instance.get_run_records(RunsFilter(run_ids=ids))
        if record.start_time is not None
    }


def _pages(items: Sequence) -> list[list]:
    return [list(items[i : i + _PAGE]) for i in range(0, len(items), _PAGE)]
