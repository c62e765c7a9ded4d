"""Moving a stage onto a head that moved, where that cannot change what the load means.

A stage was planned on a base. It may be published on a later head without being planned anew when
what came since has nothing to do with it: none of the files it touches went or got deletes, and no
row of the load's keys (or of the partition it replaces) came. Only the files that came since are
looked into, and of those only the keys.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from phlo.errors import MovedHeadError
from phlo.names import PARTITION_DATE_COLUMN
from phlo.sql import Identifier, Sql, partition_predicate, same_values, sql
from phlo.values import Append, Merge, Replace
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from phlo_iceberg.pyiceberg_private import apply_updates
from phlo_iceberg.read.connection import connect, use_object_store
from phlo_iceberg.read.state import TableState
from phlo_iceberg.write.snapshot import SnapshotBuilder
from phlo_iceberg.write.stage import own_entries, row_count_entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyiceberg.table import FileScanTask, Table

    from phlo_iceberg.write.stage import StagedLoad

_LOAD = Identifier("load")
ATTEMPTS = 25


class MustPlanAnewError(MovedHeadError):
    """The head moved in a way that concerns what was planned."""


def attempts() -> Retrying:
    """Yield attempts to commit while other writers are first, as many as it takes."""
    return Retrying(
        retry=retry_if_exception(_is_worth_another),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.02, max=1),
        reraise=True,
    )


def _is_worth_another(error: BaseException) -> bool:
    return isinstance(error, MovedHeadError) and not isinstance(error, MustPlanAnewError)


def rebase(staged: StagedLoad, handle: Table) -> StagedLoad | None:
    """Build the stage's snapshot anew on the table's present head.

    Args:
        staged: A stage whose head has moved.
        handle: The table as it is now.

    Returns:
        ``None`` where the load must be planned anew.
    """
    if staged.base is None or staged.changes_schema or staged.snapshot is None:
        return None
    if handle.metadata.current_schema_id != staged.base.current_schema_id:
        return None
    if handle.metadata.default_spec_id != staged.base.default_spec_id:
        return None
    if _is_expired(staged.base_snapshot_id, handle):
        return None
    now = TableState(staged.table, handle.metadata, handle.io, handle.metadata.current_snapshot_id)
    before = TableState(staged.table, staged.base, handle.io, staged.base_snapshot_id)
    if not _is_independent(staged, before.tasks(), now):
        return None
    return _on_head(staged, handle, now)


def _is_expired(snapshot_id: int | None, handle: Table) -> bool:
    """Return whether the state that the stage was planned on has expired."""
    return snapshot_id is not None and handle.metadata.snapshot_by_id(snapshot_id) is None


def _is_independent(staged: StagedLoad, before: Sequence[FileScanTask], now: TableState) -> bool:
    tasks = now.tasks()
    if not are_untouched([t for t in before if t.file.file_path in staged.touched], tasks):
        return False
    old = _deletes(before)
    came = [task for task in tasks if task.file.file_path not in old]
    return not came or not _holds_rows_of(staged, now, came)


def are_untouched(files: Sequence[FileScanTask], now: Sequence[FileScanTask]) -> bool:
    """Return whether all files are still there, without further deletes."""
    return _deletes(files).items() <= _deletes(now).items()


def _deletes(tasks: Sequence[FileScanTask]) -> dict[str, frozenset[str]]:
    """Delete files of each data file."""
    return {t.file.file_path: frozenset(d.file_path for d in t.delete_files) for t in tasks}


def _holds_rows_of(staged: StagedLoad, now: TableState, came: list[FileScanTask]) -> bool:
    """Return whether files hold rows that the load should have been planned on."""
    match staged.how:
        case Append(on_rerun="append"):
            return False
        case Append(partition=partition) | Replace(partition=partition):
            if partition is None or PARTITION_DATE_COLUMN not in now.schema.column_names:
                return True
            rows = now.relation(came, columns=[PARTITION_DATE_COLUMN])
            return _finds(staged, now, rows, partition_predicate(partition))
        case Merge(key=key):
            rows = now.relation(came, columns=key)
            met = sql(
                "EXISTS (SELECT 1 FROM {load} AS l WHERE {same})",
                load=_LOAD,
                same=same_values("s", "l", key),
            )
            return _finds(staged, now, rows, met)


def _finds(staged: StagedLoad, now: TableState, rows: Sql, condition: Sql) -> bool:
    connection = connect()
    try:
        use_object_store(connection, now.io, now.metadata.location)
        connection.register(_LOAD, staged.source)
        found = connection.execute(
            sql("SELECT 1 FROM ({rows}) AS s WHERE {c} LIMIT 1", rows=rows, c=condition)
        )
        return bool(found.fetchall())
    finally:
        connection.close()


def _on_head(staged: StagedLoad, handle: Table, now: TableState) -> StagedLoad:
    assert staged.snapshot is not None
    metadata, superseded = handle.metadata, _manifests(staged)
    builder = SnapshotBuilder(metadata, handle.io, metadata.current_snapshot(), staged.change)
    entries = own_entries(staged.snapshot) | row_count_entry(now, staged.row_delta)
    snapshot = builder.build(entries)
    staged.delete_written(superseded)
    moved = replace(staged, handle=handle, base=metadata, snapshot=snapshot)
    return replace(moved, metadata=apply_updates(metadata, moved.snapshot_updates()))


def _manifests(staged: StagedLoad) -> list[str]:
    """Return what was written for the stage besides rows and deletes."""
    change = staged.change
    kept = {file.file_path for file in (*change.added, *change.deletes)}
    return [path for path in change.written if path not in kept]
