"""Copy the runs of a branch into its source's history, once the branch was published.

Without them the source would not know that the partitions are made, and a schedule would load them
again.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

from dagster import DagsterEventType, RunsFilter
from phlo.orchestration.dagster_private import add_run, asset_of, copy_events, copy_snapshots
from phlo.orchestration.missing import newest_materializations
from phlo.orchestration.undone import (
    last_valid_materialization,
    materializations,
    undone_run_ids,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from dagster import AssetKey, DagsterInstance, EventLogEntry, RunRecord

BRANCH_TAG = "phlo/branch"
"""Tag of a run that was carried out on a branch, which it names."""

_PAGE = 500


class _Made(NamedTuple):
    """What a run made: an asset, or one partition of it."""

    key: AssetKey
    partition: str | None


def copy_branch_runs(
    branch: DagsterInstance,
    source: DagsterInstance,
    keys: Iterable[AssetKey],
    name: str,
    *,
    hold: Callable[[str], AbstractContextManager[None]] = nullcontext,
) -> list[str]:
    """Copy the runs of a branch that made assets, with their ids, times and logs.

    Left out are runs that go on or were undone. Of the others, what they tell of assets that they
    did not make, or that the source made later, does not count. A run that is there already stays;
    one that a killed process copied in part is copied anew.

    Args:
        branch: The branch's history.
        source: The history of what it was published to.
        keys: The assets whose tables were published.
        name: The branch's name.
        hold: Held while a run is copied, by its id.

    Returns:
        Ids of the copied runs, oldest first.
    """
    newest = {key: _newest_times(source, key) for key in keys}
    made = _made_by_runs(branch, newest)
    copied = []
    for record in _ended_runs(branch, made):
        run_id = record.dagster_run.run_id
        with hold(run_id):
            if _is_copied(source, record):
                continue
            _copy(branch, source, record, made[run_id], newest, name)
            copied.append(run_id)
    return copied


def _newest_times(source: DagsterInstance, key: AssetKey) -> dict[str | None, float]:
    """Return when each partition of an asset was made last; ``None``: when any of it was."""
    whole = last_valid_materialization(source, key, undone_run_ids(source))
    times: dict[str | None, float] = {None: whole.timestamp} if whole else {}
    return times | {r.partition_key: r.timestamp for r in newest_materializations(source, key)}


def _made_by_runs(
    branch: DagsterInstance, newest: Mapping[AssetKey, Mapping[str | None, float]]
) -> dict[str, set[_Made]]:
    """Return what each run of the branch made that the source did not make later."""
    undone, made = undone_run_ids(branch), defaultdict[str, set[_Made]](set)
    for key, times in newest.items():
        for record in materializations(branch, key):
            is_newest = record.timestamp >= times.get(record.partition_key, 0.0)
            if is_newest and record.run_id not in undone:
                made[record.run_id].add(_Made(key, record.partition_key))
    return made


def _ended_runs(branch: DagsterInstance, run_ids: Iterable[str]) -> list[RunRecord]:
    ids = sorted(run_ids)
    records: list[RunRecord] = []
    for start in range(0, len(ids), _PAGE):
        records += branch.get_run_records(RunsFilter(run_ids=ids[start : start + _PAGE]))
    ended = (record for record in records if record.dagster_run.is_finished)
    return sorted(ended, key=lambda record: record.create_timestamp)


def _is_copied(source: DagsterInstance, record: RunRecord) -> bool:
    """Return whether the source has a run; a part of it is removed."""
    run = source.get_run_by_id(record.dagster_run.run_id)
    if run is not None and run.status is not record.dagster_run.status:
        source.delete_run(run.run_id)
        return False
    return run is not None


def _copy(
    branch: DagsterInstance,
    source: DagsterInstance,
    record: RunRecord,
    made: set[_Made],
    newest: Mapping[AssetKey, Mapping[str | None, float]],
    name: str,
) -> None:
    run = record.dagster_run.with_tags({**record.dagster_run.tags, BRANCH_TAG: name})
    copy_snapshots(branch, source, run)
    add_run(source, run, record.create_timestamp)
    entries = _entries_to_copy(branch.all_logs(run.run_id), made)
    copy_events(branch, source, run.run_id, [_in_order(entry, newest) for entry in entries])


def _entries_to_copy(entries: Iterable[EventLogEntry], made: set[_Made]) -> Iterator[EventLogEntry]:
    """Yield what a run logged, without what counts for assets that it did not make."""
    keys = {one.key for one in made}
    for entry in entries:
        key, event = asset_of(entry), entry.dagster_event
        if event is None or key is None:
            yield entry
        elif event.event_type is DagsterEventType.ASSET_MATERIALIZATION:
            if _Made(key, event.partition) in made:
                yield entry
        elif key in keys:
            yield entry


def _in_order(
    entry: EventLogEntry, newest: Mapping[AssetKey, Mapping[str | None, float]]
) -> EventLogEntry:
    """Let an asset that the source made later with another partition keep that time.

    What is stored last counts as made last.
    """
    key = asset_of(entry)
    latest = newest.get(key, {}).get(None, 0.0) if key else 0.0
    return entry if entry.timestamp >= latest else entry._replace(timestamp=latest)
