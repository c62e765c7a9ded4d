"""Write the loads of a branch anew onto its source's state of a table that both sides changed.

What each load wrote is read from its snapshot, and staged again on top of what the source has now,
in the order of the loads. A load of which that cannot be known to give what it would have given
there is an obstacle: its table stays a conflict.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from phlo.errors import UnreadableTableError
from phlo.names import STRATEGY_PROPERTY
from phlo.values import LoadAccount
from pyiceberg.table.update import RemovePropertiesUpdate, SetPropertiesUpdate

from phlo_iceberg.branches.effective import RESTORED_ENTRY, read_history, summary_of
from phlo_iceberg.branches.metadata import (
    StoredMetadata,
    at_new_location,
    copy_for,
    delete_metadata,
    read_stored,
    write_all,
)
from phlo_iceberg.branches.names import BRANCH_PROPERTY
from phlo_iceberg.branches.publish import as_table
from phlo_iceberg.branches.replay import LoadReplay, ObstacleError, SourceChanges
from phlo_iceberg.branches.transaction import discarding
from phlo_iceberg.pyiceberg_private import apply_updates, collected_updates
from phlo_iceberg.read.state import TableState
from phlo_iceberg.write.files import delete_files
from phlo_iceberg.write.metadata_updates import SchemaTransaction, next_metadata
from phlo_iceberg.write.stage import Target, own_entries, stage_load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from phlo.names import TableName
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.schema import Schema
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot
    from pyiceberg.table.update import TableUpdate
    from pyiceberg.types import NestedField

    from phlo_iceberg.branches.changes import Comparison


@dataclass
class RebasedTable:
    """A branch's table as it will be: the source's state, with the branch's loads on top.

    Attributes:
        table: The table.
        source: The source's state that it begins from.
        steps: Its metadata files, oldest first: a copy of the source's, then one per load.
        files: Paths of all other files that were written for it.
    """

    table: TableName
    source: StoredMetadata
    steps: list[StoredMetadata]
    files: list[str] = field(default_factory=list)

    def write(self, branch: SqlCatalog) -> None:
        """Write the metadata files."""
        for step in self.steps:
            write_all(branch, {self.table: step})

    def delete_files(self) -> None:
        """Delete everything that was written."""
        delete_metadata(self.steps)
        delete_files(self.source.io, self.files)

    def append_step(self, branch: SqlCatalog, updates: list[TableUpdate]) -> None:
        """Add the metadata that follows the newest by these updates."""
        last = self.steps[-1]
        metadata = next_metadata(as_table(branch, last), updates)
        self.steps.append(at_new_location(branch, last.location, metadata, last.io))


def rebase_table(branch: SqlCatalog, one: Comparison) -> RebasedTable:
    """Write a branch's loads of a table anew on top of its source's state.

    Args:
        branch: The branch's catalog.
        one: A table that both sides changed.

    Returns:
        The table as it will be; its metadata is not written yet.

    Raises:
        ObstacleError: The loads cannot be written anew; nothing is left of the attempt.
    """
    on_branch, source = _require_both(one)
    base = _read_base(branch, one)
    properties = _merged_properties(base, on_branch.metadata, source.metadata)
    _refuse_changed_columns(base, on_branch.metadata, source.metadata)
    loads = _loads_since_base(branch, one, on_branch, base)
    rebased = RebasedTable(one.table, source, [copy_for(branch, source)])
    with discarding(rebased.delete_files, BaseException):
        _replay_all(branch, one, loads, rebased)
        if updates := list(_property_updates(rebased.steps[-1].metadata, properties)):
            rebased.append_step(branch, updates)
    return rebased


def _replay_all(
    branch: SqlCatalog, one: Comparison, loads: list[Snapshot], rebased: RebasedTable
) -> None:
    assert one.branch is not None
    changes = SourceChanges(one.table, rebased.source, _base_snapshot_id(one))
    with tempfile.TemporaryDirectory(prefix="phlo-rebase-") as folder:
        for number, snapshot in enumerate(loads):
            before, after = (
                TableState(one.table, one.branch.metadata, one.branch.io, snapshot_id)
                for snapshot_id in (snapshot.parent_snapshot_id, snapshot.snapshot_id)
            )
            file = Path(folder) / f"{number}.parquet"
            _stage(branch, rebased, snapshot, LoadReplay(before, after, changes, file))


def _stage(
    branch: SqlCatalog, rebased: RebasedTable, snapshot: Snapshot, replay: LoadReplay
) -> None:
    """Stage one load on top of the newest step."""
    rows, how, keeps_account = replay.rows_and_how(summary_of(snapshot))
    if rows is None:
        return
    last = rebased.steps[-1]
    handle = as_table(branch, last)
    updates = _missing_columns(handle, replay.after.schema)
    target = Target(
        rebased.table, handle, last.metadata, updates, apply_updates(last.metadata, updates)
    )
    entries, account = own_entries(snapshot), _unwritten_rows(summary_of(snapshot))
    if not keeps_account:
        entries = {k: v for k, v in entries.items() if k not in _ACCOUNT_ENTRIES}
    staged = stage_load(target, rows, how, account=account, properties={}, summary=entries)
    rebased.files.extend(staged.change.written)
    if changes := [*updates, *staged.snapshot_updates()]:
        rebased.append_step(branch, changes)


def _unwritten_rows(summary: Mapping[str, str]) -> LoadAccount:
    """Return a load's account without the rows that it wrote or deleted, which are counted anew."""
    account = LoadAccount.of_summary(summary) or LoadAccount()
    return replace(account, inserted=0, updated=0, deleted=0, removed=0, out_of_order=0)


_ACCOUNT_ENTRIES = {f"phlo.{name}" for name in LoadAccount().as_dict()}


def _require_both(one: Comparison) -> tuple[StoredMetadata, StoredMetadata]:
    if one.branch is None or one.source is None:
        raise ObstacleError("one side dropped it")
    is_same = one.branch.metadata.table_uuid == one.source.metadata.table_uuid
    if one.base is not None and not is_same:
        raise ObstacleError("one side dropped it and made it anew")
    return one.branch, one.source


def _base_snapshot_id(one: Comparison) -> int | None:
    return one.base.base_snapshot_id if one.base is not None else None


def _read_base(branch: SqlCatalog, one: Comparison) -> TableMetadata | None:
    """Read the metadata that both sides began from, from whichever file of it is still kept.

    Returns:
        ``None`` for a table that both sides made.
    """
    if one.base is None:
        return None
    for location in (one.base.branch_location, one.base.base_location):
        try:
            base = read_stored(branch, location).metadata
        except (FileNotFoundError, UnreadableTableError):
            continue
        return base
    raise ObstacleError("the metadata that both sides began from is no longer kept")


def _loads_since_base(
    branch: SqlCatalog, one: Comparison, on_branch: StoredMetadata, base: TableMetadata | None
) -> list[Snapshot]:
    """List the branch's loads since it began, oldest first; joining files and undoing are none."""
    loads: list[Snapshot] = []
    entries = read_history(branch, one.table, on_branch).snapshots
    history = [entry for entry in entries if entry.stored is on_branch]
    for entry in history:
        if entry.snapshot.snapshot_id == _base_snapshot_id(one):
            return loads[::-1]
        if entry.writer is not None:
            loads.append(entry.snapshot)
    if _base_snapshot_id(one) is None and (not history or _is_first(history[-1].snapshot, base)):
        return loads[::-1]
    raise ObstacleError("the branch took back what it began from, or its snapshots have expired")


def _is_first(snapshot: Snapshot, base: TableMetadata | None) -> bool:
    """Return whether no snapshot with rows came before: one that expired leaves no other trace."""
    if summary_of(snapshot).get(RESTORED_ENTRY) == "":
        return True
    # Tables of format 1 have no sequence numbers.
    before = getattr(base, "last_sequence_number", 0)
    return snapshot.sequence_number == before + 1


# -- properties and columns


def _merged_properties(
    base: TableMetadata | None, on_branch: TableMetadata, source: TableMetadata
) -> dict[str, str]:
    """Merge the properties of both sides.

    Raises:
        ObstacleError: Both sides set one of them to different values.
    """
    merged: dict[str, str] = {}
    sides = [base.properties if base else {}, on_branch.properties, source.properties]
    for name in set().union(*sides) - {BRANCH_PROPERTY}:
        before, ours, theirs = (properties.get(name) for properties in sides)
        # The strategy is that of the last load, and the branch's loads come last.
        is_one_sided = name == STRATEGY_PROPERTY or theirs == before
        if ours not in (before, theirs) and not is_one_sided:
            raise ObstacleError(f"both sides set its property {name!r}{_CURSOR.get(name, '')}")
        value = theirs if ours == before else ours
        if value is not None:
            merged[name] = value
    return merged


_CURSOR = {"phlo.dlt-state": ", the cursor of its source"}


def _property_updates(now: TableMetadata, merged: Mapping[str, str]) -> Iterator[TableUpdate]:
    gone = [n for n in now.properties if n not in merged and n != BRANCH_PROPERTY]
    changed = {k: v for k, v in merged.items() if now.properties.get(k) != v}
    if gone:
        yield RemovePropertiesUpdate(removals=gone)
    if changed:
        yield SetPropertiesUpdate(updates=changed)


def _refuse_changed_columns(
    base: TableMetadata | None, on_branch: TableMetadata, source: TableMetadata
) -> None:
    """Allow nothing but new columns on either side, and those of one name with one type."""
    if base is not None:
        _refuse_changed_base(base, on_branch, source)
    known = {f.name: f for f in source.schema().fields}
    for column in on_branch.schema().fields:
        other = known.get(column.name, column)
        if str(other.field_type) != str(column.field_type):
            raise ObstacleError(f"both sides added the column {column.name!r}, with other types")


def _refuse_changed_base(
    base: TableMetadata, on_branch: TableMetadata, source: TableMetadata
) -> None:
    if base.spec() != on_branch.spec():
        raise ObstacleError("the branch partitioned it in another way")
    for side, metadata in (("the branch", on_branch), ("the source", source)):
        if changed := _changed_columns(base.schema(), metadata.schema()):
            raise ObstacleError(f"{side} renamed, dropped or retyped the column {changed[0]!r}")


def _changed_columns(base: Schema, now: Schema) -> list[str]:
    after = {f.field_id: _content(f) for f in now.fields}
    return [f.name for f in base.fields if after.get(f.field_id) != _content(f)]


def _content(column: NestedField) -> tuple[str, str, bool]:
    return column.name, str(column.field_type), column.required


def _missing_columns(handle, wanted: Schema) -> tuple[TableUpdate, ...]:  # noqa: ANN001
    """Build the updates that add the columns which a table lacks."""
    known = set(handle.schema().column_names)
    transaction = SchemaTransaction(handle)
    with transaction.update_schema() as update:
        for column in (f for f in wanted.fields if f.name not in known):
            update.add_column(column.name, column.field_type, column.doc)
    return collected_updates(transaction)
