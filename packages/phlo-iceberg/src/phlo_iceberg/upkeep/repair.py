"""Finding tables again after a project's folder was moved, or its catalog lost.

A catalog knows of each table just where its newest metadata is. Where that address is outside the
present warehouse, and the same file is in it, the folder was moved or copied (a copy must not go on
writing the original's table). Where the catalog knows no table at all, the newest metadata of every
folder in the warehouse is taken. Only SQL catalogs are repaired: a REST
catalog is kept by its own server.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phlo.names import TableName
from phlo.values import Repair
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.serializers import FromInputFile
from pyiceberg.table.locations import load_location_provider

from phlo_iceberg.catalog import ensure_namespace
from phlo_iceberg.commit import metadata_location, point_at
from phlo_iceberg.pyiceberg_private import open_file_io, write_metadata
from phlo_iceberg.upkeep.relocate import Relocation
from phlo_iceberg.write.data_files import list_files

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyiceberg.catalog import Catalog
    from pyiceberg.io import FileIO
    from pyiceberg.table.metadata import TableMetadata

_METADATA_FILE = re.compile(
    r"(?P<folder>.*/(?P<namespace>[^/]+)/(?P<name>[^/]+?)(-[0-9a-f]{32})?)"
    r"/metadata/v?(?P<version>\d+)[^/]*\.metadata\.json"
)
"""Where table metadata is found; other writers add 32 hexadecimal digits to a table's folder."""


@dataclass(frozen=True)
class _Found:
    """Metadata of a table as it stands in the warehouse."""

    path: str
    folder: str
    table: TableName
    version: int


def repair(catalog: Catalog, *, dry_run: bool) -> list[Repair]:
    """Point the catalog at the tables of its warehouse (see ``TableStore.repair``)."""
    if not isinstance(catalog, SqlCatalog):
        return []
    warehouse = catalog.properties["warehouse"].rstrip("/")
    io = open_file_io(catalog, warehouse)
    listed = [
        TableName(namespace[0], identifier[-1])
        for namespace in catalog.list_namespaces()
        for identifier in catalog.list_tables(namespace)
    ]
    if listed:
        return _repair_moved(catalog, io, warehouse, listed, dry_run=dry_run)
    return _rebuild(catalog, io, warehouse, dry_run=dry_run)


# -- moved folders


def _repair_moved(
    catalog: SqlCatalog, io: FileIO, warehouse: str, tables: Iterable[TableName], *, dry_run: bool
) -> list[Repair]:
    repairs: list[Repair] = []
    for table in sorted(tables):
        old = metadata_location(catalog, table)
        found = _parse(f"{warehouse}/{'/'.join(old.split('/')[-4:])}")
        if found is None or found.path == old or not io.new_input(found.path).exists():
            continue
        repairs.append(Repair(table, "moved", found.path))
        if not dry_run:
            point_at(catalog, table, old, _settle(catalog, io, found))
    return repairs


# -- lost catalogs


def _rebuild(catalog: SqlCatalog, io: FileIO, warehouse: str, *, dry_run: bool) -> list[Repair]:
    repairs: list[Repair] = []
    for found in _newest(io, warehouse):
        repairs.append(Repair(found.table, "lost", found.path))
        if not dry_run:
            ensure_namespace(catalog, found.table.namespace)
            identifier = (found.table.namespace, found.table.name)
            catalog.register_table(identifier, _settle(catalog, io, found))
    return repairs


def _newest(io: FileIO, warehouse: str) -> list[_Found]:
    """The newest metadata of every table; of equal versions the one written last."""
    by_table: dict[TableName, list[_Found]] = defaultdict(list)
    for path, _ in list_files(io, warehouse):
        found = _parse(path)
        if found is not None and found.folder.startswith(warehouse):
            by_table[found.table].append(found)
    return [
        max(candidates, key=lambda f: (f.version, _read(io, f.path).last_updated_ms))
        for _, candidates in sorted(by_table.items())
    ]


# -- both


def _parse(path: str) -> _Found | None:
    match = _METADATA_FILE.fullmatch(path)
    if match is None:
        return None
    table = TableName(match["namespace"], match["name"])
    return _Found(path, match["folder"], table, int(match["version"]))


def _read(io: FileIO, path: str) -> TableMetadata:
    return FromInputFile.table_metadata(io.new_input(path))


def _settle(catalog: SqlCatalog, io: FileIO, found: _Found) -> str:
    """Address of metadata that fits where the table stands; written where there is none."""
    metadata = _read(io, found.path)
    if metadata.location.rstrip("/") == found.folder:
        return found.path
    settled = Relocation(metadata, io, found.folder).metadata()
    provider = load_location_provider(settled.location, settled.properties)
    path = provider.new_table_metadata_file_location(found.version + 1)
    write_metadata(catalog, settled, io, path)
    return path
