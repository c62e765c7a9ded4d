"""Take the source's state of all tables that a branch has not changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.branches import BranchUpdate
from phlo.errors import MovedHeadError
from pyiceberg.catalog.sql import IcebergTables
from sqlalchemy import delete

from phlo_iceberg.branches.changes import Comparison, read_sides
from phlo_iceberg.branches.create import copy_tables, insert_tables
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


def _take(catalog: SqlCatalog, name: str, sides: Sides, stale: Sequence[Comparison]) -> bool:
    """Take tables as the source has them; ``False`` where one moved meanwhile."""
    locations = {c.table: c.source.location for c in stale if c.source is not None}
    copies = copy_tables(sides.branch, sides.source, locations)
    try:
        with discarding(lambda: delete_metadata(c for _, c in copies.values()), NOTHING_LANDED):
            send_transaction(
                catalog,
                f"update the branch {name}",
                lambda session: _replace_rows(session, sides, stale, copies),
            )
    except RefusedError:
        return False
    return True


def _replace_rows(
    session: Session,
    sides: Sides,
    stale: Sequence[Comparison],
    copies: Mapping[TableName, tuple[StoredMetadata, StoredMetadata]],
) -> None:
    if not lock_branch(session, sides.branch.name):
        raise RefusedError(sides.branch.name)
    for one in stale:
        require_location(session, sides.source, one.table, one.source)
        require_location(session, sides.branch, one.table, one.branch)
        session.execute(delete(IcebergTables).where(*row_of(sides.branch, one.table)))
        session.execute(delete(BASES).where(*base_of(sides.branch, one.table)))
    add_namespaces(session, sides.branch, {table.namespace for table in copies})
    insert_tables(session, sides.branch, copies)
