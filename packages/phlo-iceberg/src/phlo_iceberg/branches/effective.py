"""List the snapshots of a table whose changes stand: those that an undo took back do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from phlo.undo import UNDONE_RUNS_ENTRY
from pyiceberg.table.snapshots import Operation, Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phlo.names import TableName
    from pyiceberg.table.metadata import TableMetadata

    from phlo_iceberg.branches.metadata import StoredMetadata

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
    """

    snapshot: Snapshot
    writer: str | None


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


def read_history(table: TableName, stored: StoredMetadata) -> EffectiveHistory:
    """Follow a table's snapshots from its head back, around those that were taken back."""
    snapshots: list[EffectiveSnapshot] = []
    current = stored.metadata.current_snapshot()
    while current is not None:
        snapshots.append(EffectiveSnapshot(current, _writer(current)))
        current = _snapshot_by_id(stored.metadata, logical_parent(current))
    return EffectiveHistory(table, stored, tuple(snapshots))


def _snapshot_by_id(metadata: TableMetadata, snapshot_id: int | None) -> Snapshot | None:
    return metadata.snapshot_by_id(snapshot_id) if snapshot_id is not None else None


def logical_parent(snapshot: Snapshot) -> int | None:
    """Return the snapshot that this one adds to; for an undo's snapshot, the one it restored."""
    summary = summary_of(snapshot)
    if RESTORED_ENTRY in summary:
        return int(summary[RESTORED_ENTRY]) if summary[RESTORED_ENTRY] else None
    return snapshot.parent_snapshot_id


def summary_of(snapshot: Snapshot) -> Mapping[str, str]:
    """Return the entries of a snapshot's summary."""
    return snapshot.summary.additional_properties if snapshot.summary else {}


def _writer(snapshot: Snapshot) -> str | None:
    is_replace = snapshot.summary is not None and snapshot.summary.operation is Operation.REPLACE
    if is_replace or UNDONE_RUNS_ENTRY in summary_of(snapshot):
        return None
    return summary_of(snapshot).get(RUN_ENTRY) or f"snapshot {snapshot.snapshot_id}"
