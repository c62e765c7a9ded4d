"""How the assets of a project are: last run, freshness, rows, checks."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from dagster import AssetCheckKey, AssetKey, DagsterRunStatus, TimeWindowPartitionsDefinition
from phlo.errors import MissingProviderError
from phlo.lake import open_lake
from phlo.names import TableName

from phlo_cli.dagster_private import AssetCheckExecutionRecordStatus
from phlo_cli.run_events import check_outcome, row_facts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagster import DagsterInstance, DagsterRun, EventLogEntry, TimeWindow
    from phlo.values import Snapshot

    from phlo_cli.dagster_private import AssetEntry
    from phlo_cli.project_index import IndexedAsset, ProjectIndex

Freshness = Literal["fresh", "late", "stale"]
RunState = Literal["ok", "failed", "canceled", "no_data", "running", "never"]
_BAD_CHECKS = ("failed", "could not run")


@dataclass(frozen=True)
class AssetState:
    """How one asset is.

    Attributes:
        key: The asset's key, as text.
        table: The table it makes, if it makes one.
        group: Its group.
        state: How its last run ended for it.
        made_at: When it was made last, in UTC.
        partition: The partition made then.
        newest_partition: The newest partition ever made, of an asset with a freshness policy.
        freshness: Against its own policy; ``None`` without one. An asset is as old as its last run,
            or as its newest partition where that is older.
        rows: Rows of its table now; ``None`` where there is no table.
        checks: Number of its checks by how they ended last.
        run_id: The last run that was to make it.
        newer: What it is made of and that changed since, by table or key.
    """

    key: str
    table: str | None
    group: str
    state: RunState
    made_at: datetime | None
    partition: str | None
    newest_partition: str | None
    freshness: Freshness | None
    rows: int | None
    checks: dict[str, int] = field(default_factory=dict)
    run_id: str | None = None
    newer: tuple[str, ...] = ()

    @property
    def has_failed(self) -> bool:
        """Whether its last run failed, or one of its checks did."""
        return self.state == "failed" or any(self.checks.get(bad) for bad in _BAD_CHECKS)

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return asdict(self)


def asset_states(index: ProjectIndex, instance: DagsterInstance) -> list[AssetState]:
    """Read the state of every asset that can be made, sorted by group and name."""
    keys = [AssetKey.from_user_string(asset.key) for asset in index.assets]
    entries = {
        record.asset_entry.asset_key: record.asset_entry
        for record in instance.get_asset_records(keys)
    }
    checks = _check_states(index, instance)
    of_assets = {asset.key: entries.get(key) for asset, key in zip(index.assets, keys, strict=True)}
    changed = {asset.key: _changed_at(asset, of_assets[asset.key]) for asset in index.assets}
    states = [_state(instance, asset, of_assets[asset.key], checks) for asset in index.assets]
    labels = {state.key: state.table or state.key for state in states}
    return [
        replace(state, newer=tuple(labels[key] for key in _newer(asset, state.made_at, changed)))
        for asset, state in zip(index.assets, states, strict=True)
    ]


def _changed_at(asset: IndexedAsset, entry: AssetEntry | None) -> datetime | None:
    """Return when an asset got other data last: its table's newest snapshot, if it has one."""
    history = _history(TableName.parse(asset.table)) if asset.table else []
    newest = next((s for s in history if s.operation != "replace"), None)
    if newest is not None:
        return newest.committed_at
    made = entry.last_materialization if entry else None
    return datetime.fromtimestamp(made.timestamp, UTC) if made else None


def _history(table: TableName) -> list[Snapshot]:
    try:
        store = open_lake().store
    except MissingProviderError:
        return []
    return store.history(table) if store.exists(table) else []


def _newer(
    asset: IndexedAsset, made_at: datetime | None, changed: Mapping[str, datetime | None]
) -> list[str]:
    """Return the keys of parents that changed after an asset was made."""
    changes = {key: changed.get(key) for key in asset.parents}
    return [
        key
        for key, changed_at in changes.items()
        if made_at is not None and changed_at is not None and changed_at > made_at
    ]


def _state(
    instance: DagsterInstance,
    asset: IndexedAsset,
    entry: AssetEntry | None,
    checks: Mapping[AssetCheckKey, str],
) -> AssetState:
    made = entry.last_materialization if entry else None
    run = instance.get_run_by_id(entry.last_run_id) if entry and entry.last_run_id else None
    made_at = datetime.fromtimestamp(made.timestamp, UTC) if made else None
    newest = _newest_window(instance, asset) if made and asset.fail_seconds is not None else None
    return AssetState(
        key=asset.key,
        table=asset.table,
        group=asset.group,
        state=_run_state(made, run),
        made_at=made_at,
        partition=_partition(made),
        newest_partition=newest[0] if newest else None,
        freshness=_freshness(asset, made_at, newest[1] if newest else None),
        rows=_rows(asset, made),
        checks=dict(Counter(checks[c] for c in _check_keys(asset) if c in checks)),
        run_id=run.run_id if run else None,
    )


def _check_keys(asset: IndexedAsset) -> list[AssetCheckKey]:
    key = AssetKey.from_user_string(asset.key)
    return [AssetCheckKey(key, name) for name in asset.checks]


def _run_state(made: EventLogEntry | None, run: DagsterRun | None) -> RunState:
    """Return how the last run ended for an asset; one that was made in a failed run succeeded."""
    if run is None or (made is not None and made.run_id == run.run_id):
        return "ok" if made else "never"
    if run.status is DagsterRunStatus.CANCELED:
        return "canceled"
    if run.is_success:
        return "no_data"
    return "failed" if run.is_finished else "running"


def _partition(made: EventLogEntry | None) -> str | None:
    event = made.dagster_event if made else None
    return event.partition if event else None


def _freshness(
    asset: IndexedAsset, made_at: datetime | None, newest: TimeWindow | None
) -> Freshness | None:
    """Judge an asset by its last run, and by its newest partition where that is older.

    A partition is as good as new until the next one has ended.
    """
    if asset.fail_seconds is None:
        return None
    moments = [made_at] if made_at else []
    if newest is not None:
        moments.append(newest.end + (newest.end - newest.start))
    age = (datetime.now(UTC) - min(moments)).total_seconds() if moments else None
    if age is None or age > asset.fail_seconds:
        return "stale"
    return "late" if asset.warn_seconds is not None and age > asset.warn_seconds else "fresh"


def _newest_window(instance: DagsterInstance, asset: IndexedAsset) -> tuple[str, TimeWindow] | None:
    """Return the newest partition that was made, of an asset whose partitions are windows."""
    if asset.partitions is None:
        return None
    cron_schedule, timezone, fmt, start = asset.partitions
    definition = TimeWindowPartitionsDefinition(
        start=datetime.fromisoformat(start), fmt=fmt, cron_schedule=cron_schedule, timezone=timezone
    )
    made = instance.get_materialized_partitions(AssetKey.from_user_string(asset.key))
    windows = (
        (name, definition.time_window_for_partition_key(name))
        for name in made
        if is_date(name, fmt)
    )
    return max(windows, key=lambda named: named[1].start, default=None)


def is_date(text: str, fmt: str) -> bool:
    """Return whether a text is a date of a format, as keys of changed partitions are not.

    >>> is_date("2025-01-15", "%Y-%m-%d"), is_date("eu", "%Y-%m-%d")
    (True, False)
    """
    try:
        datetime.strptime(text, fmt)
    except ValueError:
        return False
    return True


def _rows(asset: IndexedAsset, made: EventLogEntry | None) -> int | None:
    """Count the rows of the asset's table; without a table, read its last materialization."""
    stored = _stored_rows(TableName.parse(asset.table)) if asset.table else None
    if stored is not None or made is None or made.asset_materialization is None:
        return stored
    facts = {name: value.value for name, value in made.asset_materialization.metadata.items()}
    return row_facts(facts)["row_count"]


def _stored_rows(table: TableName) -> int | None:
    try:
        store = open_lake().store
    except MissingProviderError:
        return None
    return store.load(table).row_count if store.exists(table) else None


def _check_states(index: ProjectIndex, instance: DagsterInstance) -> dict[AssetCheckKey, str]:
    """Read how each check ended last; checks that never ran are left out."""
    keys = [key for asset in index.assets for key in _check_keys(asset)]
    storage = instance.event_log_storage
    states: dict[AssetCheckKey, str] = {}
    for key, record in storage.get_latest_asset_check_execution_by_key(keys).items():
        if record.status is AssetCheckExecutionRecordStatus.PLANNED or record.event is None:
            states[key] = "not run"
        elif record.event.dagster_event is not None:
            evaluation = record.event.dagster_event.asset_check_evaluation_data
            states[key] = check_outcome(evaluation, str).word
    return states
