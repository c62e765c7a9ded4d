"""Remove old runs from the project's history, but for what its promises depend on.

A partition counts as made, and an asset as fresh, by the run that made it last; a schedule looks
after partitions from the first that it asked for. Such runs stay; what they logged goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dagster import DagsterRunStatus, RunsFilter
from phlo.folders import DAGSTER
from phlo.orchestration.dagster_private import SCHEDULE_TAG, run_log
from phlo.orchestration.instance import dagster_home
from phlo.orchestration.missing import newest_materializations
from phlo.orchestration.undone import last_valid_materialization, undone_run_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dagster import AssetKey, DagsterInstance, DagsterRun, RunRecord
    from phlo.config import Settings

_ENDED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
_PAGE = 500


@dataclass(frozen=True)
class PurgedHistory:
    """What was removed from the history.

    Attributes:
        runs: Runs, with all that is known of them.
        logs: Logs of runs that stay.
    """

    runs: int = 0
    logs: int = 0


def purge_history(
    settings: Settings, instance: DagsterInstance, *, dry_run: bool = False
) -> PurgedHistory:
    """Remove runs that ended before ``PHLO_HISTORY_KEEP_DAYS``, and the logs of those that stay.

    A history that ``DAGSTER_HOME`` names is its owner's: nothing is removed from it.

    Args:
        settings: The project's.
        instance: Its history.
        dry_run: Whether it is only counted what would be removed.
    """
    is_own = dagster_home(settings).resolve() == DAGSTER.path(settings.state_dir).resolve()
    if not is_own or not settings.history_keep_days:
        return PurgedHistory()
    before = datetime.now(UTC) - timedelta(days=settings.history_keep_days)
    old = {run.run_id: run for run in _ended_before(instance, before)}
    needed = _first_of_schedules(old.values()) | _last_of_assets(instance) if old else set()
    runs = [run_id for run_id in old if run_id not in needed]
    logs = [run_id for run_id in old if run_id in needed and has_log(instance, run_id)]
    if not dry_run:
        for run_id in runs:
            instance.delete_run(run_id)
        for run_id in (*runs, *logs):
            _remove_log(instance, run_id)
    return PurgedHistory(len(runs), len(logs))


def _ended_before(instance: DagsterInstance, moment: datetime) -> Iterator[DagsterRun]:
    chosen = RunsFilter(statuses=_ENDED, created_before=moment)
    page = instance.get_run_records(chosen, limit=_PAGE)
    while page:
        yield from (r.dagster_run for r in page if _ended_at(r) < moment)
        page = instance.get_run_records(chosen, limit=_PAGE, cursor=page[-1].dagster_run.run_id)


def _ended_at(record: RunRecord) -> datetime:
    if record.end_time is not None:
        return datetime.fromtimestamp(record.end_time, UTC)
    return record.update_timestamp.astimezone(UTC)


def _first_of_schedules(newest_first: Iterable[DagsterRun]) -> set[str]:
    """Return the ids of the oldest run of each schedule."""
    oldest = {run.tags.get(SCHEDULE_TAG): run.run_id for run in newest_first}
    return {run_id for schedule, run_id in oldest.items() if schedule is not None}


def _last_of_assets(instance: DagsterInstance) -> set[str]:
    """Return the ids of the runs by which assets and partitions count as made."""
    return {run_id for key in instance.all_asset_keys() for run_id in _runs_of(instance, key)}


def _runs_of(instance: DagsterInstance, key: AssetKey) -> Iterator[str]:
    yield from (record.run_id for record in newest_materializations(instance, key))
    for record in instance.get_asset_records([key]):
        if record.asset_entry.last_run_id:
            yield record.asset_entry.last_run_id
        if record.asset_entry.last_materialization:
            yield record.asset_entry.last_materialization.run_id
    if standing := last_valid_materialization(instance, key, undone_run_ids(instance)):
        yield standing.run_id
    yield from (record.run_id for record in instance.fetch_observations(key, limit=1).records)


def has_log(instance: DagsterInstance, run_id: str) -> bool:
    """Return whether what a run logged is still there; Dagster makes an empty log when asked."""
    file = run_log(instance, run_id)
    return file is None or file.exists()


def _remove_log(instance: DagsterInstance, run_id: str) -> None:
    file = run_log(instance, run_id)
    if file is not None:
        file.unlink(missing_ok=True)
