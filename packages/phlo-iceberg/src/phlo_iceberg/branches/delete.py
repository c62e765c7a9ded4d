"""Delete a branch, then the files that no other branch needs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from phlo.errors import BranchInUseError
from pyiceberg.catalog.sql import IcebergNamespaceProperties, IcebergTables
from sqlalchemy import delete, select

from phlo_iceberg.branches.create import locked_locations
from phlo_iceberg.branches.metadata import read_stored
from phlo_iceberg.branches.names import branch_name, open_branch
from phlo_iceberg.branches.reachable import add_other_branches
from phlo_iceberg.branches.records import BASES, require_branch
from phlo_iceberg.branches.transaction import RefusedError, send_transaction
from phlo_iceberg.commit.branch_lock import BRANCHES, lock_branch
from phlo_iceberg.pyiceberg_private import open_file_io
from phlo_iceberg.read.reachable import ReachableFiles, owned_files
from phlo_iceberg.write.data_files import delete_files

if TYPE_CHECKING:
    from phlo.names import TableName
    from pyiceberg.catalog.sql import SqlCatalog
    from sqlalchemy.orm import Session

logger = logging.getLogger(__name__)


def delete_branch(catalog: SqlCatalog, name: str) -> None:
    """Delete a branch (see :meth:`phlo.branches.KeepsBranches.delete_branch`)."""
    branch = require_branch(catalog, name)
    if branch.is_main:
        raise BranchInUseError(
            "The branch 'main' cannot be deleted: it is the lake itself.",
            hint="Name another branch; `phlo branch list` shows them.",
            branch=name,
        )
    deletion = _Deletion(open_branch(catalog, name))
    try:
        send_transaction(catalog, f"delete the branch {name}", deletion.delete_rows)
    except RefusedError:
        require_branch(catalog, name)
        raise
    deletion.delete_unneeded_files()


class _Deletion:
    """A branch that goes."""

    def __init__(self, branch: SqlCatalog) -> None:
        self._branch = branch
        self._changed: dict[TableName, str] = {}
        self._copies: list[str] = []

    def delete_rows(self, session: Session) -> None:
        """Delete all rows of the branch.

        Raises:
            RefusedError: It is gone already.
            BranchInUseError: Another branch was made from it.
        """
        name = self._branch.name
        if not lock_branch(session, name):
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
        locations = locked_locations(session, self._branch.name)
        self._changed = {t: where for t, where in locations.items() if where not in began}
        self._copies = [where for where in locations.values() if where in began]

    def delete_unneeded_files(self) -> None:
        """Delete files that only the branch needed; those that cannot be stay as orphans."""
        try:
            for location in self._copies:
                delete_files(open_file_io(self._branch, location), [location])
        except Exception:
            logger.warning("Metadata files of the branch stay.", exc_info=True)
        for table, location in self._changed.items():
            try:
                self._delete_files_of(table, location)
            except Exception:
                logger.warning("Files of %s stay until its maintenance.", table, exc_info=True)

    def _delete_files_of(self, table: TableName, location: str) -> None:
        stored = read_stored(self._branch, location)
        files, needed = ReachableFiles(), ReachableFiles()
        files.add(location, stored.metadata, stored.io)
        add_other_branches(needed, self._branch, table, stored.metadata.location)
        delete_files(stored.io, sorted(owned_files(stored.metadata, files.paths - needed.paths)))


def _in_use_error(name: str, children: list[str]) -> BranchInUseError:
    return BranchInUseError(
        f"The branch {name!r} cannot be deleted: other branches were made from it.",
        got=f"branches {children}",
        expected="none",
        hint=f"Publish or delete them first: phlo branch delete {children[0]}",
        branch=name,
        children=tuple(children),
    )
