"""Take back what a run published: all of its tables in one transaction, as new snapshots."""

# pyright: reportCallIssue=false
# pyiceberg's models take their fields by name; a type checker sees the aliases alone.

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from phlo.errors import MovedHeadError, RunNotFoundError, UndoError
from phlo.undo import UNDONE_RUNS_ENTRY, Undo, UndoneTable
from pyiceberg.catalog.sql import IcebergTables
from pyiceberg.manifest import write_manifest_list
from pyiceberg.table.locations import load_location_provider
from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRefType
from pyiceberg.table.snapshots import Operation, Snapshot, Summary
from pyiceberg.table.update import (
    AddSnapshotUpdate,
    RemovePropertiesUpdate,
    SetCurrentSchemaUpdate,
    SetPropertiesUpdate,
    SetSnapshotRefUpdate,
    TableUpdate,
)
from sqlalchemy import delete, update

from phlo_iceberg.branches.metadata import (
    StoredMetadata,
    at_new_location,
    delete_metadata,
    read_all,
    read_stored,
    rows_snapshot,
    write_all,
)
from phlo_iceberg.branches.publish import as_table
from phlo_iceberg.branches.records import is_branch, make_tables, read_bases, table_locations
from phlo_iceberg.branches.transaction import (
    NOTHING_LANDED,
    RefusedError,
    discarding,
    send_transaction,
)
from phlo_iceberg.commit.branch_lock import lock_branch
from phlo_iceberg.commit.sql import row_of, tidy
from phlo_iceberg.read.counts import ROW_COUNT_ENTRY, count_rows
from phlo_iceberg.read.state import TableState
from phlo_iceberg.write.data_files import delete_files
from phlo_iceberg.write.metadata_updates import next_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from phlo.names import TableName
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.table.metadata import TableMetadata
    from sqlalchemy.orm import Session

RUN_ENTRY = "phlo.run-id"
RESTORED_ENTRY = "phlo.restored-snapshot"
"""Entry of the summary of such a snapshot: whose state it has; empty for a table without rows."""
ATTEMPTS = 25


def plan_undo(catalog: SqlCatalog, run_id: str) -> Undo:
    """Find out what an undo would do (see :meth:`phlo.undo.UndoesRuns.plan_undo`)."""
    return _plan(catalog, run_id).undo


def undo_run(catalog: SqlCatalog, run_id: str, *, with_later: bool) -> Undo:
    """Undo a run (see :meth:`phlo.undo.UndoesRuns.undo`)."""
    make_tables(catalog)
    for _ in range(ATTEMPTS):
        plan = _plan(catalog, run_id)
        _require_possible(plan.undo, with_later=with_later)
        if _commit(catalog, plan):
            return plan.undo
    raise MovedHeadError(f"The tables of run {run_id} moved too often to take it back.")


@dataclass(frozen=True)
class _Entry:
    """One snapshot of a table that still has effect: it is of a run, or of another writer."""

    snapshot: Snapshot
    writer: str | None
    """Id of its run; else a name for the snapshot; ``None`` where it changed no row."""


@dataclass(frozen=True)
class _Line:
    """The snapshots of a table that still have effect, newest first."""

    table: TableName
    stored: StoredMetadata
    entries: tuple[_Entry, ...]

    def since(self, runs: set[str]) -> tuple[_Entry, ...]:
        """Return the snapshots from the first one of some runs on, newest first."""
        positions = [n for n, entry in enumerate(self.entries) if entry.writer in runs]
        return self.entries[: positions[-1] + 1] if positions else ()


@dataclass(frozen=True)
class _TablePlan:
    """What becomes of one table.

    Attributes:
        line: The table.
        entries: The snapshots taken back, newest first.
        before: The metadata before the first of them; ``None`` where they made the table.
        obstacle: Why it cannot be done.
    """

    line: _Line
    entries: tuple[_Entry, ...]
    before: TableMetadata | None
    obstacle: str | None = None

    @property
    def restored_id(self) -> int | None:
        """The snapshot whose state the table gets."""
        return _logical_parent(self.entries[-1].snapshot)

    @property
    def report(self) -> UndoneTable:
        """What is said of it."""
        stored = self.line.stored
        return UndoneTable(
            self.line.table,
            "dropped" if self.before is None else "restored",
            stored.metadata.current_snapshot_id,
            self.restored_id,
            tuple(dict.fromkeys(e.writer for e in self.entries if e.writer)),
            _count(self.line, stored.metadata.current_snapshot_id),
            _count(self.line, self.restored_id),
        )


@dataclass(frozen=True)
class _Plan:
    undo: Undo
    tables: tuple[_TablePlan, ...]


def _plan(catalog: SqlCatalog, run_id: str) -> _Plan:
    stored = read_all(catalog, table_locations(catalog))
    lines = [_line(table, one) for table, one in stored.items()]
    run = _find_run(lines, run_id)
    runs = _with_later_runs(lines, run)
    tables = [_plan_table(catalog, line, line.since(runs)) for line in lines if line.since(runs)]
    tables.sort(key=lambda plan: plan.line.table)
    undo = Undo(
        run,
        tuple(plan.report for plan in tables if plan.obstacle is None),
        tuple(sorted(runs - {run})),
        tuple(plan.obstacle for plan in tables if plan.obstacle is not None),
    )
    return _Plan(undo, tuple(tables))


def _line(table: TableName, stored: StoredMetadata) -> _Line:
    metadata = stored.metadata
    entries: list[_Entry] = []
    current = metadata.current_snapshot()
    while current is not None:
        entries.append(_Entry(current, _writer(current)))
        parent_id = _logical_parent(current)
        current = metadata.snapshot_by_id(parent_id) if parent_id is not None else None
    return _Line(table, stored, tuple(entries))


def _summary(snapshot: Snapshot) -> Mapping[str, str]:
    return snapshot.summary.additional_properties if snapshot.summary else {}


def _logical_parent(snapshot: Snapshot) -> int | None:
    """Return the snapshot that this one was built on; one that takes back has the restored."""
    if RESTORED_ENTRY in _summary(snapshot):
        restored = _summary(snapshot)[RESTORED_ENTRY]
        return int(restored) if restored else None
    return snapshot.parent_snapshot_id


def _writer(snapshot: Snapshot) -> str | None:
    is_replace = snapshot.summary is not None and snapshot.summary.operation is Operation.REPLACE
    if is_replace or UNDONE_RUNS_ENTRY in _summary(snapshot):
        return None
    return _summary(snapshot).get(RUN_ENTRY) or f"snapshot {snapshot.snapshot_id}"


def _find_run(lines: Iterable[_Line], run_id: str) -> str:
    writers = {entry.writer for line in lines for entry in line.entries if entry.writer}
    matching = sorted(w for w in writers if run_id and w.startswith(run_id) and " " not in w)
    if len(matching) == 1:
        return matching[0]
    raise RunNotFoundError(
        f"{'Several runs begin' if matching else 'No table holds anything of a run that begins'} "
        f"with {run_id!r}.",
        got=repr(run_id),
        expected=f"one of {matching}" if matching else "a run whose rows are there, whole or cut",
        hint="`phlo catalog history TABLE` shows the runs that wrote a table.",
        run_id=run_id,
    )


def _with_later_runs(lines: Sequence[_Line], run: str) -> set[str]:
    """Return a run with all that wrote its tables later, and theirs, and so on."""
    runs, before = {run}, set()
    while runs != before:
        before = set(runs)
        runs |= {e.writer for line in lines for e in line.since(before) if e.writer is not None}
    return runs


def _plan_table(catalog: SqlCatalog, line: _Line, entries: tuple[_Entry, ...]) -> _TablePlan:
    first = entries[-1].snapshot
    restored_id = _logical_parent(first)
    metadata = line.stored.metadata
    if restored_id is not None and metadata.snapshot_by_id(restored_id) is None:
        obstacle = f"{line.table}: its snapshot before the run has expired"
        return _TablePlan(line, entries, None, obstacle)
    earlier = list(_earlier_metadata(catalog, line.stored))
    before = next((m for m in earlier if m.snapshot_by_id(first.snapshot_id) is None), None)
    if before is None and restored_id is None and _is_whole_history(catalog, line, earlier):
        return _TablePlan(line, entries, None)
    if restored_id is None and before is not None and before.current_snapshot_id is not None:
        # Expiry takes the parent's id away too.
        obstacle = f"{line.table}: its snapshot before the run has expired"
        return _TablePlan(line, entries, None, obstacle)
    if before is None or not _is_state_of(before, metadata, restored_id):
        obstacle = (
            f"{line.table}: its properties before the run, such as the source's cursor, are no "
            "longer kept, or were published together with other runs"
        )
        return _TablePlan(line, entries, None, obstacle)
    return _TablePlan(line, entries, before)


def _earlier_metadata(catalog: SqlCatalog, stored: StoredMetadata) -> Iterator[TableMetadata]:
    """Yield the metadata that a table had before, newest first, as far as it is kept."""
    for entry in reversed(stored.metadata.metadata_log):
        try:
            yield read_stored(catalog, entry.metadata_file).metadata
        except FileNotFoundError:
            return


def _is_whole_history(catalog: SqlCatalog, line: _Line, earlier: Sequence[TableMetadata]) -> bool:
    """Return whether a table's first metadata is among those that are kept."""
    oldest = earlier[-1] if earlier else line.stored.metadata
    began_on_source = is_branch(catalog) and line.table in read_bases(catalog)
    return not oldest.metadata_log and not began_on_source


def _is_state_of(before: TableMetadata, now: TableMetadata, restored_id: int | None) -> bool:
    """Return whether earlier metadata has the rows of a snapshot."""
    return _origin(before, before.current_snapshot_id) == _origin(now, restored_id)


def _origin(metadata: TableMetadata, snapshot_id: int | None) -> int | None:
    """Return the load that gave a snapshot its rows: joining files and undoing gave it none."""
    while snapshot_id is not None:
        at_snapshot = metadata.model_copy(update={"current_snapshot_id": snapshot_id})
        snapshot_id = rows_snapshot(at_snapshot)
        snapshot = metadata.snapshot_by_id(snapshot_id or -1)
        if snapshot is None or RESTORED_ENTRY not in _summary(snapshot):
            return snapshot_id
        snapshot_id = _logical_parent(snapshot)
    return None


def _count(line: _Line, snapshot_id: int | None) -> int:
    return count_rows(TableState(line.table, line.stored.metadata, line.stored.io, snapshot_id))


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


# -- the commit


@dataclass
class _Swap:
    """One table's row: its next metadata, or ``None`` where the table is dropped."""

    plan: _TablePlan
    new: StoredMetadata | None
    written: list[str] = field(default_factory=list)


def _commit(catalog: SqlCatalog, plan: _Plan) -> bool:
    """Swap all tables; ``False`` where one moved meanwhile."""
    swaps: list[_Swap] = []
    try:
        with discarding(lambda: _delete_written(swaps), BaseException):
            for table in plan.tables:
                swaps.append(_next(catalog, table, plan.undo))
            write_all(catalog, {s.plan.line.table: s.new for s in swaps if s.new is not None})
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
            tidy(catalog, as_table(catalog, swap.plan.line.stored), as_table(catalog, swap.new))
    return True


def _delete_written(swaps: Sequence[_Swap]) -> None:
    for swap in swaps:
        if swap.new is not None:
            delete_metadata([swap.new])
            delete_files(swap.new.io, swap.written)


def _next(catalog: SqlCatalog, plan: _TablePlan, undo: Undo) -> _Swap:
    if plan.before is None:
        return _Swap(plan, None)
    stored, written = plan.line.stored, []
    snapshot = _restoring_snapshot(stored, plan, undo, written)
    updates = [*_updates(stored.metadata, plan.before), *_to_snapshot(snapshot)]
    metadata = next_metadata(as_table(catalog, stored), updates)
    return _Swap(plan, at_new_location(catalog, stored.location, metadata, stored.io), written)


def _restoring_snapshot(
    stored: StoredMetadata, plan: _TablePlan, undo: Undo, written: list[str]
) -> Snapshot:
    """Write a manifest list that names the manifests of the restored snapshot."""
    metadata, restored = stored.metadata, None
    if plan.restored_id is not None:
        restored = metadata.snapshot_by_id(plan.restored_id)
    assert plan.before is not None
    snapshot_id, head = metadata.new_snapshot_id(), metadata.current_snapshot_id
    sequence_number = metadata.next_sequence_number()
    locations = load_location_provider(metadata.location, metadata.properties)
    path = locations.new_metadata_location(f"snap-{snapshot_id}-0-{uuid.uuid4()}.avro")
    written.append(path)
    with write_manifest_list(
        format_version=metadata.format_version,
        output_file=stored.io.new_output(path),
        snapshot_id=snapshot_id,
        parent_snapshot_id=head,
        sequence_number=sequence_number,
        avro_compression="deflate",
    ) as writer:
        writer.add_manifests(restored.manifests(stored.io) if restored else [])
    return Snapshot(
        snapshot_id=snapshot_id,
        parent_snapshot_id=head,
        manifest_list=path,
        sequence_number=sequence_number,
        summary=_restoring_summary(plan, restored, undo),
        schema_id=plan.before.current_schema_id,
    )


def _restoring_summary(plan: _TablePlan, restored: Snapshot | None, undo: Undo) -> Summary:
    known = _summary(restored) if restored else {}
    totals = {name: value for name, value in known.items() if name.startswith("total-")}
    entries = {
        UNDONE_RUNS_ENTRY: ",".join((undo.run_id, *undo.later_runs)),
        RESTORED_ENTRY: str(plan.restored_id or ""),
        ROW_COUNT_ENTRY: str(_count(plan.line, plan.restored_id)),
    }
    return Summary(operation=Operation.OVERWRITE, **totals, **entries)


def _to_snapshot(snapshot: Snapshot) -> tuple[TableUpdate, ...]:
    return (
        AddSnapshotUpdate(snapshot=snapshot),
        SetSnapshotRefUpdate(
            snapshot_id=snapshot.snapshot_id, ref_name=MAIN_BRANCH, type=SnapshotRefType.BRANCH
        ),
    )


def _updates(now: TableMetadata, before: TableMetadata) -> Iterator[TableUpdate]:
    """Yield what makes schema and properties those of earlier metadata."""
    if now.current_schema_id != before.current_schema_id:
        yield SetCurrentSchemaUpdate(schema_id=before.current_schema_id)
    if gone := [name for name in now.properties if name not in before.properties]:
        yield RemovePropertiesUpdate(removals=gone)
    changed = {k: v for k, v in before.properties.items() if now.properties.get(k) != v}
    if changed:
        yield SetPropertiesUpdate(updates=changed)


def _swap_rows(session: Session, catalog: SqlCatalog, swaps: Sequence[_Swap]) -> None:
    if is_branch(catalog) and not lock_branch(session, catalog.name):
        raise RefusedError(catalog.name)
    for swap in swaps:
        line = swap.plan.line
        same = (
            *row_of(catalog, line.table),
            IcebergTables.metadata_location == line.stored.location,
        )
        statement = (
            delete(IcebergTables).where(*same)
            if swap.new is None
            else update(IcebergTables)
            .where(*same)
            .values(
                metadata_location=swap.new.location,
                previous_metadata_location=line.stored.location,
            )
        )
        if session.execute(statement).rowcount != 1:  # pyright: ignore[reportAttributeAccessIssue]
            raise RefusedError(line.table)
