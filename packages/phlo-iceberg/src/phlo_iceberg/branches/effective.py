"""List the snapshots of a table whose changes stand: those that an undo took back do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from phlo.errors import UnreadableTableError
from phlo.undo import UNDONE_RUNS_ENTRY
from pyiceberg.table.snapshots import Operation, Snapshot

from phlo_iceberg.branches.metadata import FORMER_TABLE_ENTRY, StoredMetadata, read_stored
from phlo_iceberg.read.metadata import previous_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phlo.names import TableName
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.table.metadata import TableMetadata

RUN_ENTRY = "phlo.run-id"
RESTORED_ENTRY = "phlo.restored-snapshot"
"""Summary entry of an undo's snapshot: the snapshot whose rows it has; empty for no rows."""


@dataclass(frozen=True)
class EffectiveSnapshot:
    """One snapshot whose changes still stand.

    Attributes:
        snapshot: The snapshot.
        writer: Id of the run that wrote it, else a name for the snapshot; ``None`` where it
            changed no row, as joining files and undoing do.
        stored: The metadata that has it: the table's, or that of a former table of its name.
    """

    snapshot: Snapshot
    writer: str | None
    stored: StoredMetadata


@dataclass(frozen=True)
class EffectiveHistory:
    """The snapshots of a table whose changes still stand, newest first."""

    table: TableName
    stored: StoredMetadata
    snapshots: tuple[EffectiveSnapshot, ...]

    def since(self, writers: set[str]) -> tuple[EffectiveSnapshot, ...]:
        """Return the snapshots from the first one by any of these writers on, newest first."""
        positions = [n for n, one in enumerate(self.snapshots) if one.writer in writers]
        return self.snapshots[: positions[-1] + 1] if positions else ()


def read_history(catalog: SqlCatalog, table: TableName, stored: StoredMetadata) -> EffectiveHistory:
    """Follow a table's snapshots from its head back, around those that were taken back.

    Where a run made the table anew, they go on with those of the former table, while it is there.
    """
    snapshots: list[EffectiveSnapshot] = []
    holder, current = stored, stored.metadata.current_snapshot()
    while current is not None:
        snapshots.append(EffectiveSnapshot(current, _writer(current), holder))
        if former := read_former(catalog, current):
            holder, current = former, former.metadata.current_snapshot()
        else:
            current = _snapshot_by_id(holder.metadata, logical_parent(current))
    return EffectiveHistory(table, stored, tuple(snapshots))


def read_former(catalog: SqlCatalog, first: Snapshot) -> StoredMetadata | None:
    """Read the table whose place a first snapshot took; ``None`` where it is no longer there."""
    location = summary_of(first).get(FORMER_TABLE_ENTRY)
    try:
        return read_stored(catalog, location) if location else None
    except (FileNotFoundError, UnreadableTableError):
        return None


def _snapshot_by_id(metadata: TableMetadata, snapshot_id: int | None) -> Snapshot | None:
    return metadata.snapshot_by_id(snapshot_id) if snapshot_id is not None else None


def logical_parent(snapshot: Snapshot) -> int | None:
    """Return the snapshot that this one adds to; for an undo's snapshot, the one it restored."""
    summary = summary_of(snapshot)
    if RESTORED_ENTRY in summary:
        return int(summary[RESTORED_ENTRY]) if summary[RESTORED_ENTRY] else None
    return previous_id(snapshot)


def summary_of(snapshot: Snapshot) -> Mapping[str, str]:
    """Return the entries of a snapshot's summary."""
    return snapshot.summary.additional_properties if snapshot.summary else {}


def _writer(snapshot: Snapshot) -> str | None:
    is_replace = snapshot.summary is not None and snapshot.summary.operation is Operation.REPLACE
    if is_replace or UNDONE_RUNS_ENTRY in summary_of(snapshot):
        return None
    return summary_of(snapshot).get(RUN_ENTRY) or f"snapshot {snapshot.snapshot_id}"
