"""Catalogs of a cluster's engine in which one run works, unseen until what it made is published."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from phlo.errors import BranchConflictError, MovedHeadError
from phlo.names import TableName

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from contextlib import AbstractContextManager

    import pyarrow as pa
    from phlo.branches import BranchLease
    from phlo.lake import Lake
    from phlo.sql import Sql
    from phlo.values import Merge

WORK_NAMESPACE = "phlo_work"
"""Namespace of what a run needs on its branch beside the tables that it makes; never published."""

LOAD, DELETED = TableName(WORK_NAMESPACE, "load"), TableName(WORK_NAMESPACE, "deleted")
"""Rows to merge on a cluster, and keys that other loads deleted."""


@dataclass(frozen=True)
class WorkCatalog:
    """A branch of the lake that is leased to this run, and the engine's catalog of it.

    Attributes:
        name: The engine's name of the catalog.
        lease: The branch; it publishes what was made.
        connect: Opens a DB-API connection to the engine, in this catalog.
    """

    name: str
    lease: BranchLease
    connect: Callable[[], Any]

    def keep_only(self, store: Any, tables: Collection[TableName]) -> None:
        """Let the branch have all tables as main has them, but these.

        Args:
            store: Main's table store; it has branches, since one of them is leased.
            tables: The tables.
        """
        changed = {change.table for change in store.diff(self.lease.branch)}
        self.lease.discard(changed - set(tables))

    def publish(
        self,
        store: Any,
        tables: Collection[TableName],
        *,
        unmoved: Collection[TableName] = (),
        summaries: Mapping[TableName, Mapping[str, str]] | None = None,
    ) -> None:
        """Publish these tables of the branch, and nothing else of it: all or none.

        Args:
            store: Main's table store.
            tables: The tables.
            unmoved: As of :meth:`phlo.branches.BranchLease.publish`.
            summaries: As there.

        Raises:
            MovedHeadError: Main changed one of the tables meanwhile; nothing was published.
        """
        self.keep_only(store, tables)
        try:
            self.lease.publish(unmoved=unmoved, summaries=summaries)
        except BranchConflictError as exc:
            raise MovedHeadError(str(exc)) from exc


@dataclass(frozen=True)
class BranchTable:
    """A table that a run made on its branch: what a stage is in the process of the run.

    Attributes:
        table: The table.
        base_snapshot_id: The snapshot of main that the branch began from; ``None``: empty or new.
        lake: The lake on the branch.
        delivered: Makes the rows that a load delivered a table of :data:`WORK_NAMESPACE` by this
            name; ``None`` where the table is no load's.
    """

    table: TableName
    base_snapshot_id: int | None
    lake: Lake
    delivered: Callable[[str], None] | None = field(default=None, compare=False)


@runtime_checkable
class LeasesWorkCatalogs(Protocol):
    """A query engine of a cluster that can work on branches of the lake."""

    @property
    def audits_loads(self) -> bool:
        """Whether blocking checks of loads into main are to run on the cluster."""
        ...

    def lease_work_catalog(self) -> AbstractContextManager[WorkCatalog]:
        """Lease a work catalog, filled with main's tables; its content goes at the end.

        Raises:
            ConfigurationError: No work catalog is set up.
            ServiceError: Other runs have all of them for too long.
            UnsupportedCatalogError: The table store's catalog cannot lease branches.
        """
        ...


@runtime_checkable
class ReadsWorkTables(Protocol):
    """A query engine on a branch, which reads tables of :data:`WORK_NAMESPACE` by bare names."""

    def query_with_work_tables(
        self, sql: str, names: Collection[str], parameters: Sequence[Any] | None = None
    ) -> pa.RecordBatchReader:
        """Run one SELECT (see :meth:`phlo.protocols.QueryEngine.query`).

        Args:
            sql: The query.
            names: Bare names in it that are tables of that namespace.
            parameters: Values for ``?`` placeholders, in order.
        """
        ...


@dataclass(frozen=True)
class MergeAccount:
    """What a merge on a cluster did.

    Attributes:
        inserted: Rows of the load whose key was new.
        updated: Rows of the load that replaced a stored row.
        unchanged: Rows of the load that were stored already.
        passed_over: Rows of the load, and deletes, that lost against a stored row.
        deletes: Rows of the load that deleted their key, found or not.
        deleted_rows: Stored rows of these keys.
        replaced_rows: Stored rows of the keys that were updated.
        out_of_order: Updates by a partition that is earlier than the newest of the table.
    """

    inserted: int
    updated: int
    unchanged: int
    passed_over: int
    deletes: int
    deleted_rows: int
    replaced_rows: int
    out_of_order: int

    @property
    def written(self) -> int:
        """Rows that came."""
        return self.inserted + self.updated

    @property
    def removed(self) -> int:
        """Rows that went, of which those updated came back."""
        return self.deleted_rows + self.replaced_rows


class ClusterMerge(Protocol):
    """One merge of the rows of :data:`LOAD` into a table of the branch."""

    def run(self) -> MergeAccount:
        """Merge the rows.

        Raises:
            FatalRunError: A key occurs twice in the load, or is null.
        """
        ...

    def put_delivered(self, name: str) -> None:
        """Make the rows of the load that stand in the table a table of :data:`WORK_NAMESPACE`."""
        ...

    def deletes(self) -> Sql:
        """Build the query for the deletes that did not lose: key, ``order_by`` and times."""
        ...

    def returned_keys(self) -> Sql:
        """Build the query for the keys of :data:`DELETED` whose rows stand in the table."""
        ...


@runtime_checkable
class MergesLoads(Protocol):
    """A query engine of a cluster that merges loads in work catalogs."""

    def merges(self, row_count: int, compared: Collection[pa.DataType]) -> bool:
        """Return whether a load into main is to be merged on the cluster.

        Args:
            row_count: Rows of the load.
            compared: Types of the columns by which rows meet and compete.
        """
        ...

    def plan_merge(
        self, table: TableName, how: Merge, *, names: Sequence[str], given: Sequence[str]
    ) -> ClusterMerge:
        """Plan a merge on the engine of a work catalog.

        Args:
            table: The table that rows are merged into.
            how: The merge; the keys of ``how.deleted`` are those of :data:`DELETED`.
            names: Columns of the table.
            given: Columns of the load.
        """
        ...
