"""Partitions of runs: which one a step works on, and steps that may not go on without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster import AssetKey, TimeWindowPartitionsDefinition
from phlo.errors import InvalidPartitionError
from phlo.names import Partition
from phlo.orchestration.dagster_private import PARTITION_TAG, RANGE_END_TAG, RANGE_START_TAG

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagster import AssetCheckExecutionContext, AssetExecutionContext, PartitionsDefinition


def partition_of_asset(
    context: AssetExecutionContext | AssetCheckExecutionContext, key: AssetKey
) -> Partition | None:
    """Return the partition of an asset that a run works on.

    Returns:
        ``None`` where the asset has no time windows as partitions, or the run has no partition.
    """
    definition = _partitions_of(context, key)
    if not isinstance(definition, TimeWindowPartitionsDefinition) or not context.has_partition_key:
        return None
    return partition_of_key(definition, context.partition_key)


def partition_of_key(definition: TimeWindowPartitionsDefinition, key: str) -> Partition:
    """Return the partition that a key names, with its length in days."""
    window = definition.time_window_for_partition_key(key)
    first = window.start.date()
    return Partition(first, (window.end.date() - first).days)


def require_partition(context: AssetExecutionContext, key: AssetKey) -> None:
    """Check that a run that makes a partitioned asset names one partition of it.

    Without a partition a load would replace the whole table, and ask its source for no day.

    Raises:
        InvalidPartitionError: The run names no partition, or a range of them.
    """
    if _partitions_of(context, key) is None or context.has_partition_key:
        return
    name, days = key.to_user_string(), partition_range(context.run.tags)
    if days is not None:
        raise InvalidPartitionError(
            f"{name} is partitioned, and this run names a range of partitions.",
            got=f"{days[0]} to {days[1]}",
            expected="one partition per run",
            hint="Launch a backfill of the days, which makes one run of each: "
            f"phlo backfill {name} --start-date {days[0]} --end-date {days[1]}",
            asset=name,
        )
    raise InvalidPartitionError(
        f"{name} is partitioned, and this run has no partition.",
        got=f"a run of the job {context.job_name!r} without the tag {PARTITION_TAG!r}",
        expected="one partition per run",
        hint="Schedule the job with build_schedule_from_partitioned_job(job), give "
        'RunRequest(partition_key="2025-01-15") in a sensor or schedule of your own, or choose a '
        "partition where you launch the run.",
        asset=name,
    )


def partition_range(tags: Mapping[str, str]) -> tuple[str, str] | None:
    """Return first and last partition of a run over a range; ``None`` for other runs."""
    if RANGE_START_TAG not in tags or RANGE_END_TAG not in tags:
        return None
    return tags[RANGE_START_TAG], tags[RANGE_END_TAG]


def is_date(key: str) -> bool:
    """Return whether a partition key is a day, ``YYYY-MM-DD``.

    >>> is_date("2025-01-15"), is_date("2025-01-15-13:00"), is_date("eu")
    (True, False, False)
    """
    try:
        Partition.parse(key)
    except InvalidPartitionError:
        return False
    return True


def _partitions_of(
    context: AssetExecutionContext | AssetCheckExecutionContext, key: AssetKey
) -> PartitionsDefinition | None:
    return context.job_def.asset_layer.get(key).partitions_def
