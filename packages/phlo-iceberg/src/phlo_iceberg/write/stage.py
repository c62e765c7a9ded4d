"""A load written but not published: files, manifests and a snapshot that no catalog knows."""

# pyright: reportCallIssue=false
# pyiceberg's models take their fields by name; a type checker sees the aliases alone.

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from phlo.names import STRATEGY_PROPERTY
from phlo.sql import Identifier, Sql, all_of, sql, union_all
from phlo.values import LoadAccount, Merge
from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRefType
from pyiceberg.table.update import (
    AddSnapshotUpdate,
    SetPropertiesUpdate,
    SetSnapshotRefUpdate,
    TableUpdate,
)

from phlo_iceberg.pyiceberg_private import apply_updates
from phlo_iceberg.read.connection import connect_to_stage, duckdb_path, use_object_store
from phlo_iceberg.read.counts import ROW_COUNT_ENTRY, count_rows
from phlo_iceberg.read.projection import as_files_hold
from phlo_iceberg.read.state import FILE, POSITION, TableState
from phlo_iceberg.write.batches import BATCH_ROWS
from phlo_iceberg.write.files import delete_files
from phlo_iceberg.write.matching import INCOMING
from phlo_iceberg.write.planner import Plan, Planner
from phlo_iceberg.write.recorded_how import how_entry
from phlo_iceberg.write.snapshot import Change, SnapshotBuilder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import duckdb
    import pyarrow.dataset as ds
    from phlo.names import TableName
    from phlo.values import How
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import FileScanTask, Table
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot

logger = logging.getLogger(__name__)

REWRITE_ROWS = 250_000
"""Surviving rows that a merge rewrites without a second thought."""

MIN_TOUCHED_SHARE = 0.25
"""Share of removed rows in the touched files from which on those files are rewritten.

Deletes of a tenth cost each read 0.05 CPU seconds per million rows, and a rewrite 1.5 more than
they do; the daily maintenance writes them in.
"""


@dataclass(frozen=True)
class StagedLoad:
    """A load whose files are written (see :class:`phlo.protocols.Staged`).

    Attributes:
        handle: pyiceberg's table, new ones included, as it was when the load was planned.
        base: The table's metadata then; ``None``: the table does not exist yet.
        metadata: The table's metadata as it would be.
        updates: What the commit does before it adds the snapshot: a new table, schema changes,
            properties.
        change: Files written and removed.
        snapshot: The snapshot to be; ``None`` when no row changes.
        delivered: The rows as they would stand in the table.
        deleted: The rows that delete their key and were not passed over.
        source: The load as handed over.
        how: How it is written.
        touched: Paths of the data files whose rows decided what the load does: those that lose
            rows, and for a merge those that hold a row that stands or equals the load's.
        row_delta: Rows by which the table grows.
    """

    table: TableName
    account: LoadAccount
    strategy: str
    handle: Table = field(repr=False)
    base: TableMetadata | None = field(repr=False)
    metadata: TableMetadata = field(repr=False)
    updates: tuple[TableUpdate, ...] = field(repr=False)
    change: Change = field(repr=False)
    snapshot: Snapshot | None = field(repr=False)
    delivered: ds.Dataset = field(repr=False)
    deleted: ds.Dataset | None = field(repr=False)
    source: ds.Dataset = field(repr=False)
    how: How
    touched: frozenset[str] = field(repr=False)
    row_delta: int = 0

    @property
    def has_changes(self) -> bool:
        """Whether publishing makes a snapshot."""
        return self.snapshot is not None

    @property
    def changes_table(self) -> bool:
        """Whether publishing commits anything, be it a property alone."""
        return bool(self.snapshot or self.updates)

    @property
    def changes_schema(self) -> bool:
        """Whether the table is new, or its schema becomes another."""
        return self.base is None or self.base.current_schema_id != self.metadata.current_schema_id

    @property
    def base_snapshot_id(self) -> int | None:
        """Head of the table when the load was planned."""
        return self.base.current_snapshot_id if self.base else None

    @property
    def state(self) -> TableState:
        """The table as if the load were published."""
        return TableState(
            self.table, self.metadata, self.handle.io, self.metadata.current_snapshot_id
        )

    def snapshot_updates(self, ref: str = MAIN_BRANCH) -> tuple[TableUpdate, ...]:
        """Return the updates that add the snapshot and point a ref at it."""
        if self.snapshot is None:
            return ()
        return snapshot_updates(self.snapshot, ref)

    def delete_files(self) -> None:
        """Delete what was written."""
        self.delete_written(list(self.change.written))

    def delete_written(self, paths: Sequence[str]) -> None:
        """Delete some of what was written; what cannot be deleted is left to ``maintain``."""
        delete_files(self.handle.io, paths)
        for path in paths:
            self.change.written.remove(path)


def snapshot_updates(snapshot: Snapshot, ref: str) -> tuple[TableUpdate, ...]:
    """Return the updates that add a snapshot and point a branch at it."""
    return (
        AddSnapshotUpdate(snapshot=snapshot),
        SetSnapshotRefUpdate(
            snapshot_id=snapshot.snapshot_id, ref_name=ref, type=SnapshotRefType.BRANCH
        ),
    )


@dataclass(frozen=True)
class Target:
    """The table to stage for, with what changes about it besides its rows.

    Attributes:
        handle: pyiceberg's table.
        base: Its metadata; ``None``: new.
        updates: New table or schema changes.
    """

    name: TableName
    handle: Table
    base: TableMetadata | None
    updates: tuple[TableUpdate, ...]
    metadata: TableMetadata

    @property
    def state(self) -> TableState:
        """The table as it is, with its schema as it would be."""
        head = self.base.current_snapshot_id if self.base else None
        return TableState(self.name, self.metadata, self.handle.io, head)


def stage_load(
    target: Target,
    rows: ds.Dataset,
    how: How,
    *,
    account: LoadAccount,
    properties: Mapping[str, str],
    summary: Mapping[str, str],
) -> StagedLoad:
    """Plan a load, write its files and build its snapshot (see ``TableStore.stage``)."""
    written: list[str] = []
    connection = connect_to_stage(target.metadata.location)
    try:
        use_object_store(connection, target.handle.io, target.metadata.location)
        plan = Planner(connection, target.state, rows, account).plan(how)
        change, strategy = _write(connection, target, plan, written)
        delivered = _delivered(connection, rows, how, plan)
        deleted = _deleted(connection, plan)
        snapshot = _snapshot(target, plan, change, how_entry(how) | dict(summary))
    except BaseException:  # Ctrl-C and a load's timeout too
        delete_files(target.handle.io, written)
        raise
    finally:
        connection.close()
    properties = {**properties, STRATEGY_PROPERTY: type(how).__name__.lower()}
    added = snapshot_updates(snapshot, MAIN_BRANCH) if snapshot else ()
    return StagedLoad(
        table=target.name,
        account=plan.account,
        strategy=strategy,
        handle=target.handle,
        base=target.base,
        metadata=apply_updates(target.metadata, added),
        updates=(*target.updates, *_changed_properties(target, properties)),
        change=change,
        snapshot=snapshot,
        delivered=delivered,
        deleted=deleted,
        source=rows,
        how=how,
        touched=_touched(plan, how),
        row_delta=_row_delta(plan),
    )


def _touched(plan: Plan, how: How) -> frozenset[str]:
    """Collect the files that must be as they are for the plan to hold.

    A merge depends on every stored row that it met: where one that stands or is equal goes, the
    load's row has to come.
    """
    paths = {task.file.file_path for task in plan.tasks}
    if isinstance(how, Merge):
        return frozenset(paths)
    return frozenset(path for path in paths if duckdb_path(path) in plan.removed)


def _snapshot(
    target: Target, plan: Plan, change: Change, summary: Mapping[str, str]
) -> Snapshot | None:
    if change.is_empty:
        return None
    parent = target.metadata.current_snapshot() if target.base else None
    builder = SnapshotBuilder(target.metadata, target.handle.io, parent, change)
    entries = {**account_entries(plan.account), **summary}
    return builder.build(entries | row_count_entry(target.state, _row_delta(plan)))


def _row_delta(plan: Plan) -> int:
    return plan.new_row_count - sum(map(len, plan.removed.values()))


def row_count_entry(before: TableState, delta: int) -> dict[str, str]:
    """Build the summary's entry that tells how many rows there are after a load."""
    return {ROW_COUNT_ENTRY: str(count_rows(before) + delta)}


def _changed_properties(
    target: Target, properties: Mapping[str, str]
) -> tuple[SetPropertiesUpdate, ...]:
    changed = {k: v for k, v in properties.items() if target.metadata.properties.get(k) != v}
    return (SetPropertiesUpdate(updates=changed),) if changed else ()


def own_entries(snapshot: Snapshot) -> dict[str, str]:
    """Return phlo's own entries of a snapshot's summary."""
    entries = snapshot.summary.additional_properties if snapshot.summary else {}
    return {name: value for name, value in entries.items() if name.startswith("phlo.")}


def account_entries(account: LoadAccount) -> dict[str, str]:
    """Build the summary's entries that tell where a load's rows went."""
    return {f"phlo.{name}": str(count) for name, count in account.as_dict().items()}


def _write(
    connection: duckdb.DuckDBPyConnection, target: Target, plan: Plan, written: list[str]
) -> tuple[Change, str]:
    """Write the plan's rows; by the share of rows touched, rewrite files or mark positions."""
    from phlo_iceberg.write.data_files import (
        write_position_deletes,  # heavy: needed to write, not to look
    )

    touched = [t for t in plan.tasks if duckdb_path(t.file.file_path) in plan.removed]
    partly = [t for t in touched if not _is_emptied(t, plan)]
    whole = [t.file for t in touched if t not in partly]
    has_deletes = target.metadata.format_version > 1
    rewrite = partly if not has_deletes or _is_worth_rewriting(partly, plan) else []
    marked = [t for t in partly if t not in rewrite]
    parts = [plan.new_rows] if plan.new_row_count else []
    if rewrite:
        parts.append(_survivors(target.state, rewrite))
    added = _write_rows(connection, target, parts, written)
    deletes = write_position_deletes(
        target.metadata,
        target.handle.io,
        [(t.file, plan.removed[duckdb_path(t.file.file_path)]) for t in marked],
        written,
    )
    removed = [*whole, *(t.file for t in rewrite)]
    change = Change(added, removed, deletes, written)
    return change, _strategy(change)


def _strategy(change: Change) -> str:
    if change.is_empty:
        return "none"
    if change.deletes:
        return "merge-on-read"
    return "copy-on-write" if change.removed else "append"


def _live_rows(task: FileScanTask) -> int:
    """Count the rows of a file; earlier delete files make it too many."""
    return task.file.record_count


def _is_emptied(task: FileScanTask, plan: Plan) -> bool:
    return len(plan.removed[duckdb_path(task.file.file_path)]) == _live_rows(task)


def _is_worth_rewriting(tasks: Sequence[FileScanTask], plan: Plan) -> bool:
    total = sum(_live_rows(t) for t in tasks)
    removed = sum(len(plan.removed[duckdb_path(t.file.file_path)]) for t in tasks)
    return total - removed <= REWRITE_ROWS or removed >= MIN_TOUCHED_SHARE * total


def _survivors(state: TableState, tasks: Sequence[FileScanTask]) -> Sql:
    names = [f.name for f in state.schema.fields]
    return sql(
        "SELECT {c} FROM ({rows}) AS k WHERE NOT EXISTS "
        "(SELECT 1 FROM removed r WHERE r.file = k.{file} AND r.pos = k.{pos})",
        c=[Identifier(n) for n in names],
        rows=state.relation(tasks, with_position=True),
        file=Identifier(FILE),
        pos=Identifier(POSITION),
    )


def _write_rows(
    connection: duckdb.DuckDBPyConnection, target: Target, parts: Sequence[Sql], written: list[str]
) -> list[DataFile]:
    if not parts:
        return []
    from phlo_iceberg.write.data_files import DataFileWriter  # heavy: needed to write, not to look

    rows = as_files_hold(target.metadata.schema(), union_all(parts))
    reader = connection.sql(rows).to_arrow_reader(BATCH_ROWS)
    return DataFileWriter(target.metadata, target.handle.io, written).write(reader)


def _delivered(
    connection: duckdb.DuckDBPyConnection, rows: ds.Dataset, how: How, plan: Plan
) -> ds.Dataset:
    """Build the load without the rows that do not stand in the table."""
    if plan.passed_over is None or not isinstance(how, Merge):
        return rows
    if not connection.execute(sql("SELECT 1 FROM ({p}) LIMIT 1", p=plan.passed_over)).fetchall():
        return rows
    same = all_of([sql("p.{k} IS NOT DISTINCT FROM l.{k}", k=Identifier(k)) for k in how.key])
    standing = sql(
        "SELECT * FROM {l} AS l WHERE NOT EXISTS (SELECT 1 FROM ({p}) AS p WHERE {same})",
        l=INCOMING,
        p=plan.passed_over,
        same=same,
    )
    return _dataset(connection, standing)


def _deleted(connection: duckdb.DuckDBPyConnection, plan: Plan) -> ds.Dataset | None:
    if plan.deleted is None:
        return None
    return _dataset(connection, plan.deleted)


def _dataset(connection: duckdb.DuckDBPyConnection, rows: Sql) -> ds.Dataset:
    import pyarrow.dataset as ds  # heavy: needed to write, not to look

    return ds.dataset(connection.sql(rows).to_arrow_table())
