"""The table store on Iceberg (see :class:`phlo.protocols.TableStore`)."""

# pyright: reportCallIssue=false
# pyiceberg's models take their fields by name; a type checker sees the aliases alone.

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from phlo.errors import (
    MovedHeadError,
    SchemaChangeError,
    TableNotFoundError,
    UnknownCommitError,
    UnreadableTableError,
    nearest,
    one_of,
)
from phlo.names import MAIN, TableName
from phlo.values import Damage, LoadAccount, Published, Snapshot
from phlo.work_catalogs import BranchTable
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table.update import AssertRefSnapshotId, AssertTableUUID
from sqlalchemy import func, select

from phlo_iceberg import branches
from phlo_iceberg.branches.names import (
    BRANCH_PROPERTY,
    branch_name,
    open_branch,
    require_sql,
)
from phlo_iceberg.branches.records import is_branch, require_branch, table_locations
from phlo_iceberg.catalog import ensure_namespace
from phlo_iceberg.commit import Commit, commit_all, commit_of, metadata_location
from phlo_iceberg.commit.rebase import MustPlanAnewError, attempts
from phlo_iceberg.commit.rebase import rebase as rebase_stage
from phlo_iceberg.pyiceberg_private import (
    apply_updates,
    collected_updates,
    open_file_io,
    table_of,
)
from phlo_iceberg.read.changes import SnapshotChanges
from phlo_iceberg.read.counts import ROW_COUNT_ENTRY, count_rows
from phlo_iceberg.read.differences import compare_states
from phlo_iceberg.read.metadata import previous_id, readable_metadata
from phlo_iceberg.read.state import TableState
from phlo_iceberg.read.statistics import table_statistics
from phlo_iceberg.read.summary import read_summary
from phlo_iceberg.schema import arrow_to_iceberg, build_spec, drop_unwanted, evolve
from phlo_iceberg.service_errors import explain_errors
from phlo_iceberg.upkeep.examine import find_damage
from phlo_iceberg.upkeep.maintenance import maintain_table
from phlo_iceberg.upkeep.policy import Policy
from phlo_iceberg.upkeep.repair import repair
from phlo_iceberg.write.metadata_updates import SchemaTransaction, refuse_newer_format
from phlo_iceberg.write.recorded_how import how_entry
from phlo_iceberg.write.snapshot import SnapshotBuilder
from phlo_iceberg.write.stage import (
    StagedLoad,
    Target,
    account_entries,
    own_entries,
    snapshot_updates,
    stage_load,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.dataset as ds
    from phlo.branches import Branch, BranchUpdate, TableChange, TableDifference, TableVersion
    from phlo.migration import MigratedTable
    from phlo.protocols import Staged
    from phlo.undo import Undo
    from phlo.values import How, MaintenanceReport, Repair, TableStatistics, TableSummary
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata

    from phlo_iceberg.branches.lease import Lease

logger = logging.getLogger(__name__)

_NEWER_FORMAT = "Load into a table of its own, or have it written anew in that format."

TABLE_PROPERTIES = {
    "format-version": "2",
    "write.parquet.compression-codec": "zstd",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "100",
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "10",
}
"""Properties of every table phlo makes; other writers honour them too."""


@explain_errors
@dataclass(frozen=True)
class LoadedTable:
    """A published table as it stood when it was loaded."""

    state: TableState

    @property
    def name(self) -> TableName:
        """The table."""
        return self.state.name

    @property
    def schema(self) -> pa.Schema:
        """Names and types of its columns."""
        return self.state.arrow_schema

    @property
    def snapshot_id(self) -> int | None:
        """Its head; ``None`` for a table without rows ever."""
        return self.state.snapshot_id

    @property
    def row_count(self) -> int:
        """Rows, deletes applied."""
        return count_rows(self.state)

    @property
    def location(self) -> str:
        """Address of its folder."""
        return self.state.metadata.location

    @property
    def properties(self) -> Mapping[str, str]:
        """Its properties."""
        return self.state.metadata.properties


@explain_errors
class IcebergStore:
    """Keeps tables in an Iceberg catalog.

    Args:
        catalog: pyiceberg's catalog.
        policy: What maintenance keeps.
    """

    def __init__(self, catalog: Catalog, policy: Policy | None = None) -> None:
        self.catalog, self._policy = catalog, policy or Policy()

    def catalog_time(self) -> datetime | None:
        """Return the time of a catalog in a database server; ``None`` for all others."""
        if not isinstance(self.catalog, SqlCatalog) or self.catalog.engine.name == "sqlite":
            return None
        with self.catalog.engine.connect() as connection:
            now = connection.execute(select(func.current_timestamp())).scalar_one()
        return now if now.tzinfo else now.replace(tzinfo=UTC)

    # -- branches of the lake (see phlo.branches.KeepsBranches)

    @property
    def branch(self) -> str:
        """The branch on which this store reads and writes."""
        return branch_name(self.catalog.name)

    def branches(self) -> list[Branch]:
        """List all branches, main first."""
        return branches.list_branches(require_sql(self.catalog))

    def create_branch(self, name: str, source: str = MAIN) -> Branch:
        """Make a branch with the tables of ``source`` as they are now."""
        return branches.create_branch(require_sql(self.catalog), name, source)

    def on_branch(self, name: str) -> IcebergStore:
        """Open a store on a branch."""
        catalog = require_sql(self.catalog)
        require_branch(catalog, name)
        return IcebergStore(open_branch(catalog, name), self._policy)

    def diff(self, branch: str) -> list[TableChange]:
        """List the tables that a branch changed."""
        return branches.find_changes(require_sql(self.catalog), branch)

    def compare(
        self, branch: str, change: TableChange, *, key: Sequence[str] = (), samples: int = 0
    ) -> TableDifference:
        """Compare a table that a branch changed with its source's."""
        source = require_branch(require_sql(self.catalog), branch).source or MAIN
        on_branch, on_source = self.on_branch(branch), self.on_branch(source)
        new = None if change.change == "dropped" else on_branch.state(change.table)
        old = None
        if change.is_conflict and new is not None and change.base_snapshot_id is not None:
            old = on_branch.state(change.table, str(change.base_snapshot_id))
        elif not change.is_conflict and on_source.exists(change.table):
            old = on_source.state(change.table)
        return compare_states(change.table, old, new, key=key, samples=samples)

    def compare_versions(
        self,
        table: TableName,
        old: TableVersion | None,
        new: TableVersion | None,
        *,
        key: Sequence[str] = (),
        samples: int = 0,
    ) -> TableDifference:
        """Compare two committed states of a table."""
        before, after = (self._at_version(table, version) for version in (old, new))
        return compare_states(table, before, after, key=key, samples=samples)

    def _at_version(self, table: TableName, version: TableVersion | None) -> TableState | None:
        if version is None:
            return None
        store = self.on_branch(version.branch)
        if version.snapshot_id is not None:
            return store.state(table, str(version.snapshot_id))
        newest = store.state(table)
        return TableState(table, newest.metadata, newest.io, None)

    def publish_branch(self, name: str, *, unmoved: Iterable[TableName] = ()) -> list[TableChange]:
        """Let the source have every table as the branch has it: all or none."""
        return branches.publish_branch(require_sql(self.catalog), name, unmoved)

    def update_branch(self, name: str, *, taken: Collection[TableName] = ()) -> BranchUpdate:
        """Bring a branch to its source's state, its own loads on top where that is possible."""
        return branches.update_branch(require_sql(self.catalog), name, taken)

    def delete_branch(self, name: str) -> None:
        """Delete a branch and the files that no other branch needs."""
        branches.delete_branch(require_sql(self.catalog), name)

    @contextmanager
    def lease_branch(self, names: Sequence[str], *, wait_seconds: float) -> Iterator[Lease]:
        """Lease the first branch that is free (see :class:`phlo.branches.LeasesBranches`)."""
        with branches.lease_branch(require_sql(self.catalog), names, wait_seconds) as lease:
            yield lease

    # -- undo (see phlo.undo.UndoesRuns)

    def plan_undo(self, run_id: str) -> Undo:
        """Find out what an undo of a run would do."""
        return branches.plan_undo(require_sql(self.catalog), run_id).undo

    def undo(self, run_id: str, *, with_later: bool = False) -> Undo:
        """Return every table that a run published to what it was: all or none."""
        return branches.undo_run(require_sql(self.catalog), run_id, with_later=with_later)

    # -- migration (see phlo.migration.MigratesTables)

    def migrate(
        self,
        source: Path,
        tables: Sequence[TableName] = (),
        *,
        dry_run: bool = False,
        on_table: Callable[[MigratedTable], None] = lambda table: None,
    ) -> list[MigratedTable]:
        """Copy tables of an embedded lake into this catalog."""
        from phlo_iceberg.upkeep.migration import migrate_lake  # heavy, and seldom needed

        return migrate_lake(self.catalog, source, tables, dry_run=dry_run, on_table=on_table)

    # -- tables

    def exists(self, table: TableName) -> bool:
        """Return whether the catalog has the table."""
        try:
            self._open(table)
        except NoSuchTableError:
            return False
        return True

    def list_tables(self) -> list[TableName]:
        """Return all tables, sorted."""
        return sorted(
            TableName(namespace[0], identifier[-1])
            for namespace in self.catalog.list_namespaces()
            for identifier in self.catalog.list_tables(namespace)
        )

    def summaries(self) -> dict[TableName, TableSummary]:
        """Summarize the tables (see :class:`phlo.protocols.SummarizesTables`)."""
        if not isinstance(self.catalog, SqlCatalog):
            return {}
        locations = table_locations(self.catalog)
        summaries = {
            name: read_summary(open_file_io(self.catalog, location), location)
            for name, location in locations.items()
        }
        return {name: summary for name, summary in summaries.items() if summary is not None}

    def load(self, table: TableName) -> LoadedTable:
        """Return the table as it stands now (see the protocol)."""
        return LoadedTable(self.state(table))

    def state(self, table: TableName, at: Staged | str | None = None) -> TableState:
        """Return a state of a table: published, a branch, tag or snapshot id, or a stage.

        Raises:
            TableNotFoundError: No such table, or no such ref of it.
        """
        if isinstance(at, StagedLoad):
            return at.state
        handle = self._load(table)
        metadata = handle.metadata
        if at is None or at == "main" or isinstance(at, BranchTable):
            return TableState(table, metadata, handle.io, metadata.current_snapshot_id)
        return TableState(table, metadata, handle.io, _snapshot_of(metadata, table, str(at)))

    def changes(self, table: TableName, since: int, until: int) -> SnapshotChanges | None:
        """Return rows that differ between snapshots (see :class:`phlo.protocols.ReadsChanges`)."""
        handle = self._load(table)
        if not (handle.snapshot_by_id(since) and handle.snapshot_by_id(until)):
            return None
        old, new = (TableState(table, handle.metadata, handle.io, s) for s in (since, until))
        return SnapshotChanges(old, new)

    def _open(self, table: TableName) -> Table:
        with readable_metadata(table, lambda: self._metadata_path(table)):
            return self.catalog.load_table(_identifier(table))

    def _metadata_path(self, table: TableName) -> str:
        if isinstance(self.catalog, SqlCatalog):
            return metadata_location(self.catalog, table)
        return "the file that the catalog's server names"

    def _load(self, table: TableName) -> Table:
        try:
            return self._open(table)
        except NoSuchTableError as exc:
            known = [str(t) for t in self.list_tables()]
            near = nearest(str(table), known)
            raise TableNotFoundError(
                f"There is no table {str(table)!r}.",
                got=repr(str(table)),
                expected=one_of(known, near) if known else "a table, and there is none yet",
                hint=f"Did you mean {near[0]!r}?" if near else "Materialize its asset first.",
                table=table,
            ) from exc

    def stage(
        self,
        table: TableName,
        rows: ds.Dataset,
        how: How,
        *,
        schema: pa.Schema,
        partition_by: Sequence[tuple[str, str]] = (),
        account: LoadAccount | None = None,
        properties: Mapping[str, str] | None = None,
        summary: Mapping[str, str] | None = None,
        on_schema_change: str = "add_columns",
    ) -> StagedLoad:
        """Write a load's files, with nothing in the catalog (see the protocol)."""
        target = self._target(table, schema, partition_by, on_schema_change)
        return stage_load(
            target,
            rows,
            how,
            account=account or LoadAccount(extracted=rows.count_rows()),
            properties=properties or {},
            summary=summary or {},
        )

    def _target(
        self,
        table: TableName,
        schema: pa.Schema,
        partition_by: Sequence[tuple[str, str]],
        on_schema_change: str,
    ) -> Target:
        try:
            handle = self._open(table)
        except NoSuchTableError:
            return self._new_target(table, schema, partition_by)
        refuse_newer_format(table, handle.metadata, _NEWER_FORMAT)
        transaction = SchemaTransaction(handle)
        with transaction.update_schema(allow_incompatible_changes=True) as update:
            current = handle.schema()
            if on_schema_change == "sync":
                current = drop_unwanted(update, current, schema, table)
            evolve(update, current, schema, table)
        updates = collected_updates(transaction)
        if updates and on_schema_change == "fail":
            raise SchemaChangeError(
                f"The schema of {table} differs from its contract, and on_schema_change is 'fail'.",
                hint='Set on_schema_change="add_columns", or change the table by hand.',
                table=table,
            )
        metadata = apply_updates(handle.metadata, updates)
        return Target(table, handle, handle.metadata, updates, metadata)

    def _new_target(
        self, table: TableName, schema: pa.Schema, partition_by: Sequence[tuple[str, str]]
    ) -> Target:
        ensure_namespace(self.catalog, table.namespace)
        iceberg = arrow_to_iceberg(schema, str(table))
        mark = {BRANCH_PROPERTY: self.branch} if is_branch(self.catalog) else {}
        transaction = self.catalog.create_table_transaction(
            _identifier(table),
            iceberg,
            partition_spec=build_spec(iceberg, partition_by),
            properties=TABLE_PROPERTIES | mark,
        )
        return Target(
            table,
            table_of(transaction),
            None,
            collected_updates(transaction),
            transaction.table_metadata,
        )

    def load_entries(self, how: How, account: LoadAccount, row_count: int) -> dict[str, str]:
        """Build the entries of a snapshot that another engine writes for a load.

        Args:
            how: How the load is written.
            account: Where its rows go.
            row_count: Rows of the table afterwards.
        """
        return {
            **account_entries(account),
            **how_entry(how),
            ROW_COUNT_ENTRY: str(row_count),
        }

    def publish(
        self,
        staged: Sequence[Staged],
        *,
        reads: Mapping[TableName, int | None] | None = None,
        rebase: bool = False,
    ) -> list[Published]:
        """Make stages visible, all or none (see the protocol)."""
        loads = [s for s in staged if isinstance(s, StagedLoad)]
        if rebase:
            return self._publish_rebasing(loads, reads or {})
        return self._commit(loads, reads or {})

    def _commit(
        self, loads: Sequence[StagedLoad], reads: Mapping[TableName, int | None]
    ) -> list[Published]:
        # Counted before the commit: once it has landed, nothing may fail any more.
        published = [_published(load, self._row_count(load)) for load in loads]
        commits = [commit_of(load) for load in loads if load.changes_table]
        if commits:
            commit_all(self.catalog, commits, reads)
        return published

    def _row_count(self, load: StagedLoad) -> int:
        # What a load found unchanged may be changed by others, and expired, by now.
        unchanged = load.base is not None and load.snapshot is None
        return count_rows(self.state(load.table) if unchanged else load.state)

    def _publish_rebasing(
        self, loads: Sequence[StagedLoad], reads: Mapping[TableName, int | None]
    ) -> list[Published]:
        """Commit; where a head moved, move the stages onto it as often as it takes."""
        published: list[Published] = []
        for attempt in attempts():
            with attempt:
                if attempt.retry_state.attempt_number > 1:
                    loads = [self._rebased(load) for load in loads]
                published = self._commit(loads, reads)
        return published

    def _rebased(self, load: StagedLoad) -> StagedLoad:
        handle = self._load(load.table)
        if load.base is not None and handle.metadata.current_snapshot_id == load.base_snapshot_id:
            return load
        moved = rebase_stage(load, handle)
        if moved is None:
            raise MustPlanAnewError(
                f"{load.table} was changed by another load in rows that this one is about."
            )
        return moved

    def keep(self, staged: Staged, name: str) -> bool:
        """Keep a stage as a branch (see the protocol)."""
        assert isinstance(staged, StagedLoad)
        if staged.snapshot is None or staged.changes_schema:
            return False
        current = self._load(staged.table)
        # Built anew on today's metadata: after a commit to main its sequence number is taken.
        parent = current.metadata.snapshot_by_id(staged.base_snapshot_id or -1)
        builder = SnapshotBuilder(current.metadata, current.io, parent, staged.change)
        snapshot = builder.build(own_entries(staged.snapshot))
        commit = _branch_commit(current, staged.table, snapshot, name)
        files = tuple(staged.change.written)
        try:
            commit_all(self.catalog, [replace(commit, files=files)], {})
        except MovedHeadError:
            return False
        except UnknownCommitError:
            logger.warning("Branch %s of %s may be there; its files stay.", name, staged.table)
        return True

    def discard(self, staged: Staged) -> None:
        """Delete the files of a stage that will not be published."""
        assert isinstance(staged, StagedLoad)
        staged.delete_files()

    def drop(self, table: TableName) -> None:
        """Take a table out of the catalog (see the protocol)."""
        self._load(table)
        self.catalog.drop_table(_identifier(table))

    def maintain(self, table: TableName, *, dry_run: bool = False) -> MaintenanceReport:
        """Compact, expire and clean up (see the protocol)."""
        refuse_newer_format(table, self._load(table).metadata, _NEWER_FORMAT)
        return maintain_table(self.catalog, table, self._policy, dry_run=dry_run)

    def repair(self, *, dry_run: bool = False, deep: bool = False) -> list[Repair]:
        """Find tables again (see the protocol)."""
        return repair(self.catalog, dry_run=dry_run, deep=deep)

    def examine(self, table: TableName, *, deep: bool = False) -> list[Damage]:
        """List files that are missing or cut short (see the protocol)."""
        try:
            handle = self._load(table)
        except UnreadableTableError as exc:
            return [Damage(table, exc.path, exc.problem)]
        return find_damage(table, handle.io, handle.metadata, deep=deep)

    def statistics(
        self, table: TableName, columns: Sequence[str], *, at: Staged | str | None = None
    ) -> TableStatistics:
        """Return what metadata proves (see the protocol)."""
        return table_statistics(self.state(table, at), columns)

    def history(self, table: TableName) -> list[Snapshot]:
        """List snapshots of the main line, newest first."""
        metadata = self._load(table).metadata
        found: list[Snapshot] = []
        current = metadata.current_snapshot()
        while current is not None:
            found.append(_snapshot(current))
            parent = previous_id(current)
            current = metadata.snapshot_by_id(parent) if parent is not None else None
        return found


def _branch_commit(handle: Table, table: TableName, snapshot, name: str) -> Commit:  # noqa: ANN001
    return Commit(
        name=table,
        handle=handle,
        updates=snapshot_updates(snapshot, name),
        requirements=(
            AssertTableUUID(uuid=handle.metadata.table_uuid),
            AssertRefSnapshotId(ref=name, snapshot_id=None),
        ),
        snapshot_id=snapshot.snapshot_id,
    )


def _snapshot_of(metadata: TableMetadata, table: TableName, ref: str) -> int:
    snapshot = metadata.snapshot_by_name(ref)
    if snapshot is None and ref.isdigit():
        snapshot = metadata.snapshot_by_id(int(ref))
    if snapshot is None:
        raise TableNotFoundError(
            f"{table} has no branch, tag or snapshot {ref!r}.",
            got=repr(ref),
            expected=f"one of {sorted(metadata.refs)} or a snapshot id",
            table=table,
        )
    return snapshot.snapshot_id


def _snapshot(snapshot) -> Snapshot:  # noqa: ANN001 - pyiceberg's own Snapshot
    summary = snapshot.summary
    return Snapshot(
        snapshot_id=snapshot.snapshot_id,
        parent_id=previous_id(snapshot),
        committed_at=datetime.fromtimestamp(snapshot.timestamp_ms / 1000, tz=UTC),
        operation=summary.operation.value if summary else "append",
        summary=dict(summary.additional_properties) if summary else {},
    )


def _published(load: StagedLoad, row_count: int) -> Published:
    return Published(
        table=load.table,
        snapshot_id=load.snapshot.snapshot_id if load.snapshot else None,
        account=load.account,
        row_count=row_count,
        added_files=len(load.change.added) + len(load.change.deletes),
        removed_files=len(load.change.removed),
        strategy=load.strategy,
    )


def _identifier(table: TableName) -> tuple[str, str]:
    return (table.namespace, table.name)
