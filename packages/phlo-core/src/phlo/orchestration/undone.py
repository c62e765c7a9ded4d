"""Runs that were undone: what they made counts as never made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster import AssetRecordsFilter, RunsFilter
from phlo.undo import UNDONE_TAG

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from dagster import AssetKey, DagsterInstance, EventLogRecord

_PAGE = 100


def mark_undone(instance: DagsterInstance, run_ids: Iterable[str], *, is_undone: bool) -> None:
    """Note whether runs were undone; ids that this history does not know are passed over."""
    for run_id in run_ids:
        if instance.has_run(run_id):
            instance.add_run_tags(run_id, {UNDONE_TAG: str(is_undone).lower()})


def undone_run_ids(instance: DagsterInstance) -> frozenset[str]:
    """Return the ids of the runs that were undone."""
    return frozenset(run.run_id for run in instance.get_runs(RunsFilter(tags={UNDONE_TAG: "true"})))


def last_valid_materialization(
    instance: DagsterInstance,
    key: AssetKey,
    undone: Collection[str],
    partition: str | None = None,
) -> EventLogRecord | None:
    """Find the newest materialization of an asset, or of one partition, by a run that stands.

    Args:
        instance: The history.
        key: The asset.
        undone: Ids of the runs that were undone.
        partition: The partition; ``None``: any.
    """
    records = materializations(instance, key, partition)
    return next((record for record in records if record.run_id not in undone), None)


def materializations(
    instance: DagsterInstance, key: AssetKey, partition: str | None = None
) -> Iterator[EventLogRecord]:
    """Yield the materializations of an asset, or of one partition, the newest first."""
    wanted = AssetRecordsFilter(key, asset_partitions=[partition] if partition else None)
    page = instance.fetch_materializations(wanted, limit=_PAGE)
    yield from page.records
    while page.has_more:
        page = instance.fetch_materializations(wanted, limit=_PAGE, cursor=page.cursor)
        yield from page.records
