"""Find tables again after a project's folder was moved, its catalog lost, or a file was cut.

A catalog knows of each table just where its newest metadata is. Where that address is outside the
present warehouse, and the same file is in it, the folder was moved or copied (a copy must not go on
writing the original's table). Where the catalog knows no table at all, the newest metadata of every
folder in the warehouse is taken, but no branch's. Where a file of a table's newest snapshot is
missing or cut short, the catalog goes back to the newest metadata whose files are all whole. Only
SQL catalogs are repaired: a REST catalog is kept by its own server.
"""

from __future__ import annotations

import re
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phlo.names import TableName
from phlo.values import Repair
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table.locations import load_location_provider

from phlo_iceberg.branches.names import BRANCH_PROPERTY
from phlo_iceberg.branches.records import is_branch
from phlo_iceberg.catalog import ensure_namespace
from phlo_iceberg.commit import metadata_location, point_at, previous_location
from phlo_iceberg.pyiceberg_private import open_file_io, write_metadata
from phlo_iceberg.upkeep.examine import UNREADABLE, find_damage, read_metadata
from phlo_iceberg.write.files import list_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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


def repair(catalog: Catalog, *, dry_run: bool, deep: bool = False) -> list[Repair]:
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
    if not listed and not is_branch(catalog):
        return _rebuild(catalog, io, warehouse, dry_run=dry_run)
    moved = _repair_moved(catalog, io, warehouse, listed, dry_run=dry_run)
    others = set(listed) - {repair.table for repair in moved}
    return moved + _repair_damaged(catalog, io, others, dry_run=dry_run, deep=deep)


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


# -- damaged files


def _repair_damaged(
    catalog: SqlCatalog, io: FileIO, tables: Iterable[TableName], *, dry_run: bool, deep: bool
) -> list[Repair]:
    repairs: list[Repair] = []
    for table in sorted(tables):
        current = metadata_location(catalog, table)
        if _is_whole(table, io, current, deep=deep):
            continue
        older = _older(catalog, io, table)
        path = next((p for p in older if _is_whole(table, io, p, deep=deep)), None)
        if path is None:
            continue  # nothing of it is whole: `phlo doctor` goes on telling what is wrong
        repairs.append(Repair(table, "damaged", path, _lost_snapshots(io, current, path)))
        if not dry_run:
            point_at(catalog, table, current, path)
    return repairs


def _is_whole(table: TableName, io: FileIO, path: str, *, deep: bool) -> bool:
    """Return whether metadata, and all files of its head snapshot, can be read."""
    try:
        return not find_damage(table, io, read_metadata(io, path), deep=deep)
    except (FileNotFoundError, *UNREADABLE):
        return False


def _older(catalog: SqlCatalog, io: FileIO, table: TableName) -> Iterator[str]:
    """Yield metadata that the catalog named before, newest first.

    Other files of the folder are not taken: they may be of commits that never landed.
    """
    logged = _logged(io, metadata_location(catalog, table))
    yield from logged
    previous = previous_location(catalog, table)
    if previous is not None and previous not in logged:
        yield previous
        yield from _logged(io, previous)


def _logged(io: FileIO, path: str) -> list[str]:
    try:
        return [e.metadata_file for e in reversed(read_metadata(io, path).metadata_log)]
    except (FileNotFoundError, *UNREADABLE):
        return []


def _lost_snapshots(io: FileIO, damaged: str, restored: str) -> tuple[int, ...]:
    """Return ids of snapshots that the damaged metadata names and the restored one does not."""
    try:
        with io.new_input(damaged).open() as stream:
            text = stream.read().decode(errors="replace")
    except FileNotFoundError:
        return ()
    named = {int(found) for found in re.findall(r'"snapshot-id"\s*:\s*(\d+)', text)}
    return tuple(sorted(named - {s.snapshot_id for s in read_metadata(io, restored).snapshots}))


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
    """Return the newest metadata of every table; of equal versions the one written last."""
    by_table: dict[TableName, list[_Found]] = defaultdict(list)
    for path, _ in list_files(io, warehouse):
        found = _parse(path)
        if found is not None and found.folder.startswith(warehouse):
            by_table[found.table].append(found)
    return [
        found
        for table, candidates in sorted(by_table.items())
        if (found := _newest_whole(table, io, candidates)) is not None
    ]


def _newest_whole(table: TableName, io: FileIO, candidates: list[_Found]) -> _Found | None:
    """Choose the newest metadata that can be read, and whose files can, where they stand here."""
    readable: dict[_Found, TableMetadata] = {}
    for candidate in candidates:
        with suppress(FileNotFoundError, *UNREADABLE):
            metadata = read_metadata(io, candidate.path)
            if BRANCH_PROPERTY not in metadata.properties:
                readable[candidate] = metadata
    newest_first = sorted(
        readable, key=lambda c: (c.version, readable[c].last_updated_ms), reverse=True
    )
    for candidate in newest_first:
        stands_elsewhere = readable[candidate].location.rstrip("/") != candidate.folder
        if stands_elsewhere or not find_damage(table, io, readable[candidate]):
            return candidate
    return None


# -- both


def _parse(path: str) -> _Found | None:
    match = _METADATA_FILE.fullmatch(path)
    if match is None:
        return None
    table = TableName(match["namespace"], match["name"])
    return _Found(path, match["folder"], table, int(match["version"]))


def _settle(catalog: SqlCatalog, io: FileIO, found: _Found) -> str:
    """Return the address of metadata that fits where the table stands; write it if none does."""
    metadata = read_metadata(io, found.path)
    if metadata.location.rstrip("/") == found.folder:
        return found.path
    from phlo_iceberg.upkeep.relocate import Relocation  # heavy: needed to write, not to look

    settled = Relocation(metadata, io, found.folder).metadata()
    provider = load_location_provider(settled.location, settled.properties)
    path = provider.new_table_metadata_file_location(found.version + 1)
    write_metadata(catalog, settled, io, path)
    return path
