"""Bring a branch to its source's state: take what it has not changed, and rebase what both did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from phlo.branches import BranchUpdate
from phlo.errors import MovedHeadError
from pyiceberg.catalog.sql import IcebergTables
from sqlalchemy import delete

from phlo_iceberg.branches.changes import Comparison, read_sides
from phlo_iceberg.branches.create import copy_tables, insert_tables
from phlo_iceberg.branches.delete import delete_unneeded_files
from phlo_iceberg.branches.metadata import delete_metadata
from phlo_iceberg.branches.publish import add_namespaces, base_of, require_location
from phlo_iceberg.branches.rebase import RebasedTable, rebase_table
from phlo_iceberg.branches.records import BASES
from phlo_iceberg.branches.replay import ObstacleError
from phlo_iceberg.branches.transaction import (
    NOTHING_LANDED,
    RefusedError,
    discarding,
    send_transaction,
)
from phlo_iceberg.commit.branch_lock import lock_branch
from phlo_iceberg.commit.sql import row_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from phlo.names import TableName
    from pyiceberg.catalog.sql import SqlCatalog
    from sqlalchemy.orm import Session

    from phlo_iceberg.branches.changes import Sides
    from phlo_iceberg.branches.metadata import StoredMetadata

ATTEMPTS = 25


def update_branch(
    catalog: SqlCatalog, name: str, taken: Collection[TableName] = ()
) -> BranchUpdate:
    """Update a branch (see :meth:`phlo.branches.KeepsBranches.update_branch`).

    Args:
        catalog: Any catalog of the lake.
        name: The branch.
        taken: Tables that the branch gets as its source has them, whatever it did to them.
    """
    for _ in range(ATTEMPTS):
        sides = read_sides(catalog, name)
        update = _plan(sides, set(taken))
        if _send(catalog, name, sides, update):
            return update.report
    raise MovedHeadError(f"The source of the branch {name} moved too often to update it.")


@dataclass(frozen=True)
class _Update:
    """What an update does.

    Attributes:
        taken: Tables that become as the source has them.
        rebased: Tables whose loads are written anew on top of the source's state.
        obstacles: Why the other tables that both sides changed stay as the branch has them.
    """

    taken: list[Comparison] = field(default_factory=list)
    rebased: list[tuple[Comparison, RebasedTable]] = field(default_factory=list)
    obstacles: list[tuple[Comparison, str]] = field(default_factory=list)

    @property
    def report(self) -> BranchUpdate:
        """What is told of it."""
        return BranchUpdate(
            tuple(one.table for one in self.taken),
            tuple(one.change for one, _ in self.obstacles if one.change is not None),
            tuple(one.change for one, _ in self.rebased if one.change is not None),
            {one.table: reason for one, reason in self.obstacles},
        )

    def delete_files(self) -> None:
        """Delete all that was written."""
        for _, rebased in self.rebased:
            rebased.delete_files()


def _plan(sides: Sides, taken: set[TableName]) -> _Update:
    """Decide what becomes of each table; loads that are written anew are written here."""
    update = _Update()
    with discarding(update.delete_files, BaseException):
        for one in sides.compare(sides.moved() | (taken & sides.touched())):
            if one.table in taken or (one.is_moved and not one.is_changed):
                update.taken.append(one)
            elif one.is_moved and one.change is not None:
                _rebase(sides, one, update)
    return update


def _rebase(sides: Sides, one: Comparison, update: _Update) -> None:
    try:
        update.rebased.append((one, rebase_table(sides.branch, one)))
    except ObstacleError as obstacle:
        update.obstacles.append((one, str(obstacle)))


def _send(catalog: SqlCatalog, name: str, sides: Sides, update: _Update) -> bool:
    """Replace the tables in one transaction; ``False`` where one moved meanwhile."""
    with discarding(update.delete_files, BaseException):
        for _, rebased in update.rebased:
            rebased.write(sides.branch)
    if not (update.taken or update.rebased):
        return True
    with discarding(update.delete_files, NOTHING_LANDED):
        is_sent = _take(catalog, name, sides, update.taken, rebased=update.rebased)
    if not is_sent:
        update.delete_files()
        return False
    replaced = [*update.taken, *(one for one, _ in update.rebased)]
    _delete_replaced(sides, [one for one in replaced if one.is_changed])
    return True


def _delete_replaced(sides: Sides, replaced: Sequence[Comparison]) -> None:
    """Delete what the branch's former states of tables alone needed."""
    former = {one.table: one.branch.location for one in replaced if one.branch is not None}
    delete_unneeded_files(sides.branch, former)


def discard_changes(
    catalog: SqlCatalog, name: str, tables: set[TableName], created_at_ms: int | None = None
) -> None:
    """Let a branch have tables as its source has them now, and delete what it alone needed.

    Args:
        catalog: Any catalog of the lake.
        name: The branch.
        tables: The tables.
        created_at_ms: When the branch was made that is meant; ``None`` for any of that name.
    """
    for _ in range(ATTEMPTS):
        sides = read_sides(catalog, name)
        changed = [c for c in sides.compare(tables & sides.touched()) if c.is_changed]
        if not changed:
            return
        if _take(catalog, name, sides, changed, created_at_ms):
            _delete_replaced(sides, changed)
            return
    raise MovedHeadError(f"The source of the branch {name} moved too often to discard changes.")


def _take(
    catalog: SqlCatalog,
    name: str,
    sides: Sides,
    stale: Sequence[Comparison],
    created_at_ms: int | None = None,
    rebased: Sequence[tuple[Comparison, RebasedTable]] = (),
) -> bool:
    """Take tables as the source has them, or rebased; ``False`` where one moved meanwhile."""
    locations = {c.table: c.source.location for c in stale if c.source is not None}
    copies = copy_tables(sides.branch, sides.source, locations)
    try:
        with discarding(lambda: delete_metadata(c for _, c in copies.values()), NOTHING_LANDED):
            send_transaction(
                catalog,
                f"update the branch {name}",
                lambda session: _replace_rows(
                    session, sides, stale, copies, created_at_ms, rebased
                ),
            )
    except RefusedError:
        return False
    return True


def _replace_rows(
    session: Session,
    sides: Sides,
    stale: Sequence[Comparison],
    copies: Mapping[TableName, tuple[StoredMetadata, StoredMetadata]],
    created_at_ms: int | None,
    rebased: Sequence[tuple[Comparison, RebasedTable]],
) -> None:
    if not lock_branch(session, sides.branch.name, created_at_ms):
        raise RefusedError(sides.branch.name)
    for one in sorted((*stale, *(one for one, _ in rebased)), key=lambda one: one.table):
        require_location(session, sides.source, one.table, one.source)
        require_location(session, sides.branch, one.table, one.branch)
        session.execute(delete(IcebergTables).where(*row_of(sides.branch, one.table)))
        session.execute(delete(BASES).where(*base_of(sides.branch, one.table)))
    add_namespaces(session, sides.branch, {table.namespace for table in copies})
    began = {one.table: (table.source, table.steps[0]) for one, table in rebased}
    locations = {one.table: table.steps[-1].location for one, table in rebased}
    insert_tables(session, sides.branch, {**copies, **began}, locations)
