"""Find out what undoing a run would do to the tables that it published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from phlo.errors import RunNotFoundError, UnreadableTableError
from phlo.names import MAIN
from phlo.undo import Undo, UndoneTable

from phlo_iceberg.branches.effective import (
    RESTORED_ENTRY,
    EffectiveHistory,
    EffectiveSnapshot,
    logical_parent,
    read_former,
    read_history,
    summary_of,
)
from phlo_iceberg.branches.metadata import (
    FORMER_TABLE_ENTRY,
    read_all,
    read_stored,
    rows_snapshot,
)
from phlo_iceberg.branches.names import branch_name, open_branch
from phlo_iceberg.branches.records import (
    is_branch,
    read_bases,
    require_branch,
    table_locations,
)
from phlo_iceberg.read.counts import count_rows
from phlo_iceberg.read.state import TableState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from phlo.names import TableName
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.table.metadata import TableMetadata

    from phlo_iceberg.branches.metadata import StoredMetadata


@dataclass(frozen=True)
class TableUndo:
    """What an undo does to one table.

    Attributes:
        history: The table's snapshots that stand.
        undone: The snapshots that are taken back, newest first.
        before: The metadata from before the first of them; ``None`` where they made the table.
        obstacle: Why they cannot be taken back; ``None`` where they can.
        former: The table that had the name before, where one of them made it anew in a folder of
            its own; it returns.
    """

    history: EffectiveHistory
    undone: tuple[EffectiveSnapshot, ...]
    before: TableMetadata | None
    obstacle: str | None = None
    former: StoredMetadata | None = None

    @property
    def stored(self) -> StoredMetadata:
        """The metadata that the undo adds to."""
        return self.former or self.history.stored

    @property
    def restored_id(self) -> int | None:
        """The snapshot whose rows the table gets; ``None`` for none."""
        return logical_parent(self.undone[-1].snapshot)

    @property
    def restored_row_count(self) -> int:
        """The table's rows after the undo."""
        return _count(self.history.table, self.stored, self.restored_id)

    @property
    def report(self) -> UndoneTable:
        """What is told of it."""
        stored = self.history.stored
        head = stored.metadata.current_snapshot_id
        return UndoneTable(
            self.history.table,
            "dropped" if self.before is None else "restored",
            head,
            self.restored_id,
            tuple(dict.fromkeys(one.writer for one in self.undone if one.writer)),
            _count(self.history.table, stored, head),
            self.restored_row_count,
        )


@dataclass(frozen=True)
class UndoPlan:
    """What an undo does.

    Attributes:
        undo: What is told of it.
        tables: What it does to each table, sorted by name.
    """

    undo: Undo
    tables: tuple[TableUndo, ...]


def plan_undo(catalog: SqlCatalog, run_id: str) -> UndoPlan:
    """Plan the undo of a run, and of all later runs that stand on it.

    Raises:
        RunNotFoundError: No table has anything of such a run, or several runs begin so.
    """
    stored = read_all(catalog, table_locations(catalog))
    histories = [read_history(catalog, table, one) for table, one in stored.items()]
    run = _find_run(histories, run_id)
    runs = _with_later_runs(histories, run)
    tables = sorted(
        (
            _plan_table(catalog, history, history.since(runs))
            for history in histories
            if history.since(runs)
        ),
        key=lambda table: table.history.table,
    )
    undo = Undo(
        run,
        tuple(table.report for table in tables if table.obstacle is None),
        tuple(sorted(runs - {run})),
        tuple(table.obstacle for table in tables if table.obstacle is not None),
    )
    return UndoPlan(undo, tuple(tables))


def _find_run(histories: Iterable[EffectiveHistory], run_id: str) -> str:
    writers = {one.writer for history in histories for one in history.snapshots if one.writer}
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


def _with_later_runs(histories: Sequence[EffectiveHistory], run: str) -> set[str]:
    """Return a run with all that wrote its tables later, and those that wrote theirs, and so on."""
    runs, before = {run}, set()
    while runs != before:
        before = set(runs)
        later = (one for history in histories for one in history.since(before))
        runs |= {one.writer for one in later if one.writer is not None}
    return runs


def _plan_table(
    catalog: SqlCatalog, history: EffectiveHistory, undone: tuple[EffectiveSnapshot, ...]
) -> TableUndo:
    first, stored = undone[-1].snapshot, undone[-1].stored
    if FORMER_TABLE_ENTRY in summary_of(first):
        return _plan_former(history, undone, read_former(catalog, first))
    former = stored if stored is not history.stored else None
    if former is not None and not _has_all_files(history.table, former):
        return TableUndo(history, undone, None, _expired(history))
    metadata, restored_id = stored.metadata, logical_parent(first)
    if restored_id is not None and metadata.snapshot_by_id(restored_id) is None:
        return TableUndo(history, undone, None, _expired(history))
    log = _read_log(catalog, history.table, stored)
    before = next((m for m in log.earlier if m.snapshot_by_id(first.snapshot_id) is None), None)
    if before is None and restored_id is None and log.is_whole:
        return TableUndo(history, undone, None)
    if restored_id is None and before is not None and before.current_snapshot_id is not None:
        # Where a parent has expired, its child no longer names it.
        return TableUndo(history, undone, None, _expired(history))
    if before is None or not _has_rows_of(before, metadata, restored_id):
        obstacle = (
            f"{history.table}: its properties before the run, such as the source's cursor, are no "
            "longer kept, or were published together with other runs"
        )
        return TableUndo(history, undone, None, obstacle)
    return TableUndo(history, undone, before, former=former)


def _plan_former(
    history: EffectiveHistory,
    undone: tuple[EffectiveSnapshot, ...],
    former: StoredMetadata | None,
) -> TableUndo:
    """Plan the return of the table that had the name before, if all of its files are there."""
    if former is None or not _has_all_files(history.table, former):
        return TableUndo(history, undone, None, _expired(history))
    return TableUndo(history, undone, former.metadata, former=former)


def _has_all_files(table: TableName, stored: StoredMetadata) -> bool:
    """Return whether the files of a table that no catalog names are still there."""
    head = stored.metadata.current_snapshot_id
    try:
        tasks = TableState(table, stored.metadata, stored.io, head).tasks()
    except UnreadableTableError:
        return False
    files = {f.file_path for task in tasks for f in (task.file, *task.delete_files)}
    return all(stored.io.new_input(path).exists() for path in files)


def _expired(history: EffectiveHistory) -> str:
    return f"{history.table}: its snapshot before the run has expired"


class _Log(NamedTuple):
    """The metadata that a table had before.

    Attributes:
        earlier: As far as it is kept, newest first.
        is_whole: Whether it reaches back to the making of the table.
    """

    earlier: list[TableMetadata]
    is_whole: bool


def _read_log(catalog: SqlCatalog, table: TableName, stored: StoredMetadata) -> _Log:
    """Read what a table was before; the log of a branch goes on with that of its source."""
    earlier = list(_earlier_metadata(catalog, stored))
    oldest = earlier[-1] if earlier else stored.metadata
    base = read_bases(catalog).get(table) if is_branch(catalog) else None
    if base is None:
        return _Log(earlier, not oldest.metadata_log)
    source = open_branch(catalog, require_branch(catalog, branch_name(catalog.name)).source or MAIN)
    try:
        began = read_stored(source, base.base_location)
    except FileNotFoundError:
        return _Log(earlier, is_whole=False)
    before = _read_log(source, table, began)
    return _Log([*earlier, began.metadata, *before.earlier], before.is_whole)


def _earlier_metadata(catalog: SqlCatalog, stored: StoredMetadata) -> Iterator[TableMetadata]:
    for entry in reversed(stored.metadata.metadata_log):
        try:
            yield read_stored(catalog, entry.metadata_file).metadata
        except FileNotFoundError:
            return


def _has_rows_of(before: TableMetadata, now: TableMetadata, restored_id: int | None) -> bool:
    """Return whether earlier metadata has the rows of a snapshot."""
    return _load_of(before, before.current_snapshot_id) == _load_of(now, restored_id)


def _load_of(metadata: TableMetadata, snapshot_id: int | None) -> int | None:
    """Return the load that gave a snapshot its rows: joining files and undoing gave it none."""
    while snapshot_id is not None:
        at_snapshot = metadata.model_copy(update={"current_snapshot_id": snapshot_id})
        snapshot_id = rows_snapshot(at_snapshot)
        snapshot = metadata.snapshot_by_id(snapshot_id or -1)
        if snapshot is None or RESTORED_ENTRY not in summary_of(snapshot):
            return snapshot_id
        snapshot_id = logical_parent(snapshot)
    return None


def _count(table: TableName, stored: StoredMetadata, snapshot_id: int | None) -> int:
    return count_rows(TableState(table, stored.metadata, stored.io, snapshot_id))
