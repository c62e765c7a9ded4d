"""Read the embedded lake of a project without changing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from phlo.errors import ConfigurationError
from phlo.folders import CATALOG, WAREHOUSE
from phlo.names import MAIN
from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.io import PY_IO_IMPL
from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from phlo_iceberg.branches.metadata import StoredMetadata, read_all
from phlo_iceberg.branches.names import lake_name, open_branch
from phlo_iceberg.branches.records import table_locations
from phlo_iceberg.catalog import FILE_IO

if TYPE_CHECKING:
    from pathlib import Path

    from phlo.names import TableName


@dataclass(frozen=True)
class EmbeddedTable:
    """A table of the embedded lake.

    Attributes:
        table: The table.
        branch: The branch that has it.
        stored: Its metadata.
    """

    table: TableName
    branch: str
    stored: StoredMetadata


def open_embedded(folder: Path, name: str) -> SqlCatalog:
    """Open the catalog of an embedded lake, to read.

    Args:
        folder: A project's ``.phlo``.
        name: The catalog that is meant where the database has several.

    Raises:
        ConfigurationError: There is none, or it has only others than ``name``.
    """
    database = CATALOG.path(folder)
    if not database.is_file():
        raise ConfigurationError(
            f"There is no embedded lake in {folder}.",
            got=f"no file {database}",
            expected="the .phlo folder of a project that has loaded tables without a server",
            hint="Name the project's folder: phlo catalog migrate --from FOLDER",
        )
    # A database that is opened to be read alone cannot be changed, whatever runs here.
    uri = f"sqlite:///file:{quote(str(database.resolve()))}?mode=ro&uri=true"
    catalog = SqlCatalog(
        name,
        uri=uri,
        warehouse=f"file://{WAREHOUSE.path(folder.resolve())}",
        init_catalog_tables="false",
        **{PY_IO_IMPL: FILE_IO},
    )
    lake = _lake_of(catalog)
    return catalog if lake == name else _renamed(catalog, lake)


def _lake_of(catalog: SqlCatalog) -> str:
    """Return the name of the lake in a database: that of the settings, or the only one."""
    if not inspect(catalog.engine).has_table(IcebergTables.__tablename__):
        return catalog.name
    with Session(catalog.engine) as session:
        rows = session.execute(select(IcebergTables.catalog_name).distinct()).all()
    lakes = {lake_name(str(name)) for (name,) in rows}
    if catalog.name in lakes or not lakes:
        return catalog.name
    if len(lakes) == 1:
        return lakes.pop()
    raise ConfigurationError(
        "The embedded catalog has several lakes, and none has the name of the settings.",
        got=repr(catalog.name),
        expected=f"one of {sorted(lakes)}",
        hint="Set PHLO_ICEBERG_CATALOG_NAME to one of them.",
    )


def _renamed(catalog: SqlCatalog, name: str) -> SqlCatalog:
    renamed = SqlCatalog(name, **catalog.properties)
    renamed.engine.dispose()
    renamed.engine = catalog.engine
    return renamed


def read_tables(catalog: SqlCatalog, branch: str = MAIN) -> list[EmbeddedTable]:
    """Read the tables of a branch as they are now, sorted by name.

    Raises:
        UnreadableTableError: The metadata of one is missing or cut short.
    """
    of_branch = open_branch(catalog, branch)
    if not inspect(catalog.engine).has_table(IcebergTables.__tablename__):
        return []
    stored = read_all(of_branch, table_locations(of_branch))
    return [EmbeddedTable(table, branch, stored[table]) for table in sorted(stored)]
