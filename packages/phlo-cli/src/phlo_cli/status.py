"""How the assets of a project are: last run, freshness, rows, checks."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from phlo.errors import MissingProviderError
from phlo.lake import open_lake
from phlo.names import TableName

from phlo_cli.asset_history import read_history
from phlo_cli.table_summaries import summarize_tables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagster import DagsterInstance
    from phlo.values import TableSummary

    from phlo_cli.asset_history import AssetHistory
    from phlo_cli.project_index import IndexedAsset, ProjectIndex

Freshness = Literal["fresh", "late", "stale"]
RunState = Literal["ok", "failed", "canceled", "no_data", "running", "never"]
_RUN_STATES: dict[str, RunState] = {
    "CANCELED": "canceled",
    "FAILURE": "failed",
    "SUCCESS": "no_data",
}
"""How a run that did not make an asset ended for it, by Dagster's name of its status."""

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
    return states_of(index, read_history(index, instance))


def states_of(index: ProjectIndex, history: Mapping[str, AssetHistory]) -> list[AssetState]:
    """Tell the state of every asset by what the history and the tables say of it."""
    tables = _summaries(index)
    changed = {asset.key: _changed_at(asset, history[asset.key], tables) for asset in index.assets}
    states = [_state(asset, history[asset.key], tables) for asset in index.assets]
    labels = {state.key: state.table or state.key for state in states}
    return [
        replace(state, newer=tuple(labels[key] for key in _newer(asset, state.made_at, changed)))
        for asset, state in zip(index.assets, states, strict=True)
    ]


def _summaries(index: ProjectIndex) -> dict[str, TableSummary]:
    names = [TableName.parse(asset.table) for asset in index.assets if asset.table]
    try:
        store = open_lake().store
    except MissingProviderError:
        return {}
    return {str(name): summary for name, summary in summarize_tables(store, names).items()}


def _changed_at(
    asset: IndexedAsset, history: AssetHistory, tables: Mapping[str, TableSummary]
) -> datetime | None:
    """Return when an asset got other data last: its table's newest snapshot, if it has one."""
    table = tables.get(asset.table or "")
    return (table.changed_at if table else None) or history.made_at


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
    asset: IndexedAsset, history: AssetHistory, tables: Mapping[str, TableSummary]
) -> AssetState:
    newest = _newest_window(asset, history.partitions)
    table = tables.get(asset.table or "")
    row_count = table.row_count if table else None
    return AssetState(
        key=asset.key,
        table=asset.table,
        group=asset.group,
        state=_run_state(history),
        made_at=history.made_at,
        partition=history.partition,
        newest_partition=newest.partition if newest else None,
        freshness=_freshness(asset, history.made_at, newest),
        rows=history.row_count if row_count is None else row_count,
        checks=dict(Counter(history.checks[n] for n in asset.checks if n in history.checks)),
        run_id=history.run_id,
    )


def _run_state(history: AssetHistory) -> RunState:
    """Return how the last run ended for an asset; one that was made in a failed run succeeded."""
    if history.run_id is None or history.made_by == history.run_id:
        return "ok" if history.made_at else "never"
    return _RUN_STATES.get(history.run_status or "", "running")


def _freshness(
    asset: IndexedAsset, made_at: datetime | None, newest: _Window | None
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


class _Window(NamedTuple):
    """The time that a partition stands for."""

    partition: str
    start: datetime
    end: datetime


def _newest_window(asset: IndexedAsset, made: frozenset[str]) -> _Window | None:
    """Return the newest partition that was made, of an asset whose partitions are windows."""
    if asset.partitions is None:
        return None
    fmt = asset.partitions.fmt
    dates = [name for name in made if is_date(name, fmt)]
    if not dates:
        return None
    if asset.partitions.cron_schedule == "0 0 * * *":
        newest = max(dates, key=lambda name: datetime.strptime(name, fmt))
        if (day := _day(newest, fmt, asset.partitions.timezone)) is not None:
            return day
    definition = asset.partitions.definition()  # which imports Dagster; most partitions are days
    windows = ((name, definition.time_window_for_partition_key(name)) for name in dates)
    name, window = max(windows, key=lambda named: named[1].start)
    return _Window(name, window.start, window.end)


def _day(name: str, fmt: str, timezone: str) -> _Window | None:
    """Return the window of a day; ``None`` where it begins or ends at an hour that there is not."""
    day, zone = datetime.strptime(name, fmt), ZoneInfo(timezone)
    if day.time() != day.min.time():
        return None
    moments = [
        moment.replace(tzinfo=zone).astimezone(UTC) for moment in (day, day + timedelta(days=1))
    ]
    if [m.astimezone(zone).replace(tzinfo=None) for m in moments] != [day, day + timedelta(days=1)]:
        return None
    return _Window(name, *moments)


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
