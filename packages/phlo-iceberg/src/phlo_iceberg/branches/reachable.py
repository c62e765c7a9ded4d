"""Find the files of a table that other branches of the lake need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.errors import UnreadableTableError
from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from sqlalchemy import and_, not_, or_, select
from sqlalchemy.orm import Session

from phlo_iceberg.branches.metadata import read_stored
from phlo_iceberg.branches.names import lake_name
from phlo_iceberg.commit.branch_lock import SEPARATOR
from phlo_iceberg.pyiceberg_private import only_tables

if TYPE_CHECKING:
    from phlo.names import TableName
    from pyiceberg.catalog import Catalog

    from phlo_iceberg.read.reachable import ReachableFiles


def add_other_branches(
    reachable: ReachableFiles, catalog: Catalog, table: TableName, folder: str
) -> None:
    """Add the files that other branches need of a table.

    The branches are those that the catalog's database has by now. One that goes or is updated
    meanwhile takes its metadata away; the database is then asked again for what has come instead.

    Args:
        reachable: Receives the files.
        catalog: The catalog whose own table is left out; only SQL catalogs have branches.
        table: The table.
        folder: Address of its folder: a branch may have renamed what stands in it, and a table
            made of files in it has its own folder below.
    """
    if not isinstance(catalog, SqlCatalog):
        return
    known: set[str] = set()
    while locations := set(other_locations(catalog, table, folder)) - known:
        known |= locations
        for location in sorted(locations):
            try:
                stored = read_stored(catalog, location)
            except UnreadableTableError:
                if location in other_locations(catalog, table, folder):
                    raise
            else:
                reachable.add(location, stored.metadata, stored.io)


def other_locations(catalog: SqlCatalog, table: TableName, folder: str) -> list[str]:
    """List where the metadata is of the tables that may need files of a table (as above)."""
    lake = lake_name(catalog.name)
    same_name = and_(
        IcebergTables.table_namespace == table.namespace, IcebergTables.table_name == table.name
    )
    inside = IcebergTables.metadata_location.startswith(folder.rstrip("/") + "/", autoescape=True)
    of_lake = or_(
        IcebergTables.catalog_name == lake,
        IcebergTables.catalog_name.startswith(lake + SEPARATOR, autoescape=True),
    )
    itself = and_(IcebergTables.catalog_name == catalog.name, same_name)
    with Session(catalog.engine) as session:
        rows = session.execute(
            select(IcebergTables.metadata_location).where(
                of_lake, or_(same_name, inside), not_(itself), *only_tables(catalog)
            )
        ).all()
    return sorted({str(location) for (location,) in rows})
