"""States of the lake that a user names: by a branch, a run, a snapshot or a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click
from phlo.branches import TableChange, TableVersion
from phlo.errors import TableNotFoundError, nearest

from phlo_cli.differences import ChangedTable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from phlo.branches import KeepsBranches
    from phlo.names import TableName
    from phlo.values import Snapshot, TableAsset

_BEFORE = "^"
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class LakeState:
    """All tables of a branch, as they were at a time.

    Attributes:
        branch: The branch.
        at: The time, in UTC; ``None``: as they are now.
        snapshots: Snapshots by table where they are known for certain; ``None``: no table then.
        only: The tables that are meant; ``None``: all.
    """

    branch: str
    at: datetime | None = None
    snapshots: Mapping[TableName, int | None] = field(default_factory=dict)
    only: frozenset[TableName] | None = None


@dataclass
class LakeHistory:
    """Reads states of the lake, each table's history once.

    Attributes:
        lake: The store with the branches.
        branch: The branch in whose history runs, snapshots and times are sought.
        timezone: Zone of times that name none.
    """

    lake: KeepsBranches
    branch: str
    timezone: str

    @cached_property
    def _branches(self) -> list[str]:
        return [one.name for one in self.lake.branches()]

    @cached_property
    def _histories(self) -> dict[str, dict[TableName, list[Snapshot]]]:
        return {}

    def histories(self, branch: str) -> dict[TableName, list[Snapshot]]:
        """Read the snapshots of all tables of a branch, the newest first."""
        if branch not in self._histories:
            store = self.lake.on_branch(branch)
            self._histories[branch] = {t: store.history(t) for t in store.list_tables()}
        return self._histories[branch]

    def find(self, text: str) -> LakeState:
        """Find what a user calls a state.

        Raises:
            click.UsageError: Nothing is called so, or several things are.
        """
        name, is_before = text.removesuffix(_BEFORE), text.endswith(_BEFORE)
        if name in self._branches and not is_before:
            return LakeState(name)
        found = self._commits(name)
        if found:
            return self._around(found, is_before=is_before)
        at = self._time(name)
        if at is not None and not is_before:
            return LakeState(self.branch, at)
        near = nearest(name, self._branches)
        raise click.UsageError(
            f"Nothing is called {text!r}. Expected a branch, a time such as 2025-01-15T10:00, or "
            "the id of a run or snapshot, with ^ behind it for the state before."
            + (f" Did you mean {near[0]!r}?" if near else "")
        )

    def _commits(self, name: str) -> dict[TableName, list[Snapshot]]:
        """Return snapshots of the run whose id begins so, or the snapshot of that id, by table."""
        runs = {
            run
            for history in self.histories(self.branch).values()
            for run in map(_run_of, history)
            if name and run.startswith(name)
        }
        if len(runs) > 1:
            raise click.UsageError(f"Several runs begin with {name!r}: {', '.join(sorted(runs))}.")
        found: dict[TableName, list[Snapshot]] = {
            table: [s for s in history if _run_of(s) in runs or str(s.snapshot_id) == name]
            for table, history in self.histories(self.branch).items()
        }
        return {table: snapshots for table, snapshots in found.items() if snapshots}

    def _around(self, commits: Mapping[TableName, list[Snapshot]], *, is_before: bool) -> LakeState:
        times = [s.committed_at for snapshots in commits.values() for s in snapshots]
        if is_before:
            known = {table: snapshots[-1].parent_id for table, snapshots in commits.items()}
            return LakeState(self.branch, min(times) - _INSTANT, known, frozenset(commits))
        known = {table: snapshots[0].snapshot_id for table, snapshots in commits.items()}
        return LakeState(self.branch, max(times), known, frozenset(commits))

    def _time(self, text: str) -> datetime | None:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            return None
        return at if at.tzinfo else at.replace(tzinfo=ZoneInfo(self.timezone))

    def version(self, state: LakeState, table: TableName) -> TableVersion | None:
        """Find a table's snapshot in a state; ``None`` where there was no table.

        Raises:
            TableNotFoundError: The table was there, and that state of it is no longer kept.
        """
        if table in state.snapshots:
            return self._kept(state.branch, table, state.snapshots[table])
        if table not in self.histories(state.branch):
            return None
        history = self.histories(state.branch)[table]
        if state.at is None:
            return TableVersion(state.branch, history[0].snapshot_id if history else None)
        earlier = (s.snapshot_id for s in history if s.committed_at <= state.at)
        return self._kept(state.branch, table, next(earlier, None))

    def _kept(self, branch: str, table: TableName, snapshot_id: int | None) -> TableVersion | None:
        """Refuse a state that maintenance dropped: its table would seem new."""
        history = self.histories(branch)[table]
        if any(snapshot.snapshot_id == snapshot_id for snapshot in history):
            return TableVersion(branch, snapshot_id)
        if snapshot_id is None and not (history and _had_rows_before(history[-1])):
            return None
        if history and "phlo.former-table" in history[-1].summary:
            raise _made_anew_error(table, history[-1])
        raise TableNotFoundError(
            f"That state of {table} is no longer kept: maintenance dropped it.",
            got="a state before the oldest one",
            expected=f"one since {history[-1].committed_at.isoformat(timespec='seconds')}",
            hint="PHLO_ICEBERG_KEEP_SNAPSHOT_DAYS says how long states are kept.",
            table=table,
        )

    def tables(self, *states: LakeState) -> list[TableName]:
        """List the tables that states are about: those of all runs named, else every table."""
        named = [state.only for state in states if state.only is not None]
        if named:
            return sorted(frozenset().union(*named))
        return sorted({table for state in states for table in self.histories(state.branch)})

    def compare(
        self,
        old: LakeState,
        new: LakeState,
        assets: Mapping[TableName, TableAsset],
        *,
        wanted: Collection[TableName] = (),
        samples: int,
    ) -> Iterator[ChangedTable]:
        """Compare the tables of two states, and yield those that differ."""
        for table in wanted or self.tables(old, new):
            before, after = self.version(old, table), self.version(new, table)
            if before == after:
                continue
            key = assets[table].key if table in assets else ()
            difference = self.lake.compare_versions(table, before, after, key=key, samples=samples)
            if difference.is_any or before is None or after is None:
                yield ChangedTable(_change(table, before, after), difference)


def _change(
    table: TableName, before: TableVersion | None, after: TableVersion | None
) -> TableChange:
    return TableChange(
        table,
        "created" if before is None else "dropped" if after is None else "changed",
        base_snapshot_id=before.snapshot_id if before else None,
        snapshot_id=after.snapshot_id if after else None,
    )


def _made_anew_error(table: TableName, first: Snapshot) -> TableNotFoundError:
    return TableNotFoundError(
        f"{table} was dropped and made anew by run {_run_of(first)[:8]}: it is not compared with "
        "the table before it.",
        got="a state of another table of that name",
        expected=f"one since {first.committed_at.isoformat(timespec='seconds')}",
        hint="Name the other tables by --table, or let dbt replace this one: on_table_exists is "
        "`replace` by default.",
        table=table,
    )


def _had_rows_before(snapshot: Snapshot) -> bool:
    """Return whether a snapshot followed one with rows, which its own counts still tell.

    Dropping a snapshot takes its id from the one that followed it.
    """
    names = ("total-records", "added-records", "deleted-records")
    total, added, deleted = (int(snapshot.summary.get(name, 0)) for name in names)
    return total - added + deleted > 0


def _run_of(snapshot: Snapshot) -> str:
    return snapshot.summary.get("phlo.run-id", "")
