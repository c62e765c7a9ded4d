"""Commit to an SQL catalog: all tables in one transaction of its database."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phlo.errors import ConfigurationError, MovedHeadError, ResourceError
from pyiceberg.catalog.sql import IcebergTables
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.table import StagedTable
from pyiceberg.table.locations import load_location_provider
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError, NoResultFound, SQLAlchemyError
from sqlalchemy.orm import Session

from phlo_iceberg import pyiceberg_private
from phlo_iceberg.commit.branch_lock import require_branch_of
from phlo_iceberg.commit.plan import assert_head, check_as_planned
from phlo_iceberg.commit.settle import NotSentError, settle
from phlo_iceberg.write.files import SYNC_PROPERTY, delete_files, sync_files
from phlo_iceberg.write.metadata_updates import next_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from phlo.names import TableName
    from pyiceberg.catalog import Catalog
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.table import Table

    from phlo_iceberg.commit.plan import Commit

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Swap:
    """A table's next metadata, to take the place of the present one."""

    commit: Commit
    current: Table | None
    new: StagedTable


def commit_in_database(
    catalog: SqlCatalog, commits: Sequence[Commit], reads: Mapping[TableName, int | None]
) -> None:
    """Write the next metadata of each table, then let the catalog name all of it at once.

    Raises:
        MovedHeadError: Nothing landed; the metadata that was written is deleted.
        ConfigurationError: The same; the catalog may not be written.
        ResourceError: The same; the catalog's disk is full.
        UnknownCommitError: The database did not answer; every file stays.
    """
    swaps: list[_Swap] = []
    try:
        for commit in commits:
            swaps.append(_next_metadata(catalog, commit))
            new = swaps[-1].new
            pyiceberg_private.write_metadata(catalog, new.metadata, new.io, new.metadata_location)
            if catalog.properties.get(SYNC_PROPERTY) != "false":
                sync_files([*commit.files, new.metadata_location])
    except BaseException:
        _delete_unused(swaps)
        raise
    try:
        settle(catalog, commits, lambda: _swap_all(catalog, swaps, reads))
    except (MovedHeadError, ConfigurationError, ResourceError):
        _delete_unused(swaps)
        raise
    for swap in swaps:
        if swap.current is not None:
            tidy(catalog, swap.current, swap.new)


def tidy(catalog: Catalog, before: Table, after: Table) -> None:
    """Delete metadata that a commit made old; whatever fails here, the commit has landed."""
    try:
        pyiceberg_private.delete_old_metadata(catalog, after.io, before.metadata, after.metadata)
    except Exception:  # noqa: BLE001 - after a commit nothing may raise
        logger.warning("Old metadata of %s stays until the next commit.", after.name())


def _next_metadata(catalog: SqlCatalog, commit: Commit) -> _Swap:
    current = _current(catalog, commit)
    if current is None:
        new = pyiceberg_private.stage_new_table(
            catalog, commit.identifier, commit.requirements, commit.updates
        )
        return _Swap(commit, None, new)
    check_as_planned(commit, current)
    metadata = next_metadata(current, commit.updates)
    version = pyiceberg_private.metadata_version(catalog, current.metadata_location) + 1
    provider = load_location_provider(metadata.location, metadata.properties)
    location = provider.new_table_metadata_file_location(version)
    io = pyiceberg_private.open_file_io(catalog, location, metadata.properties)
    return _Swap(commit, current, StagedTable(current.name(), metadata, location, io, catalog))


def _current(catalog: SqlCatalog, commit: Commit) -> Table | None:
    """Read the table as it is now, unless it is still as the load was planned on."""
    try:
        if not commit.is_new_table:
            at = metadata_location(catalog, commit.name)
            if at == commit.handle.metadata_location:
                return commit.handle
        return catalog.load_table(commit.identifier)
    except (NoSuchTableError, NoResultFound):
        return None


def _swap_all(
    catalog: SqlCatalog, swaps: Sequence[_Swap], reads: Mapping[TableName, int | None]
) -> None:
    """Swap all rows in one transaction.

    Raises:
        NotSentError: The database failed before it was told to commit.
        SQLAlchemyError: It failed while it committed: the outcome is unknown.
    """
    try:
        with Session(catalog.engine) as session:
            try:
                require_branch_of(session, catalog.name)
                for swap in swaps:
                    _swap(catalog, session, swap)
                _assert_unmoved(catalog, session, reads)
            except SQLAlchemyError as exc:
                raise NotSentError from exc
            session.commit()
    except (SQLAlchemyError, NotSentError):
        # A connection that failed may still show its own uncommitted rows: the next one is new.
        catalog.engine.dispose()
        raise


def _delete_unused(swaps: Sequence[_Swap]) -> None:
    """Delete metadata that no catalog will name: whoever looks for the newest must not find it."""
    for swap in swaps:
        delete_files(swap.new.io, [swap.new.metadata_location])


def _swap(catalog: SqlCatalog, session: Session, swap: _Swap) -> None:
    name, current, new = swap.commit.name, swap.current, swap.new
    if current is None:
        row = pyiceberg_private.table_row(catalog, name.namespace, name.name, new.metadata_location)
        try:
            session.execute(insert(IcebergTables).values(**row))
        except IntegrityError as exc:
            raise CommitFailedException(f"{name} was made by another process") from exc
        return
    moved = session.execute(
        update(IcebergTables)
        .where(
            *row_of(catalog, name),
            IcebergTables.metadata_location == current.metadata_location,
        )
        .values(
            metadata_location=new.metadata_location,
            previous_metadata_location=current.metadata_location,
        )
    )
    if moved.rowcount != 1:  # pyright: ignore[reportAttributeAccessIssue] - a cursor result
        raise CommitFailedException(f"{name} was changed by another process")


def row_of(catalog: SqlCatalog, name: TableName) -> tuple:
    """Build the condition for a table's row in the catalog's database."""
    return (
        IcebergTables.catalog_name == catalog.name,
        IcebergTables.table_namespace == name.namespace,
        IcebergTables.table_name == name.name,
    )


def metadata_location(catalog: SqlCatalog, name: TableName) -> str:
    """Read where the catalog says that a table's metadata is, without opening it."""
    with Session(catalog.engine) as session:
        query = select(IcebergTables.metadata_location).where(*row_of(catalog, name))
        return str(session.execute(query).scalar_one())


def previous_location(catalog: SqlCatalog, name: TableName) -> str | None:
    """Read where the metadata stood that a table's newest commit replaced."""
    with Session(catalog.engine) as session:
        query = select(IcebergTables.previous_metadata_location).where(*row_of(catalog, name))
        return session.execute(query).scalar_one()


def point_at(catalog: SqlCatalog, name: TableName, old: str, new: str) -> None:
    """Let the catalog name other metadata of a table.

    Raises:
        MovedHeadError: It names other metadata than ``old`` meanwhile.
    """
    with Session(catalog.engine) as session:
        moved = session.execute(
            update(IcebergTables)
            .where(*row_of(catalog, name), IcebergTables.metadata_location == old)
            .values(metadata_location=new, previous_metadata_location=None)
        )
        if moved.rowcount != 1:  # pyright: ignore[reportAttributeAccessIssue] - a cursor result
            raise MovedHeadError(f"{name} was changed by another process.")
        session.commit()


def _assert_unmoved(
    catalog: SqlCatalog, session: Session, reads: Mapping[TableName, int | None]
) -> None:
    """Lock the rows of tables that were read, in name order, and compare their heads."""
    for name in sorted(reads):
        query = select(IcebergTables.metadata_location).where(*row_of(catalog, name))
        session.execute(query.with_for_update())
        assert_head(catalog, name, reads[name])
