"""What the history of runs knows of assets, read from Dagster."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagster import AssetKey, DagsterInstance, EventLogEntry

    from phlo_cli.dagster_private import AssetEntry
    from phlo_cli.project_index import IndexedAsset, ProjectIndex


_PAGE = 500


@dataclass(frozen=True)
class AssetHistory:
    """What the history knows of one asset.

    Attributes:
        made_at: When it was made last, in UTC.
        made_by: Id of the run that made it then.
        partition: The partition made then.
        row_count: Rows that it had then, where it told.
        run_id: Id of the last run that was to make it.
        run_status: Dagster's name of that run's status, such as ``SUCCESS``.
        checks: How each of its checks ended last, in words, by name; those that never ran are
            left out.
        partitions: The partitions ever made, of an asset with a freshness policy.
    """

    made_at: datetime | None = None
    made_by: str | None = None
    partition: str | None = None
    row_count: int | None = None
    run_id: str | None = None
    run_status: str | None = None
    checks: Mapping[str, str] = field(default_factory=dict)
    partitions: frozenset[str] = frozenset()


def read_history(index: ProjectIndex, instance: DagsterInstance) -> dict[str, AssetHistory]:
    """Read the history of every asset of a project, by key."""
    from dagster import AssetKey
    from phlo.orchestration.undone import undone_run_ids

    keys = {AssetKey.from_user_string(asset.key): asset for asset in index.assets}
    records = instance.get_asset_records(list(keys))
    entries = {record.asset_entry.asset_key: record.asset_entry for record in records}
    statuses = _run_statuses(instance, {e.last_run_id for e in entries.values() if e.last_run_id})
    checks, undone = _check_words(instance, keys), undone_run_ids(instance)
    return {
        asset.key: _history(instance, asset, key, entries.get(key), statuses, checks, undone)
        for key, asset in keys.items()
    }


def _history(
    instance: DagsterInstance,
    asset: IndexedAsset,
    key: AssetKey,
    entry: AssetEntry | None,
    statuses: Mapping[str, str],
    checks: Mapping[str, Mapping[str, str]],
    undone: frozenset[str],
) -> AssetHistory:
    from phlo.orchestration.missing import made_partitions

    if entry is None:
        return AssetHistory(checks=checks.get(asset.key, {}))
    made = _last_made(instance, key, entry, undone)
    metadata = made.asset_materialization.metadata if made and made.asset_materialization else {}
    rows = metadata.get("dagster/row_count")
    row_count = rows.value if rows else None
    run_id = entry.last_run_id if entry.last_run_id in statuses else None
    is_judged = made and asset.fail_seconds is not None and asset.partitions is not None
    return AssetHistory(
        made_at=datetime.fromtimestamp(made.timestamp, UTC) if made else None,
        made_by=made.run_id if made else None,
        partition=made.dagster_event.partition if made and made.dagster_event else None,
        row_count=row_count if isinstance(row_count, int) else None,
        run_id=run_id,
        run_status=statuses.get(run_id) if run_id else None,
        checks=checks.get(asset.key, {}),
        partitions=frozenset(made_partitions(instance, key) if is_judged else ()),
    )


def _last_made(
    instance: DagsterInstance, key: AssetKey, entry: AssetEntry, undone: frozenset[str]
) -> EventLogEntry | None:
    from phlo.orchestration.undone import last_valid_materialization

    made = entry.last_materialization
    if made is None or made.run_id not in undone:
        return made
    record = last_valid_materialization(instance, key, undone)
    return record.event_log_entry if record else None


def _run_statuses(instance: DagsterInstance, run_ids: set[str]) -> dict[str, str]:
    from dagster import RunsFilter

    ids, statuses = sorted(run_ids), {}
    for start in range(0, len(ids), _PAGE):
        page = instance.get_runs(RunsFilter(run_ids=ids[start : start + _PAGE]))
        statuses |= {run.run_id: run.status.value for run in page}
    return statuses


def _check_words(
    instance: DagsterInstance, keys: Mapping[AssetKey, IndexedAsset]
) -> dict[str, dict[str, str]]:
    """Read how each check ended last, by asset and name."""
    from dagster import AssetCheckKey

    from phlo_cli.dagster_private import AssetCheckExecutionRecordStatus
    from phlo_cli.run_events import check_outcome

    wanted = [AssetCheckKey(k, name) for k, asset in keys.items() for name in asset.checks]
    words: dict[str, dict[str, str]] = {}
    storage = instance.event_log_storage
    for key, record in storage.get_latest_asset_check_execution_by_key(wanted).items():
        event = record.event.dagster_event if record.event else None
        of_asset = words.setdefault(keys[key.asset_key].key, {})
        if record.status is AssetCheckExecutionRecordStatus.PLANNED or record.event is None:
            of_asset[key.name] = "not run"
        elif event is not None:
            of_asset[key.name] = check_outcome(event.asset_check_evaluation_data, str).word
    return words
