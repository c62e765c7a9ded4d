"""Take back what a run published: all of its tables in one transaction, as new snapshots."""

# pyright: reportCallIssue=false
# pyiceberg's models take their fields by name; a type checker sees the aliases alone.

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from phlo.errors import MovedHeadError, UndoError
from phlo.undo import UNDONE_RUNS_ENTRY, Undo
from pyiceberg.catalog.sql import IcebergTables
from pyiceberg.manifest import write_manifest_list
from pyiceberg.table.locations import load_location_provider
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.snapshots import Operation, Snapshot, Summary
from pyiceberg.table.update import (
    RemovePropertiesUpdate,
    SetCurrentSchemaUpdate,
    SetDefaultSortOrderUpdate,
    SetDefaultSpecUpdate,
    SetPropertiesUpdate,
    TableUpdate,
)
from sqlalchemy import delete, update

from phlo_iceberg.branches.effective import RESTORED_ENTRY, summary_of
from phlo_iceberg.branches.metadata import (
    StoredMetadata,
    at_new_location,
    delete_metadata,
    write_all,
)
from phlo_iceberg.branches.publish import as_table
from phlo_iceberg.branches.records import is_branch, make_tables
from phlo_iceberg.branches.transaction import (
    NOTHING_LANDED,
    RefusedError,
    discarding,
    send_transaction,
)
from phlo_iceberg.branches.undo_plan import plan_undo
from phlo_iceberg.commit.branch_lock import lock_branch
from phlo_iceberg.commit.sql import row_of, tidy
from phlo_iceberg.read.counts import ROW_COUNT_ENTRY
from phlo_iceberg.write.files import delete_files
from phlo_iceberg.write.metadata_updates import next_metadata
from phlo_iceberg.write.stage import snapshot_updates

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.table.metadata import TableMetadata
    from sqlalchemy.orm import Session

    from phlo_iceberg.branches.undo_plan import TableUndo, UndoPlan

ATTEMPTS = 25


def undo_run(catalog: SqlCatalog, run_id: str, *, with_later: bool) -> Undo:
    """Undo a run (see :meth:`phlo.undo.UndoesRuns.undo`)."""
    make_tables(catalog)
    for _ in range(ATTEMPTS):
        plan = plan_undo(catalog, run_id)
        _require_possible(plan.undo, with_later=with_later)
        if _commit(catalog, plan):
            return plan.undo
    raise MovedHeadError(f"The tables of run {run_id} moved too often to take it back.")


def _require_possible(undo: Undo, *, with_later: bool) -> None:
    if undo.obstacles:
        raise UndoError(
            f"Run {undo.run_id} cannot be taken back; nothing was changed.\n"
            + "\n".join(f"  {obstacle}" for obstacle in undo.obstacles),
            hint="Load the days that it loaded again, with a function that gives the right rows.",
            undo=undo,
        )
    if undo.later_runs and not with_later:
        raise UndoError(
            f"Later runs stand on what run {undo.run_id} published; nothing was changed.\n"
            + "\n".join(f"  {run}" for run in undo.later_runs),
            hint=f"`phlo undo {undo.run_id[:8]} --with-later` takes them back as well.",
            undo=undo,
        )


@dataclass
class _Swap:
    """One table's row: the metadata that it will name, or ``None`` where the table is dropped."""

    table: TableUndo
    new: StoredMetadata | None
    manifest_lists: list[str] = field(default_factory=list)

    @property
    def stored(self) -> StoredMetadata:
        """The table's metadata as it is."""
        return self.table.history.stored


def _commit(catalog: SqlCatalog, plan: UndoPlan) -> bool:
    """Swap all tables; ``False`` where one moved meanwhile."""
    swaps: list[_Swap] = []
    try:
        with discarding(lambda: _delete_written(swaps), BaseException):
            for table in plan.tables:
                swaps.append(_prepare(catalog, table, plan.undo))
            new = {s.table.history.table: s.new for s in swaps if s.new is not None}
            write_all(catalog, new)
        with discarding(lambda: _delete_written(swaps), NOTHING_LANDED):
            send_transaction(
                catalog,
                f"take back run {plan.undo.run_id}",
                lambda session: _swap_rows(session, catalog, swaps),
            )
    except RefusedError:
        return False
    for swap in swaps:
        if swap.new is not None:
            tidy(catalog, as_table(catalog, swap.stored), as_table(catalog, swap.new))
    return True


def _delete_written(swaps: Sequence[_Swap]) -> None:
    for swap in swaps:
        if swap.new is not None:
            delete_metadata([swap.new])
            delete_files(swap.new.io, swap.manifest_lists)


def _prepare(catalog: SqlCatalog, table: TableUndo, undo: Undo) -> _Swap:
    """Build a table's next metadata, and write the manifest list that it names."""
    if table.before is None:
        return _Swap(table, None)
    stored, written = table.stored, []
    snapshot = _restoring_snapshot(table, table.before, undo, written)
    updates = [
        *_restoring_updates(stored.metadata, table.before),
        *snapshot_updates(snapshot, MAIN_BRANCH),
    ]
    metadata = next_metadata(as_table(catalog, stored), updates)
    return _Swap(table, at_new_location(catalog, stored.location, metadata, stored.io), written)


def _restoring_snapshot(
    table: TableUndo, before: TableMetadata, undo: Undo, written: list[str]
) -> Snapshot:
    """Build a snapshot that has the manifests of the restored one."""
    metadata, io = table.stored.metadata, table.stored.io
    restored = metadata.snapshot_by_id(table.restored_id) if table.restored_id else None
    snapshot_id, head = metadata.new_snapshot_id(), metadata.current_snapshot_id
    sequence_number = metadata.next_sequence_number()
    locations = load_location_provider(metadata.location, metadata.properties)
    path = locations.new_metadata_location(f"snap-{snapshot_id}-0-{uuid.uuid4()}.avro")
    written.append(path)
    with write_manifest_list(
        format_version=metadata.format_version,
        output_file=io.new_output(path),
        snapshot_id=snapshot_id,
        parent_snapshot_id=head,
        sequence_number=sequence_number,
        avro_compression="deflate",
    ) as writer:
        writer.add_manifests(restored.manifests(io) if restored else [])
    return Snapshot(
        snapshot_id=snapshot_id,
        parent_snapshot_id=head,
        manifest_list=path,
        sequence_number=sequence_number,
        summary=_restoring_summary(table, restored, undo),
        schema_id=before.current_schema_id,
    )


def _restoring_summary(table: TableUndo, restored: Snapshot | None, undo: Undo) -> Summary:
    known = summary_of(restored) if restored else {}
    totals = {name: value for name, value in known.items() if name.startswith("total-")}
    entries = {
        UNDONE_RUNS_ENTRY: ",".join((undo.run_id, *undo.later_runs)),
        RESTORED_ENTRY: str(table.restored_id or ""),
        ROW_COUNT_ENTRY: str(table.restored_row_count),
    }
    return Summary(operation=Operation.OVERWRITE, **totals, **entries)


def _restoring_updates(now: TableMetadata, before: TableMetadata) -> Iterator[TableUpdate]:
    """Yield what gives a table the schema, partitions, order and properties of earlier metadata."""
    if now.current_schema_id != before.current_schema_id:
        yield SetCurrentSchemaUpdate(schema_id=before.current_schema_id)
    if now.default_spec_id != before.default_spec_id:
        yield SetDefaultSpecUpdate(spec_id=before.default_spec_id)
    if now.default_sort_order_id != before.default_sort_order_id:
        yield SetDefaultSortOrderUpdate(sort_order_id=before.default_sort_order_id)
    if gone := [name for name in now.properties if name not in before.properties]:
        yield RemovePropertiesUpdate(removals=gone)
    changed = {k: v for k, v in before.properties.items() if now.properties.get(k) != v}
    if changed:
        yield SetPropertiesUpdate(updates=changed)


def _swap_rows(session: Session, catalog: SqlCatalog, swaps: Sequence[_Swap]) -> None:
    """Let the catalog name the new metadata of every table.

    Raises:
        RefusedError: A table moved, or the branch is gone.
    """
    if is_branch(catalog) and not lock_branch(session, catalog.name):
        raise RefusedError(catalog.name)
    for swap in swaps:
        name, old = swap.table.history.table, swap.stored.location
        same = (*row_of(catalog, name), IcebergTables.metadata_location == old)
        values = (
            {"metadata_location": swap.new.location, "previous_metadata_location": old}
            if swap.new is not None
            else None
        )
        statement = (
            update(IcebergTables).where(*same).values(**values)
            if values
            else (delete(IcebergTables).where(*same))
        )
        if session.execute(statement).rowcount != 1:  # pyright: ignore[reportAttributeAccessIssue]
            raise RefusedError(name)
