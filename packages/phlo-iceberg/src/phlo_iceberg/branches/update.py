"""Take the source's state of all tables that a branch has not changed."""

from __future__ import annotations

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
from phlo_iceberg.branches.records import BASES
from phlo_iceberg.branches.transaction import (
    NOTHING_LANDED,
    RefusedError,
    discarding,
    send_transaction,
)
from phlo_iceberg.commit.branch_lock import lock_branch
from phlo_iceberg.commit.sql import row_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from phlo.names import TableName
    from pyiceberg.catalog.sql import SqlCatalog
    from sqlalchemy.orm import Session

    from phlo_iceberg.branches.changes import Sides
    from phlo_iceberg.branches.metadata import StoredMetadata

ATTEMPTS = 25


def update_branch(catalog: SqlCatalog, name: str) -> BranchUpdate:
    """Update a branch (see :meth:`phlo.branches.KeepsBranches.update_branch`)."""
    for _ in range(ATTEMPTS):
        sides = read_sides(catalog, name)
        compared = sides.compare(sides.moved())
        stale = [c for c in compared if not c.is_changed and c.is_moved]
        conflicts = [c.change for c in compared if c.change is not None and c.is_moved]
        update = BranchUpdate(tuple(c.table for c in stale), tuple(conflicts))
        if not stale or _take(catalog, name, sides, stale):
            return update
    raise MovedHeadError(f"The source of the branch {name} moved too often to update it.")


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
            for one in changed:
                if one.branch is not None:
                    delete_unneeded_files(sides.branch, one.table, one.branch.location)
            return
    raise MovedHeadError(f"The source of the branch {name} moved too often to discard changes.")


def _take(
    catalog: SqlCatalog,
    name: str,
    sides: Sides,
    stale: Sequence[Comparison],
    created_at_ms: int | None = None,
) -> bool:
    """Take tables as the source has them; ``False`` where one moved meanwhile."""
    locations = {c.table: c.source.location for c in stale if c.source is not None}
    copies = copy_tables(sides.branch, sides.source, locations)
    try:
        with discarding(lambda: delete_metadata(c for _, c in copies.values()), NOTHING_LANDED):
            send_transaction(
                catalog,
                f"update the branch {name}",
                lambda session: _replace_rows(session, sides, stale, copies, created_at_ms),
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
) -> None:
    if not lock_branch(session, sides.branch.name, created_at_ms):
        raise RefusedError(sides.branch.name)
    for one in stale:
        require_location(session, sides.source, one.table, one.source)
        require_location(session, sides.branch, one.table, one.branch)
        session.execute(delete(IcebergTables).where(*row_of(sides.branch, one.table)))
        session.execute(delete(BASES).where(*base_of(sides.branch, one.table)))
    add_namespaces(session, sides.branch, {table.namespace for table in copies})
    insert_tables(session, sides.branch, copies)
