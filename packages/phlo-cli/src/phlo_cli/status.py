"""How the assets of a project are: last run, freshness, rows, checks."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from dagster import DagsterRunStatus
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from phlo.errors import MissingProviderError
from phlo.lake import open_lake

from phlo_cli.run_events import check_outcome, row_facts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagster import AssetCheckKey, AssetKey, DagsterRun, EventLogEntry
    from dagster._core.definitions.assets.graph.asset_graph import AssetNode
    from dagster._core.storage.event_log.base import AssetEntry
    from phlo.names import TableName
    from phlo.values import Snapshot

    from phlo_cli.location import Location

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
        freshness: Against its own policy; ``None`` without one.
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


def asset_states(location: Location) -> list[AssetState]:
    """Read the state of every asset that can be made, sorted by group and name."""
    graph, instance = location.graph, location.instance
    keys = sorted(graph.materializable_asset_keys, key=lambda k: (graph.get(k).group_name, k.path))
    entries = {
        record.asset_entry.asset_key: record.asset_entry
        for record in instance.get_asset_records(keys)
    }
    checks = _check_states(location)
    changed = {key: _changed_at(location, key, entries.get(key)) for key in keys}
    return [_state(location, key, entries.get(key), checks, changed) for key in keys]


def _changed_at(location: Location, key: AssetKey, entry: AssetEntry | None) -> datetime | None:
    """Return when an asset got other data last: its table's newest snapshot, if it has one."""
    asset = location.tables.get(key.to_user_string())
    newest = (
        next((s for s in _history(asset.table) if s.operation != "replace"), None)
        if asset
        else None
    )
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
    location: Location,
    node: AssetNode,
    made_at: datetime | None,
    changed: Mapping[AssetKey, datetime | None],
) -> tuple[str, ...]:
    """Name the parents that changed after an asset was made."""
    changes = {key: changed.get(key) for key in sorted(node.parent_keys)}
    return tuple(
        location.table_of(key) or key.to_user_string()
        for key, changed_at in changes.items()
        if made_at is not None and changed_at is not None and changed_at > made_at
    )


def _state(
    location: Location,
    key: AssetKey,
    entry: AssetEntry | None,
    checks: Mapping[AssetCheckKey, str],
    changed: Mapping[AssetKey, datetime | None],
) -> AssetState:
    node = location.graph.get(key)
    made = entry.last_materialization if entry else None
    run = (
        location.instance.get_run_by_id(entry.last_run_id) if entry and entry.last_run_id else None
    )
    made_at = datetime.fromtimestamp(made.timestamp, UTC) if made else None
    return AssetState(
        key=key.to_user_string(),
        table=location.table_of(key),
        group=node.group_name,
        state=_run_state(made, run),
        made_at=made_at,
        partition=_partition(made),
        freshness=_freshness(node, made_at),
        rows=_rows(location, key, made),
        checks=dict(Counter(checks[c] for c in sorted(node.check_keys) if c in checks)),
        run_id=run.run_id if run else None,
        newer=_newer(location, node, made_at, changed),
    )


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


def _freshness(node: AssetNode, made_at: datetime | None) -> Freshness | None:
    policy = node.freshness_policy
    if not isinstance(policy, TimeWindowFreshnessPolicy):
        return None
    age = datetime.now(UTC) - made_at if made_at else None
    if age is None or age > policy.fail_window.to_timedelta():
        return "stale"
    warn = policy.warn_window
    return "late" if warn is not None and age > warn.to_timedelta() else "fresh"


def _rows(location: Location, key: AssetKey, made: EventLogEntry | None) -> int | None:
    """Count the rows of the asset's table; without a table, read its last materialization."""
    asset = location.tables.get(key.to_user_string())
    stored = _stored_rows(asset.table) if asset else None
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


def _check_states(location: Location) -> dict[AssetCheckKey, str]:
    """Read how each check ended last; checks that never ran are left out."""
    keys = list(location.graph.asset_check_keys)
    storage = location.instance.event_log_storage
    states: dict[AssetCheckKey, str] = {}
    for key, record in storage.get_latest_asset_check_execution_by_key(keys).items():
        if record.status is AssetCheckExecutionRecordStatus.PLANNED or record.event is None:
            states[key] = "not run"
        elif record.event.dagster_event is not None:
            evaluation = record.event.dagster_event.asset_check_evaluation_data
            states[key] = check_outcome(evaluation, str).word
    return states
