"""Where a load is staged, audited and published: in the lake, or on a branch for a cluster."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
from phlo.audit import audit
from phlo.errors import MovedHeadError, SingleTableCatalogError
from phlo.lake import on_branch
from phlo.names import TableName
from phlo.values import Append
from phlo.work_catalogs import WORK_NAMESPACE, BranchTable, LeasesWorkCatalogs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from phlo.audit import Audit
    from phlo.protocols import Staged
    from phlo.values import Published
    from phlo.work_catalogs import WorkCatalog

    from phlo_dlt.attempt import Attempt


class Workplace(Protocol):
    """Where one attempt of a load works.

    Attributes:
        attempt: The attempt, with the lake of this place.
        main: The attempt, with the lake that it loads into.
    """

    attempt: Attempt
    main: Attempt

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
def open_workplace(attempt: Attempt) -> Iterator[Workplace]:
    """Open the place where a load works, by the settings of the query engine."""
    engine = attempt.lake.engine
    if not (attempt.suites and isinstance(engine, LeasesWorkCatalogs) and engine.audits_loads):
        yield LakeWorkplace(attempt, attempt)
        return
    with engine.lease_work_catalog() as work:
        lake = on_branch(attempt.lake, work.lease.branch)
        yield BranchWorkplace(replace(attempt, lake=lake), attempt, work)


@dataclass
class LakeWorkplace:
    """The lake itself: stages are in no catalog, and the process of the run judges them."""

    attempt: Attempt
    main: Attempt

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

    def audit(self, staged: Staged) -> Audit:
        """Judge the table of the branch by the blocking suites."""
        (self.published,) = self.attempt.lake.store.publish([staged])
        made = BranchTable(
            staged.table,
            staged.base_snapshot_id,
            self.attempt.lake,
            lambda name: self._put_delivered(staged, name),
        )
        return _audit(self.attempt, made)

    def _put_delivered(self, staged: Staged, name: str) -> None:
        """Make the delivered rows a table of the branch, in the types of the table loaded."""
        store = self.attempt.lake.store
        columns = store.load(staged.table).schema
        there = [n for n in columns.names if n in staged.delivered.schema.names]
        schema = pa.schema([columns.field(n).with_nullable(True) for n in there])
        table = TableName(WORK_NAMESPACE, name)
        store.publish([store.stage(table, staged.delivered, Append(), schema=schema)])

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
        self.work.publish(self.main.lake.store, tables, unmoved=set(reads))
        return self.published

    def discard(self, stages: Sequence[Staged]) -> None:
        """Delete the files of stages that the branch does not have; the others go with it."""
        for stage in stages:
            if self.published is None or stage.table != self.published.table:
                self.attempt.lake.store.discard(stage)


def _audit(attempt: Attempt, made: Any) -> Audit:
    return audit(
        attempt.suites, attempt.lake, made, partition=attempt.partition, context=attempt.context
    )
