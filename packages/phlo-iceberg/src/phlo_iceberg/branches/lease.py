"""Lease a branch to one run at a time, so that an engine that is set up for it can work there.

The lease is a lock of the catalog's PostgreSQL that belongs to a connection: it ends with the
process that holds it, however that ends. Whatever an earlier run left on the branch goes before the
branch is made anew; what it still sends, such as a publish, is refused: its branch is another one.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from phlo.branches import check_branch_name
from phlo.errors import (
    BranchNotFoundError,
    MovedHeadError,
    ServiceError,
    UnknownCommitError,
    UnsupportedCatalogError,
)
from phlo.names import MAIN
from pyiceberg.catalog.sql import IcebergNamespaceProperties, IcebergTables
from sqlalchemy import delete, func, select

from phlo_iceberg.branches.create import create_branch
from phlo_iceberg.branches.delete import delete_branch
from phlo_iceberg.branches.metadata import read_stored
from phlo_iceberg.branches.names import catalog_name, lake_name, open_branch
from phlo_iceberg.branches.publish import publish_branch
from phlo_iceberg.branches.reachable import other_locations
from phlo_iceberg.branches.records import created_at_ms, make_tables, table_locations
from phlo_iceberg.branches.transaction import RefusedError, send_transaction
from phlo_iceberg.branches.update import discard_changes
from phlo_iceberg.commit.branch_lock import lock_branch
from phlo_iceberg.service_errors import explain_errors, explained_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from phlo.branches import TableChange
    from phlo.names import TableName
    from pyiceberg.catalog.sql import SqlCatalog
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

logger = logging.getLogger(__name__)

_POLL_SECONDS = 1.0


@explain_errors
class Lease:
    """A branch that one run works on (see :class:`phlo.branches.BranchLease`)."""

    def __init__(self, catalog: SqlCatalog, branch: str) -> None:
        self._catalog, self.branch = catalog, branch
        self._made_at_ms: int | None = None
        self._is_outcome_known = True

    @property
    def lake(self) -> str:
        """Name of the lake's catalog, before the separator in the names of branches' catalogs."""
        return lake_name(self._catalog.name)

    def fill(self) -> str:
        """Make the branch from main, without anything that an earlier run left on it."""
        self._clear()
        branch = create_branch(self._catalog, self.branch, MAIN)
        self._made_at_ms = created_at_ms(branch)
        namespace = f"phlo_lease_{self._made_at_ms}"
        open_branch(self._catalog, self.branch).create_namespace(namespace)
        return namespace

    def discard(self, tables: Iterable[TableName]) -> None:
        """Let the branch have tables as main has them."""
        discard_changes(self._catalog, self.branch, set(tables), self._made_at_ms)

    def drop(self, table: TableName) -> bool:
        """Drop a table whose files stand in a folder that another table of the lake has."""
        branch = open_branch(self._catalog, self.branch)
        location = table_locations(branch).get(table)
        if location is None:
            return False
        folder = read_stored(branch, location).metadata.location.rstrip("/") + "/"
        others = other_locations(branch, table, folder)
        if not any(other.startswith(folder) for other in others):
            return False
        branch.drop_table((table.namespace, table.name))
        return True

    def publish(
        self,
        *,
        unmoved: Iterable[TableName] = (),
        summaries: Mapping[TableName, Mapping[str, str]] | None = None,
    ) -> list[TableChange]:
        """Publish all that the branch changed: all or none."""
        try:
            return publish_branch(self._catalog, self.branch, unmoved, self._made_at_ms, summaries)
        except UnknownCommitError:
            self._is_outcome_known = False
            raise
        except BranchNotFoundError as exc:
            raise _lost_error(self.branch) from exc

    def release(self) -> None:
        """Delete the branch, unless main may name its files by a commit that did not answer."""
        if not (self._is_outcome_known and self._made_at_ms is not None):
            return
        try:
            delete_branch(self._catalog, self.branch, self._made_at_ms)
        except Exception:  # noqa: BLE001 - the next run that leases the branch clears it
            logger.warning("The branch %s stays until it is leased again.", self.branch)

    def _clear(self) -> None:
        make_tables(self._catalog)
        with suppress(BranchNotFoundError):
            delete_branch(self._catalog, self.branch)
        send_transaction(self._catalog, f"clear the branch {self.branch}", self._delete_late_rows)

    def _delete_late_rows(self, session: Session) -> None:
        """Delete rows that an engine wrote after the branch was deleted."""
        name = catalog_name(self.lake, self.branch)
        if lock_branch(session, name):
            raise RefusedError(name)
        for table in (IcebergTables, IcebergNamespaceProperties):
            session.execute(delete(table).where(table.catalog_name == name))


def _lost_error(branch: str) -> MovedHeadError:
    return MovedHeadError(
        f"The branch {branch} was taken by another run, because the catalog's database lost the "
        "connection that held it. Nothing was published."
    )


@contextmanager
def lease_branch(catalog: SqlCatalog, names: Sequence[str], wait_seconds: float) -> Iterator[Lease]:
    """Lease a branch (see :meth:`phlo.branches.LeasesBranches.lease_branch`)."""
    if catalog.engine.dialect.name != "postgresql":
        raise UnsupportedCatalogError(
            "Branches can be leased in a catalog on PostgreSQL alone.",
            got=f"a catalog on {catalog.engine.dialect.name}",
            expected="a PHLO_ICEBERG_CATALOG_URI that begins with postgresql+psycopg://",
        )
    for name in names:
        check_branch_name(name)
    with explained_errors():
        connection = catalog.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    connection.detach()  # its locks end with it: it must not go back to the pool
    try:
        with explained_errors():
            branch = _lock_one(connection, catalog, names, wait_seconds)
        lease = Lease(catalog, branch)
        try:
            yield lease
        finally:
            lease.release()
    finally:
        connection.close()


def _lock_one(
    connection: Connection, catalog: SqlCatalog, names: Sequence[str], wait_seconds: float
) -> str:
    deadline = time.monotonic() + wait_seconds
    while True:
        for name in names:
            text = f"phlo lease {catalog_name(lake_name(catalog.name), name)}"
            key = func.hashtextextended(text, 0)
            if connection.execute(select(func.pg_try_advisory_lock(key))).scalar():
                return name
        if time.monotonic() >= deadline:
            raise ServiceError(
                f"Other runs have all {len(names)} work branches since {wait_seconds:.0f} s.",
                got=f"busy: {', '.join(names)}",
                expected="one that is free",
                hint="Wait for these runs, or set up more work catalogs.",
            )
        time.sleep(_POLL_SECONDS)
