"""Keeping tables small: compaction, expiry, removal of orphans.

No file that a retained snapshot reaches is ever deleted: what is reachable is read from the
metadata after the commit that drops snapshots. Files that belong to no snapshot may be those of a
running stage, so they go only when they are old.
"""

# pyright: reportCallIssue=false
# pyiceberg's models take their fields by name; a type checker sees the aliases alone.

from __future__ import annotations

import logging
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from phlo.audit import AUDIT_PREFIX
from phlo.errors import MovedHeadError
from phlo.values import MaintenanceReport
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update import (
    AssertRefSnapshotId,
    AssertTableUUID,
    RemoveSnapshotRefUpdate,
    RemoveSnapshotsUpdate,
    TableUpdate,
)

from phlo_iceberg.branches.reachable import add_other_branches
from phlo_iceberg.branches.records import held_snapshots
from phlo_iceberg.commit import Commit, commit_all
from phlo_iceberg.commit.rebase import MustPlanAnewError, are_untouched, attempts
from phlo_iceberg.read.connection import connect, use_object_store
from phlo_iceberg.read.metadata import previous_id
from phlo_iceberg.read.projection import as_files_hold
from phlo_iceberg.read.reachable import ReachableFiles, owned_files
from phlo_iceberg.read.state import TableState
from phlo_iceberg.write.batches import BATCH_ROWS
from phlo_iceberg.write.files import delete_files, list_files, time_of_store
from phlo_iceberg.write.snapshot import Change, SnapshotBuilder
from phlo_iceberg.write.stage import row_count_entry, snapshot_updates

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from phlo.names import TableName
    from pyiceberg.catalog import Catalog
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import FileScanTask, Table
    from pyiceberg.table.metadata import TableMetadata

    from phlo_iceberg.upkeep.policy import Policy

logger = logging.getLogger(__name__)
_CLOCK_TOLERANCE = timedelta(minutes=1)


def maintain_table(
    catalog: Catalog, table: TableName, policy: Policy, *, dry_run: bool = False
) -> MaintenanceReport:
    """Compact, expire and clean up one table; with ``dry_run`` only say what would be done.

    Loads that publish meanwhile change nothing about it, unless they concern the very files that
    are rewritten: then these are left to the next time.
    """
    report = MaintenanceReport(table, is_dry_run=dry_run)
    for step in (_compact, _expire):
        try:
            report = step(catalog, report, policy)
        except MovedHeadError:
            logger.info("%s is being written; maintenance goes on another time.", table)
    return _remove_orphans(catalog, report, policy)


# -- compaction


def _compact(catalog: Catalog, report: MaintenanceReport, policy: Policy) -> MaintenanceReport:
    handle = _load(catalog, report.table)
    state = TableState(
        report.table, handle.metadata, handle.io, handle.metadata.current_snapshot_id
    )
    with _moved_if_changed(catalog, report.table, handle):
        tasks = _worth_rewriting(state.tasks(), policy)
    if not tasks:
        return report
    report = replace(report, compacted_files=tuple(t.file.file_path for t in tasks))
    if report.is_dry_run:
        return report
    return replace(report, written_files=_rewrite(catalog, handle, state, tasks))


def _worth_rewriting(tasks: Sequence[FileScanTask], policy: Policy) -> list[FileScanTask]:
    groups: dict[tuple[int, Any], list[FileScanTask]] = defaultdict(list)
    for task in tasks:
        groups[task.file.spec_id, task.file.partition].append(task)
    return [task for group in groups.values() for task in _worth_in_partition(group, policy)]


def _worth_in_partition(group: list[FileScanTask], policy: Policy) -> list[FileScanTask]:
    marked = [task for task in group if task.delete_files]
    deletes = {f.file_path: f.record_count for task in marked for f in task.delete_files}
    rows = sum(task.file.record_count for task in marked)
    if marked and (
        sum(deletes.values()) >= policy.deleted_share * rows
        or len(deletes) >= (2 if rows <= policy.few_rows else policy.min_small_files)
    ):
        return [t for t in group if t.delete_files or _is_small(t, policy)]
    small = [t for t in group if _is_small(t, policy)]
    return small if len(small) >= policy.min_small_files else []


def _is_small(task: FileScanTask, policy: Policy) -> bool:
    return task.file.file_size_in_bytes < policy.small_file_bytes


def _rewrite(catalog: Catalog, handle: Table, state: TableState, tasks: list[FileScanTask]) -> int:
    written: list[str] = []
    try:
        with _moved_if_changed(catalog, state.name, handle):
            added = _write_anew(handle, state, tasks, written)
        attempts()(_commit_rewrite, catalog, state, tasks, added)
    except MovedHeadError:
        delete_files(handle.io, written)
        raise
    return len(added)


def _write_anew(
    handle: Table, state: TableState, tasks: Sequence[FileScanTask], written: list[str]
) -> list[DataFile]:
    from phlo_iceberg.write.data_files import DataFileWriter  # heavy: needed to write, not to look

    connection = connect(to_write=True)
    try:
        use_object_store(connection, handle.io, handle.metadata.location)
        rows = as_files_hold(handle.metadata.schema(), state.relation(tasks))
        reader = connection.sql(rows).to_arrow_reader(BATCH_ROWS)
        return DataFileWriter(handle.metadata, handle.io, written).write(reader)
    finally:
        connection.close()


def _commit_rewrite(
    catalog: Catalog, planned: TableState, tasks: Sequence[FileScanTask], added: Sequence[DataFile]
) -> None:
    """Put files in the place of others, on the head that the table has by then."""
    handle = _load(catalog, planned.name)
    head = handle.metadata.current_snapshot_id
    now = replace(planned, metadata=handle.metadata, snapshot_id=head)
    if not are_untouched(tasks, now.tasks()):
        raise MustPlanAnewError(f"{planned.name} lost rows that were being rewritten.")
    removed = [task.file for task in tasks]
    change = Change(added, [*removed, *_dangling_deletes(now, removed)])
    try:
        commit_all(catalog, [_replacement(handle, now, change)], {})
    except MovedHeadError:
        delete_files(handle.io, change.written)
        raise


def _replacement(handle: Table, now: TableState, change: Change) -> Commit:
    parent = handle.metadata.current_snapshot()
    builder = SnapshotBuilder(handle.metadata, handle.io, parent, change)
    entries = {"phlo.maintenance": "compaction", **row_count_entry(now, 0)}
    snapshot = builder.build(entries, operation=Operation.REPLACE)
    updates = snapshot_updates(snapshot, MAIN_BRANCH)
    files = (*(f.file_path for f in change.added), *change.written)
    return replace(_on_head(now.name, handle, updates, snapshot.snapshot_id), files=files)


def _dangling_deletes(state: TableState, removed: Iterable[DataFile]) -> list[DataFile]:
    """Delete files that no data file needs any more once some are removed."""
    gone = {file.file_path for file in removed}
    all_deletes = {f for task in state.tasks() for f in task.delete_files}
    needed = {
        f for task in state.tasks() if task.file.file_path not in gone for f in task.delete_files
    }
    return sorted(all_deletes - needed, key=lambda file: file.file_path)


# -- expiry


def _expire(catalog: Catalog, report: MaintenanceReport, policy: Policy) -> MaintenanceReport:
    return attempts()(_expire_once, catalog, report, policy)


def _expire_once(catalog: Catalog, report: MaintenanceReport, policy: Policy) -> MaintenanceReport:
    handle = _load(catalog, report.table)
    report = _with_expired(catalog, handle, report, policy)
    if report.is_dry_run or not (report.expired_snapshots or report.removed_branches):
        return report
    with _moved_if_changed(catalog, report.table, handle):
        before, head = _reachable(handle), handle.metadata.current_snapshot_id
    removal = _on_head(report.table, handle, _removals(report), head)
    commit_all(catalog, [replace(removal, refs=handle.metadata.refs)], {})
    try:
        unneeded = owned_files(handle.metadata, before - _needed(catalog, report.table))
    except Exception:
        logger.warning("Files of %s stay until its next maintenance.", report.table, exc_info=True)
        return report
    return _delete(handle, report, unneeded)


def _with_expired(
    catalog: Catalog, handle: Table, report: MaintenanceReport, policy: Policy
) -> MaintenanceReport:
    metadata, now = handle.metadata, _now(handle, report)
    branches = _old_audits(metadata, now - policy.audit_age)
    expired = _old_snapshots(metadata, now - policy.keep_age, policy.keep_snapshots, branches)
    held = held_snapshots(catalog, report.table) if isinstance(catalog, SqlCatalog) else set()
    expired = [snapshot_id for snapshot_id in expired if snapshot_id not in held]
    return replace(report, expired_snapshots=tuple(expired), removed_branches=tuple(branches))


def _now(handle: Table, report: MaintenanceReport) -> datetime:
    """Return the time by this machine's clock, or by the store's where this one is ahead.

    By a clock that is ahead, files of a running load and young snapshots would be old.
    """
    now = datetime.now(UTC)
    if report.is_dry_run:
        return now
    try:
        of_store = time_of_store(handle.io, f"{handle.metadata.location}/metadata")
    except OSError:  # a full disk, say, which maintenance is to help against
        return now
    return of_store if now - of_store > _CLOCK_TOLERANCE else now


def _removals(report: MaintenanceReport) -> tuple[TableUpdate, ...]:
    branches = tuple(RemoveSnapshotRefUpdate(ref_name=name) for name in report.removed_branches)
    if not report.expired_snapshots:
        return branches
    return (*branches, RemoveSnapshotsUpdate(snapshot_ids=list(report.expired_snapshots)))


def _on_head(
    table: TableName, handle: Table, updates: tuple[TableUpdate, ...], snapshot_id: int | None
) -> Commit:
    """Build a commit that holds if the table is as it was loaded."""
    metadata = handle.metadata
    requirements = (
        AssertTableUUID(uuid=metadata.table_uuid),
        AssertRefSnapshotId(ref=MAIN_BRANCH, snapshot_id=metadata.current_snapshot_id),
    )
    return Commit(table, handle, updates, requirements, snapshot_id)


def _old_audits(metadata: TableMetadata, before: datetime) -> list[str]:
    return sorted(
        name
        for name, ref in metadata.refs.items()
        if name.startswith(AUDIT_PREFIX) and _committed_at(metadata, ref.snapshot_id) < before
    )


def _old_snapshots(
    metadata: TableMetadata, before: datetime, keep: int, dropped_refs: Sequence[str]
) -> list[int]:
    """List snapshots that are old, not among the newest, and that no ref needs."""
    kept = set(_line(metadata, metadata.current_snapshot_id)[:keep])
    kept |= {ref.snapshot_id for name, ref in metadata.refs.items() if name not in dropped_refs}
    return sorted(
        s.snapshot_id
        for s in metadata.snapshots
        if s.snapshot_id not in kept and _committed_at(metadata, s.snapshot_id) < before
    )


def _line(metadata: TableMetadata, snapshot_id: int | None) -> list[int]:
    found: list[int] = []
    while snapshot_id is not None:
        snapshot = metadata.snapshot_by_id(snapshot_id)
        if snapshot is None:
            break
        found.append(snapshot_id)
        snapshot_id = previous_id(snapshot)
    return found


def _committed_at(metadata: TableMetadata, snapshot_id: int) -> datetime:
    snapshot = metadata.snapshot_by_id(snapshot_id)
    assert snapshot is not None
    return datetime.fromtimestamp(snapshot.timestamp_ms / 1000, tz=UTC)


# -- files


def _reachable(handle: Table) -> set[str]:
    """Return every file that some snapshot of the table needs, metadata files included."""
    files = ReachableFiles()
    files.add(handle.metadata_location, handle.metadata, handle.io)
    return files.paths


def _needed(catalog: Catalog, table: TableName) -> set[str]:
    """Return every file of the table that it, or any branch of the lake, needs by now."""
    return attempts()(_needed_now, catalog, table)


def _needed_now(catalog: Catalog, table: TableName) -> set[str]:
    handle, files = _load(catalog, table), ReachableFiles()
    with _moved_if_changed(catalog, table, handle):
        files.add(handle.metadata_location, handle.metadata, handle.io)
    add_other_branches(files, catalog, table, handle.metadata.location)
    return files.paths


def _remove_orphans(
    catalog: Catalog, report: MaintenanceReport, policy: Policy
) -> MaintenanceReport:
    handle = _load(catalog, report.table)
    old = _files_older_than(handle, _now(handle, report) - policy.orphan_age)
    # Read after the files were listed: a file that came into use meanwhile is found in use.
    needed = _needed(catalog, report.table)
    return _delete(handle, report, {path for path in old if path not in needed}, old)


def _files_older_than(handle: Table, before: datetime) -> dict[str, int]:
    """Return the files below the table's folder by path, with their size."""
    return {
        path: info.size or 0
        for path, info in list_files(handle.io, handle.metadata.location)
        if info.mtime is not None and info.mtime < before
    }


def _delete(
    handle: Table, report: MaintenanceReport, paths: set[str], sizes: dict[str, int] | None = None
) -> MaintenanceReport:
    known = sizes or {}
    size = sum(known[p] if p in known else _size(handle, p) for p in paths)
    if not report.is_dry_run:
        for path in sorted(paths):
            _delete_file(handle, path)
    return replace(
        report,
        removed_files=(*report.removed_files, *sorted(paths)),
        removed_bytes=report.removed_bytes + size,
    )


def _size(handle: Table, path: str) -> int:
    try:
        return len(handle.io.new_input(path))
    except OSError:
        return 0


def _delete_file(handle: Table, path: str) -> None:
    try:
        handle.io.delete(path)
    except FileNotFoundError:
        pass  # somebody else cleans up too
    except OSError:
        logger.warning("%s could not be deleted; maintenance tries again next time.", path)


def _load(catalog: Catalog, table: TableName) -> Table:
    return catalog.load_table((table.namespace, table.name))


@contextmanager
def _moved_if_changed(catalog: Catalog, table: TableName, handle: Table) -> Iterator[None]:
    """Take what fails in the block for a table that moved, where it did since it was loaded.

    Another process that maintains it takes away files that were needed until then.

    Raises:
        MovedHeadError: The table has other metadata by now.
    """
    try:
        yield
    except Exception as exc:
        if _load(catalog, table).metadata_location == handle.metadata_location:
            raise
        raise MovedHeadError(f"{table} was changed while it was maintained.") from exc
