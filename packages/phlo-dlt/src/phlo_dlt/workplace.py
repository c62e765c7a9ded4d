"""Where a load is staged, audited and published: in the lake, or on a branch for a cluster."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.dataset as ds
from phlo.audit import audit
from phlo.errors import MovedHeadError, SingleTableCatalogError
from phlo.lake import on_branch
from phlo.names import TableName
from phlo.values import Append, Merge, Published
from phlo.work_catalogs import (
    DELETED,
    LOAD,
    WORK_NAMESPACE,
    BranchTable,
    LeasesWorkCatalogs,
    MergesLoads,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from phlo.audit import Audit
    from phlo.lake import Lake
    from phlo.protocols import Staged, StoredTable
    from phlo.sql import Sql
    from phlo.values import How, LoadAccount
    from phlo.work_catalogs import ClusterMerge, MergeAccount, WorkCatalog

    from phlo_dlt.attempt import Attempt


class Workplace(Protocol):
    """Where one attempt of a load works.

    Attributes:
        attempt: The attempt, with the lake of this place.
        main: The attempt, with the lake that it loads into.
    """

    attempt: Attempt
    main: Attempt

    def stage(
        self, rows: ds.Dataset, how: How, *, account: LoadAccount, schema: pa.Schema, **options: Any
    ) -> Staged:
        """Stage the load's rows (see :meth:`phlo.protocols.TableStore.stage`)."""
        ...

    def audit(self, staged: Staged) -> Audit:
        """Judge the stage by the table's blocking suites."""
        ...

    def keep(self, staged: Staged) -> bool:
        """Keep a stage that failed its audit as a branch of its table; ``False``: it cannot be."""
        ...

    def publish(
        self,
        together: list[Staged],
        reads: Mapping[TableName, int | None],
        *,
        can_rebase: bool,
    ) -> Published:
        """Publish a load with what belongs to it; returns what its table became.

        Args:
            together: The load's stage, then those of other tables.
            reads: Tables that must be as they were when they were read.
            can_rebase: Whether the stage may be moved onto a head that moved.

        Raises:
            MovedHeadError: A table moved meanwhile; nothing was published.
        """
        ...

    def discard(self, stages: Sequence[Staged]) -> None:
        """Delete the files of stages that will not be published."""
        ...


@contextmanager
def open_workplace(
    attempt: Attempt, rows: ds.Dataset, how: How, schema: pa.Schema
) -> Iterator[Workplace]:
    """Open the place where a load works, by the settings of the query engine.

    Args:
        attempt: The attempt, with the lake that it loads into.
        rows: The load.
        how: How it is written.
        schema: The table's schema by contract.
    """
    engine = attempt.lake.engine
    kind = _branch_workplace(attempt, rows, how, schema)
    if kind is None or not isinstance(engine, LeasesWorkCatalogs):
        yield LakeWorkplace(attempt, attempt)
        return
    with engine.lease_work_catalog() as work:
        lake = on_branch(attempt.lake, work.lease.branch)
        yield kind(replace(attempt, lake=lake), attempt, work)


def _branch_workplace(
    attempt: Attempt, rows: ds.Dataset, how: How, schema: pa.Schema
) -> type[BranchWorkplace] | None:
    engine = attempt.lake.engine
    if isinstance(how, Merge) and isinstance(engine, MergesLoads):
        names = [*how.key, *([how.order_by] if how.order_by else [])]
        compared = [schema.field(name).type for name in names]
        if engine.merges(rows.count_rows(), compared) and _has_rows(attempt):
            return MergingWorkplace
    is_audited = isinstance(engine, LeasesWorkCatalogs) and engine.audits_loads
    return BranchWorkplace if is_audited and attempt.suites else None


def _has_rows(attempt: Attempt) -> bool:
    """Return whether there is anything to merge with; else all rows of a load are written."""
    store, table = attempt.lake.store, attempt.spec.table
    return store.exists(table) and store.load(table).snapshot_id is not None


@dataclass
class LakeWorkplace:
    """The lake itself: stages are in no catalog, and the process of the run judges them."""

    attempt: Attempt
    main: Attempt

    def stage(
        self, rows: ds.Dataset, how: How, *, account: LoadAccount, schema: pa.Schema, **options: Any
    ) -> Staged:
        """Stage the load's rows (see :meth:`phlo.protocols.TableStore.stage`)."""
        return _stage(self.attempt, rows, how, account=account, schema=schema, **options)

    def audit(self, staged: Staged) -> Audit:
        """Judge the stage by the table's blocking suites."""
        return _audit(self.attempt, staged)

    def keep(self, staged: Staged) -> bool:
        """Keep a stage that failed its audit as a branch of its table."""
        return self.attempt.lake.store.keep(staged, self.attempt.audit_branch)

    def publish(
        self,
        together: list[Staged],
        reads: Mapping[TableName, int | None],
        *,
        can_rebase: bool,
    ) -> Published:
        """Publish a load with what belongs to it (see :class:`Workplace`)."""
        store = self.attempt.lake.store
        try:
            try:
                return store.publish(together, reads=reads, rebase=can_rebase)[0]
            except SingleTableCatalogError:
                if [stage.table for stage in together[1:]] != [self.attempt.spec.tombstones]:
                    raise
                # A deleted key that is remembered too early hides nothing that is in the table.
                store.publish([together.pop()])
                return store.publish(together, reads=reads)[0]
        except MovedHeadError:
            # Only this error says that nothing landed; after any other the files may be in use.
            self.discard(together)
            raise

    def discard(self, stages: Sequence[Staged]) -> None:
        """Delete the files of stages that will not be published."""
        for stage in stages:
            self.attempt.lake.store.discard(stage)


@dataclass
class BranchWorkplace:
    """A work catalog of a cluster: the stage stands on its branch, and the cluster judges it.

    Attributes:
        work: The work catalog.
        published: What the table of the load became on the branch.
    """

    attempt: Attempt
    main: Attempt
    work: WorkCatalog
    published: Published | None = field(default=None, init=False)

    def stage(
        self, rows: ds.Dataset, how: How, *, account: LoadAccount, schema: pa.Schema, **options: Any
    ) -> Staged:
        """Stage the load's rows for the branch's table."""
        return _stage(self.attempt, rows, how, account=account, schema=schema, **options)

    def audit(self, staged: Staged) -> Audit:
        """Judge the table of the branch by the blocking suites."""
        self._show(staged)
        made = BranchTable(
            staged.table,
            staged.base_snapshot_id,
            self.attempt.lake,
            lambda name: self._put_delivered(staged, name),
        )
        return _audit(self.attempt, made)

    def _show(self, staged: Staged) -> None:
        """Let the branch's table be as staged."""
        (self.published,) = self.attempt.lake.store.publish([staged])

    def _put_delivered(self, staged: Staged, name: str) -> None:
        self._put(TableName(WORK_NAMESPACE, name), staged.delivered)

    def _put(self, table: TableName, rows: ds.Dataset) -> None:
        """Make rows a table of the branch, in the types of the table loaded."""
        store = self.attempt.lake.store
        columns = store.load(self.attempt.spec.table).schema
        fields = [columns.field(f.name) if f.name in columns.names else f for f in rows.schema]
        schema = pa.schema([f.with_nullable(True) for f in fields])
        store.publish([store.stage(table, rows, Append(), schema=schema)])

    def keep(self, staged: Staged) -> bool:
        """Keep a stage that failed its audit as a branch of main's table."""
        return self.main.lake.store.keep(staged, self.main.audit_branch)

    def publish(
        self,
        together: list[Staged],
        reads: Mapping[TableName, int | None],
        *,
        can_rebase: bool,
    ) -> Published:
        """Publish the branch's tables of the load (see :class:`Workplace`)."""
        del can_rebase  # a branch is published as it is
        assert self.published is not None
        store = self.attempt.lake.store
        if others := together[1:]:
            store.publish(others)
        tables = {stage.table for stage in together}
        self.work.publish(
            self.main.lake.store, tables, unmoved=set(reads), summaries=self._summaries
        )
        return self.published

    @property
    def _summaries(self) -> dict[TableName, dict[str, str]]:
        """Entries for snapshots that the cluster made; those of stages have theirs."""
        return {}

    def discard(self, stages: Sequence[Staged]) -> None:
        """Delete the files of stages that the branch does not have; the others go with it."""
        for stage in stages:
            if self.published is None or stage.table != self.published.table:
                self.attempt.lake.store.discard(stage)


@dataclass(frozen=True)
class MergedLoad:
    """A load that a cluster merged on its branch (see :class:`phlo.protocols.Staged`).

    Attributes:
        merge: The merge.
        lake: The lake on the branch.
        has_deletes: Whether rows of the load may delete their key.
    """

    table: TableName
    account: LoadAccount
    strategy: str
    has_changes: bool
    base_snapshot_id: int | None
    merge: ClusterMerge = field(repr=False)
    lake: Lake = field(repr=False)
    has_deletes: bool

    @property
    def delivered(self) -> ds.Dataset:
        """The keys of delivered rows that other loads had deleted: only those are asked for."""
        return self._read(self.merge.returned_keys())

    @property
    def deleted(self) -> ds.Dataset | None:
        """The rows that delete their key and were not passed over."""
        return self._read(self.merge.deletes()) if self.has_deletes else None

    def _read(self, query: Sql) -> ds.Dataset:
        return ds.dataset(self.lake.engine.query(query).read_all())


@dataclass
class MergingWorkplace(BranchWorkplace):
    """A work catalog in which the cluster merges the load too."""

    _entries: dict[str, str] = field(default_factory=dict, init=False)

    def stage(
        self, rows: ds.Dataset, how: How, *, account: LoadAccount, schema: pa.Schema, **options: Any
    ) -> MergedLoad:
        """Put the load on the branch, and merge it there."""
        assert isinstance(how, Merge)
        store, engine, table = self._store, self._engine, self.attempt.spec.table
        before = store.load(table)
        self._prepare_table(how, schema, options)
        self._put(LOAD, rows)
        if how.deleted is not None:
            self._put(DELETED, how.deleted)
        names = store.load(table).schema.names
        merge = engine.plan_merge(table, how, names=names, given=rows.schema.names)
        merged = merge.run()
        self.published = self._published(before, account, merged)
        self._entries = {
            **store.load_entries(how, self.published.account, self.published.row_count),
            **options["summary"],
        }
        return MergedLoad(
            table,
            self.published.account,
            self.published.strategy,
            self.published.snapshot_id is not None,
            before.snapshot_id,
            merge,
            self.attempt.lake,
            how.delete_column is not None,
        )

    @property
    def _store(self) -> Any:
        """The store on the branch: it has branches, since one of them is leased."""
        return self.attempt.lake.store

    @property
    def _engine(self) -> Any:
        """The engine of the work catalog, which merges."""
        return self.attempt.lake.engine

    def _prepare_table(self, how: Merge, schema: pa.Schema, options: dict[str, Any]) -> None:
        """Let the branch's table have the columns and properties that the load gives it."""
        nothing, plain = ds.dataset(schema.empty_table()), replace(how, deleted=None)
        stage = self._store.stage(self.attempt.spec.table, nothing, plain, schema=schema, **options)
        self._store.publish([stage])

    def _published(
        self, before: StoredTable, account: LoadAccount, merged: MergeAccount
    ) -> Published:
        """Tell what the branch's table became."""
        row_count = before.row_count + merged.written - merged.removed
        strategy = "merge-on-read" if merged.removed else "append" if merged.written else "none"
        now = self._store.load(before.name).snapshot_id
        return Published(
            before.name,
            now if strategy != "none" else None,
            _account(account, merged),
            row_count,
            strategy=strategy,
        )

    def _show(self, staged: Staged) -> None:
        """Do nothing: the branch's table is as merged."""

    def _put_delivered(self, staged: Staged, name: str) -> None:
        assert isinstance(staged, MergedLoad)
        staged.merge.put_delivered(name)

    def keep(self, staged: Staged) -> bool:
        """Keep nothing: the work catalog is given back with all its files."""
        return False

    @property
    def _summaries(self) -> dict[TableName, dict[str, str]]:
        return {self.attempt.spec.table: self._entries}


def _account(account: LoadAccount, merged: MergeAccount) -> LoadAccount:
    return account.plus(
        inserted=merged.inserted,
        updated=merged.updated,
        unchanged=merged.unchanged,
        deduplicated=merged.passed_over,
        deleted=merged.deletes,
        removed=merged.deleted_rows,
        out_of_order=merged.out_of_order,
    )


def _stage(attempt: Attempt, rows: ds.Dataset, how: How, **options: Any) -> Staged:
    return attempt.lake.store.stage(attempt.spec.table, rows, how, **options)


def _audit(attempt: Attempt, made: Any) -> Audit:
    return audit(
        attempt.suites, attempt.lake, made, partition=attempt.partition, context=attempt.context
    )
