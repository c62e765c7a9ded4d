"""Make a branch: a copy of each table's metadata file, then all rows in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from phlo.branches import Branch, check_branch_name
from phlo.errors import BranchExistsError, MovedHeadError
from phlo.names import MAIN, TableName
from pyiceberg.catalog.sql import IcebergNamespaceProperties, IcebergTables
from sqlalchemy import delete, insert, select

from phlo_iceberg.branches.metadata import (
    StoredMetadata,
    copy_for,
    delete_metadata,
    digest,
    read_all,
    rows_snapshot,
    write_all,
)
from phlo_iceberg.branches.names import open_branch
from phlo_iceberg.branches.records import (
    BASES,
    is_branch,
    list_branches,
    make_tables,
    require_branch,
    table_locations,
)
from phlo_iceberg.branches.transaction import (
    RefusedError,
    discarding,
    now_ms,
    send_transaction,
)
from phlo_iceberg.commit.branch_lock import BRANCHES, lock_branch
from phlo_iceberg.pyiceberg_private import only_tables, table_row

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyiceberg.catalog.sql import SqlCatalog
    from sqlalchemy.orm import Session

ATTEMPTS = 25
"""Times that tables which moved while they were copied are copied again."""


def create_branch(catalog: SqlCatalog, name: str, source: str) -> Branch:
    """Make a branch (see :meth:`phlo.branches.KeepsBranches.create_branch`)."""
    check_branch_name(name)
    _refuse_existing(catalog, name)
    require_branch(catalog, source)
    make_tables(catalog)
    creation = _Creation(open_branch(catalog, name), open_branch(catalog, source))
    created_at = now_ms()
    for _ in range(ATTEMPTS):
        with discarding(creation.delete_copies, BaseException):
            creation.copy_moved()
        try:
            with discarding(creation.delete_copies, MovedHeadError):
                send_transaction(
                    catalog,
                    f"make the branch {name}",
                    lambda session: creation.insert_rows(session, created_at),
                )
        except RefusedError:
            with discarding(creation.delete_copies, BaseException):
                _refuse_existing(catalog, name)
                require_branch(catalog, source)
        else:
            created = datetime.fromtimestamp(created_at / 1000, tz=UTC)
            return Branch(name, source, created)
    creation.delete_copies()
    raise MovedHeadError(f"The tables of {source} moved too often to make the branch {name}.")


def _refuse_existing(catalog: SqlCatalog, name: str) -> None:
    branch_catalog = open_branch(catalog, name)
    known = {branch.name for branch in list_branches(catalog)}
    if name == MAIN or name in known or table_locations(branch_catalog):
        raise BranchExistsError(
            f"There is a branch {name!r} already.",
            got=repr(name),
            expected=f"another name than {sorted(known)}",
            hint=f"Choose another name, or remove it: phlo branch delete {name}",
            branch=name,
        )


@dataclass
class _Creation:
    """A branch in the making.

    Attributes:
        branch: Its catalog.
        source: The catalog whose tables it gets.
        copies: By table the source's metadata and the branch's copy of it.
    """

    branch: SqlCatalog
    source: SqlCatalog
    copies: dict[TableName, tuple[StoredMetadata, StoredMetadata]] = field(default_factory=dict)

    def copy_moved(self) -> None:
        """Copy the metadata of tables that are not copied as the source has them now."""
        locations = table_locations(self.source)
        for table in [t for t, (old, _) in self.copies.items() if locations.get(t) != old.location]:
            delete_metadata([self.copies.pop(table)[1]])
        missing = {t: where for t, where in locations.items() if t not in self.copies}
        self.copies |= copy_tables(self.branch, self.source, missing)

    def delete_copies(self) -> None:
        """Delete all copies; no catalog names them."""
        delete_metadata(copy for _, copy in self.copies.values())

    def insert_rows(self, session: Session, created_at_ms: int) -> None:
        """Insert all rows of the branch, if the source's tables are still as they were copied.

        Raises:
            RefusedError: One has moved, or the branch is there already.
        """
        name, source = self.branch.name, self.source.name
        if lock_branch(session, name):
            raise RefusedError(name)
        values = {"catalog_name": name, "source": source, "created_at_ms": created_at_ms}
        session.execute(insert(BRANCHES).values(**values))
        if is_branch(self.source) and not lock_branch(session, source):
            raise RefusedError(source)
        if locked_locations(session, self.source) != {t: s.location for t, (s, _) in self._items()}:
            raise RefusedError(source)
        _copy_namespaces(session, source, name)
        insert_tables(session, self.branch, self.copies)

    def _items(self) -> list[tuple[TableName, tuple[StoredMetadata, StoredMetadata]]]:
        return list(self.copies.items())


def copy_tables(
    branch: SqlCatalog, source: SqlCatalog, locations: Mapping[TableName, str]
) -> dict[TableName, tuple[StoredMetadata, StoredMetadata]]:
    """Write copies of tables' metadata for a branch; returns the source's with each copy."""
    stored = read_all(source, locations)
    copies = {table: copy_for(branch, one) for table, one in stored.items()}
    write_all(branch, copies)
    return {table: (stored[table], copies[table]) for table in stored}


def insert_tables(
    session: Session,
    branch: SqlCatalog,
    copies: Mapping[TableName, tuple[StoredMetadata, StoredMetadata]],
    locations: Mapping[TableName, str] | None = None,
) -> None:
    """Insert the rows by which a branch's catalog knows tables, and what they began from.

    Args:
        session: The transaction.
        branch: The branch's catalog.
        copies: By table the source's metadata, and the branch's copy of it.
        locations: Where metadata is that already follows the copy, by table.
    """
    if not copies:
        return
    now = {table: copy.location for table, (_, copy) in copies.items()} | dict(locations or {})
    rows = [table_row(branch, t.namespace, t.name, location) for t, location in now.items()]
    session.execute(insert(IcebergTables.__table__), rows)  # pyright: ignore[reportArgumentType]
    bases = [base_row(branch, table, base, copy) for table, (base, copy) in copies.items()]
    session.execute(insert(BASES), bases)


def base_row(
    branch: SqlCatalog, table: TableName, base: StoredMetadata, copy: StoredMetadata
) -> dict[str, Any]:
    """Return the row that records what a branch's table began from."""
    return {
        "catalog_name": branch.name,
        "table_namespace": table.namespace,
        "table_name": table.name,
        "base_location": base.location,
        "base_snapshot_id": base.metadata.current_snapshot_id,
        "base_rows_snapshot_id": rows_snapshot(base.metadata),
        "base_digest": digest(base.metadata),
        "branch_location": copy.location,
    }


def locked_locations(session: Session, catalog: SqlCatalog) -> dict[TableName, str]:
    """Read where a catalog's tables are, and hold them so until the transaction ends."""
    rows = session.execute(
        select(
            IcebergTables.table_namespace,
            IcebergTables.table_name,
            IcebergTables.metadata_location,
        )
        .where(IcebergTables.catalog_name == catalog.name, *only_tables(catalog))
        .order_by(IcebergTables.table_namespace, IcebergTables.table_name)
        .with_for_update()
    ).all()
    return {TableName(n, t): str(where) for n, t, where in rows if "." not in n}


def _copy_namespaces(session: Session, source: str, branch: str) -> None:
    properties = IcebergNamespaceProperties
    session.execute(delete(properties).where(properties.catalog_name == branch))
    rows = session.execute(
        select(properties.namespace, properties.property_key, properties.property_value).where(
            properties.catalog_name == source
        )
    ).all()
    for namespace, key, value in rows:
        session.execute(
            insert(properties).values(
                catalog_name=branch, namespace=namespace, property_key=key, property_value=value
            )
        )
