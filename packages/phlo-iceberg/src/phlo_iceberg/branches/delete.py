"""Delete a branch, then the files that no other branch needs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from phlo.errors import BranchInUseError
from pyiceberg.catalog.sql import IcebergNamespaceProperties, IcebergTables
from sqlalchemy import delete, select

from phlo_iceberg.branches.create import locked_locations
from phlo_iceberg.branches.metadata import map_tables, read_stored
from phlo_iceberg.branches.names import branch_name, open_branch
from phlo_iceberg.branches.reachable import add_other_branches
from phlo_iceberg.branches.records import BASES, require_branch, table_locations
from phlo_iceberg.branches.transaction import RefusedError, send_transaction
from phlo_iceberg.commit.branch_lock import BRANCHES, lock_branch
from phlo_iceberg.pyiceberg_private import open_file_io
from phlo_iceberg.read.reachable import ReachableFiles, owned_files
from phlo_iceberg.write.files import delete_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phlo.names import TableName
    from pyiceberg.catalog.sql import SqlCatalog
    from sqlalchemy.orm import Session

logger = logging.getLogger(__name__)


def delete_branch(catalog: SqlCatalog, name: str, created_at_ms: int | None = None) -> None:
    """Delete a branch (see :meth:`phlo.branches.KeepsBranches.delete_branch`).

    Args:
        catalog: Any catalog of the lake.
        name: The branch.
        created_at_ms: When the branch was made that is meant; ``None`` for any of that name.
    """
    branch = require_branch(catalog, name)
    if branch.is_main:
        raise BranchInUseError(
            "The branch 'main' cannot be deleted: it is the lake itself.",
            hint="Name another branch; `phlo branch list` shows them.",
            branch=name,
        )
    deletion = _Deletion(open_branch(catalog, name), created_at_ms)
    try:
        send_transaction(catalog, f"delete the branch {name}", deletion.delete_rows)
    except RefusedError:
        require_branch(catalog, name)
        raise
    deletion.delete_unneeded_files()


class _Deletion:
    """A branch that goes."""

    def __init__(self, branch: SqlCatalog, created_at_ms: int | None) -> None:
        self._branch, self._created_at_ms = branch, created_at_ms
        self._changed: dict[TableName, str] = {}
        self._copies: dict[TableName, str] = {}

    def delete_rows(self, session: Session) -> None:
        """Delete all rows of the branch.

        Raises:
            RefusedError: It is gone already.
            BranchInUseError: Another branch was made from it.
        """
        name = self._branch.name
        if not lock_branch(session, name, self._created_at_ms):
            raise RefusedError(name)
        query = select(BRANCHES.c.catalog_name).where(BRANCHES.c.source == name)
        if children := sorted(map(branch_name, session.execute(query).scalars())):
            raise _in_use_error(branch_name(name), children)
        self._note_files(session)
        for table, column in (
            (IcebergTables, IcebergTables.catalog_name),
            (IcebergNamespaceProperties, IcebergNamespaceProperties.catalog_name),
            (BASES, BASES.c.catalog_name),
            (BRANCHES, BRANCHES.c.catalog_name),
        ):
            session.execute(delete(table).where(column == name))

    def _note_files(self, session: Session) -> None:
        """Note where the metadata is; commits to the branch wait for this transaction."""
        query = select(BASES.c.branch_location).where(BASES.c.catalog_name == self._branch.name)
        began = set(session.execute(query).scalars())
        locations = locked_locations(session, self._branch)
        self._changed = {t: where for t, where in locations.items() if where not in began}
        self._copies = {t: where for t, where in locations.items() if where in began}

    def delete_unneeded_files(self) -> None:
        """Delete files that only the branch needed; those that cannot be stay as orphans."""
        try:
            self._delete_copies()
        except Exception:
            logger.warning("Metadata files of the branch stay.", exc_info=True)
        delete_unneeded_files(self._branch, self._changed)

    def _delete_copies(self) -> None:
        if self._copies:
            io = open_file_io(self._branch, next(iter(self._copies.values())))
            map_tables(lambda location: delete_files(io, [location]), self._copies)


def delete_unneeded_files(branch: SqlCatalog, locations: Mapping[TableName, str]) -> None:
    """Delete what former metadata of tables on a branch reaches and no table of the lake needs.

    Files that cannot be deleted stay as orphans, which is no error.

    Args:
        branch: The branch's catalog; it may have the tables in another state by now.
        locations: By table the address of the metadata that no catalog names any more.
    """
    named = {table: (table, location) for table, location in locations.items()}
    map_tables(lambda one: _delete_unneeded(branch, *one), named)


def _delete_unneeded(branch: SqlCatalog, table: TableName, location: str) -> None:
    try:
        stored = read_stored(branch, location)
        files, needed = ReachableFiles(), ReachableFiles()
        files.add(location, stored.metadata, stored.io)
        add_other_branches(needed, branch, table, stored.metadata.location)
        if now := table_locations(branch).get(table):
            present = read_stored(branch, now)
            needed.add(now, present.metadata, present.io)
        unneeded = owned_files(stored.metadata, files.paths - needed.paths)
        delete_files(stored.io, sorted(unneeded))
    except Exception:
        logger.warning("Files of %s stay until its maintenance.", table, exc_info=True)


def _in_use_error(name: str, children: list[str]) -> BranchInUseError:
    return BranchInUseError(
        f"The branch {name!r} cannot be deleted: other branches were made from it.",
        got=f"branches {children}",
        expected="none",
        hint=f"Publish or delete them first: phlo branch delete {children[0]}",
        branch=name,
        children=tuple(children),
    )
