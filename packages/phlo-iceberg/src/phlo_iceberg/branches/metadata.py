"""A table's metadata as it goes from one branch to another."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlparse

from pyiceberg.table.locations import load_location_provider
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.snapshots import Operation, Snapshot, Summary

from phlo_iceberg.branches.names import BRANCH_PROPERTY, branch_name
from phlo_iceberg.branches.records import is_branch
from phlo_iceberg.branches.transaction import now_ms
from phlo_iceberg.pyiceberg_private import (
    log_metadata,
    metadata_version,
    open_file_io,
    write_metadata,
)
from phlo_iceberg.read.metadata import REPLACED_ENTRY, previous_id, read_table_metadata
from phlo_iceberg.write.files import SYNC_PROPERTY, delete_files, sync_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from phlo.names import TableName
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.io import FileIO
    from pyiceberg.table.metadata import TableMetadata

MIGRATED_PROPERTY = "phlo.migrated-from"
"""Table property of a table that was copied into this catalog: metadata that it was copied from."""

FORMER_TABLE_ENTRY = "phlo.former-table"
"""Summary entry of the first snapshot of a table made anew: metadata of the table before it."""

_NO_CONTENT = (BRANCH_PROPERTY, MIGRATED_PROPERTY)
_WORKERS = 16
_FILE_SETTINGS = ("s3.", "gcs.", "adls.", "hdfs.", "hf.", "client.", "py-io-impl")
"""How properties of a table begin that change how its files are opened."""
V = TypeVar("V")
R = TypeVar("R")


@dataclass(frozen=True)
class StoredMetadata:
    """Metadata of a table, and the file it is in.

    Attributes:
        location: Address of the metadata file.
        metadata: What is in it.
        io: Reads and writes the table's files.
    """

    location: str
    metadata: TableMetadata
    io: FileIO


def read_all(
    catalog: SqlCatalog, locations: Mapping[TableName, str]
) -> dict[TableName, StoredMetadata]:
    """Read the metadata of tables, several at a time, through the same connections."""
    by_scheme = {urlparse(location).scheme: location for location in locations.values()}
    shared = {scheme: open_file_io(catalog, where) for scheme, where in by_scheme.items()}
    return map_tables(
        lambda location: read_stored(catalog, location, shared[urlparse(location).scheme]),
        locations,
    )


def read_stored(catalog: SqlCatalog, location: str, io: FileIO | None = None) -> StoredMetadata:
    """Read one metadata file.

    Args:
        catalog: Its settings open the files.
        location: Address of the metadata file.
        io: Opens files by these settings; made if not given.

    Raises:
        UnreadableTableError: It is missing, empty or cut short.
    """
    io = io or open_file_io(catalog, location)
    metadata = read_table_metadata(io, location)
    if any(name.startswith(_FILE_SETTINGS) for name in metadata.properties):
        io = open_file_io(catalog, location, metadata.properties)
    return StoredMetadata(location, metadata, io)


def write_all(catalog: SqlCatalog, tables: Mapping[TableName, StoredMetadata]) -> None:
    """Write metadata files, several at a time, and flush them to disk."""
    map_tables(lambda s: write_metadata(catalog, s.metadata, s.io, s.location), tables)
    if catalog.properties.get(SYNC_PROPERTY) != "false":
        sync_files([stored.location for stored in tables.values()])


def map_tables(function: Callable[[V], R], values: Mapping[TableName, V]) -> dict[TableName, R]:
    """Call a function for each table, several at a time."""
    with ThreadPoolExecutor(_WORKERS) as pool:
        return dict(zip(values, pool.map(function, values.values()), strict=True))


def copy_for(catalog: SqlCatalog, source: StoredMetadata) -> StoredMetadata:
    """Build the metadata with which a branch's catalog begins: its log is empty.

    Else a commit on one side could delete a file of the log that the other side's row names.
    """
    copied = source.metadata.model_copy(
        update={
            "metadata_log": [],
            "properties": _properties(source.metadata, catalog),
        }
    )
    return at_new_location(catalog, source.location, copied, source.io)


def successor(
    catalog: SqlCatalog, current: StoredMetadata, wanted: StoredMetadata
) -> StoredMetadata:
    """Build metadata that takes the place of ``current`` and has the content of ``wanted``.

    Snapshots, branches and tags of the present metadata stay, so that nothing of the table's
    history is lost.
    """
    before, after = current.metadata, wanted.metadata
    snapshots = {s.snapshot_id: s for s in (*before.snapshots, *after.snapshots)}
    refs = {name: ref for name, ref in before.refs.items() if name != MAIN_BRANCH} | after.refs
    merged = after.model_copy(
        update={
            "snapshots": sorted(snapshots.values(), key=lambda s: s.sequence_number or 0),
            "refs": refs,
            "last_column_id": max(before.last_column_id, after.last_column_id),
            "properties": _properties(after, catalog),
            "metadata_log": before.metadata_log,
            "last_updated_ms": max(now_ms(), before.last_updated_ms, after.last_updated_ms),
        }
        | _last_sequence_number(before, after)
    )
    logged = log_metadata(merged, current.location, before.last_updated_ms)
    return at_new_location(catalog, current.location, logged, current.io)


def add_to_summaries(
    made: StoredMetadata, before: StoredMetadata | None, entries: Mapping[str, str]
) -> StoredMetadata:
    """Add entries to the snapshots that an engine made of a table since ``before``.

    One without a parent, as CREATE OR REPLACE TABLE makes it, also names what it took the place of.
    """
    known = {s.snapshot_id for s in before.metadata.snapshots} if before else set()
    replaced = _replaced_entries(made, before) if before else {}
    snapshots = [
        s
        if s.snapshot_id in known
        else _with_entries(s, entries if s.parent_snapshot_id else {**entries, **replaced})
        for s in made.metadata.snapshots
    ]
    return replace(made, metadata=made.metadata.model_copy(update={"snapshots": snapshots}))


def _replaced_entries(made: StoredMetadata, before: StoredMetadata) -> dict[str, str]:
    head = before.metadata.current_snapshot_id
    entries = {REPLACED_ENTRY: str(head)} if head is not None else {}
    if is_another_table(before, made):
        entries[FORMER_TABLE_ENTRY] = before.location
    return entries


def _with_entries(snapshot: Snapshot, entries: Mapping[str, str]) -> Snapshot:
    summary = snapshot.summary or Summary(Operation.OVERWRITE)
    properties = {**entries, **summary.additional_properties}
    return snapshot.model_copy(update={"summary": Summary(summary.operation, **properties)})


def is_another_table(source: StoredMetadata, branch: StoredMetadata) -> bool:
    """Return whether the branch made a table of that name anew, in a folder of its own.

    The source's snapshots do not become part of it: they name files in the folder of the other.
    """
    before, after = source.metadata, branch.metadata
    return before.table_uuid != after.table_uuid and before.location != after.location


def _last_sequence_number(*sides: TableMetadata) -> dict[str, int]:
    """Return the higher number of both sides; tables of format 1 have none."""
    numbers = [getattr(metadata, "last_sequence_number", None) for metadata in sides]
    if None in numbers:
        return {}
    return {"last_sequence_number": max(n for n in numbers if n is not None)}


def at_new_location(
    catalog: SqlCatalog, before: str, metadata: TableMetadata, io: FileIO
) -> StoredMetadata:
    """Give metadata a file of its own, numbered after the file it follows."""
    provider = load_location_provider(metadata.location, metadata.properties)
    version = metadata_version(catalog, before) + 1
    return StoredMetadata(provider.new_table_metadata_file_location(version), metadata, io)


def _properties(metadata: TableMetadata, catalog: SqlCatalog) -> dict[str, str]:
    mark = {BRANCH_PROPERTY: branch_name(catalog.name)} if is_branch(catalog) else {}
    return {k: v for k, v in metadata.properties.items() if k != BRANCH_PROPERTY} | mark


def rows_snapshot(metadata: TableMetadata) -> int | None:
    """Return the newest snapshot that changed rows: joining small files changes none."""
    current = metadata.current_snapshot()
    while current is not None and current.summary is not None:
        if current.summary.operation is not Operation.REPLACE:
            break
        parent_id = current.parent_snapshot_id
        parent = metadata.snapshot_by_id(parent_id) if parent_id is not None else None
        if parent is None:
            return parent_id
        current = parent
    return current.snapshot_id if current else None


def digest(metadata: TableMetadata) -> str:
    """Digest all that readers and loads see of a table but its snapshots."""
    content = {
        "uuid": str(metadata.table_uuid),
        "schema": metadata.schema().model_dump_json(),
        "spec": metadata.spec().model_dump_json(),
        "sort": metadata.default_sort_order_id,
        "properties": {k: v for k, v in metadata.properties.items() if k not in _NO_CONTENT},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def runs_since(metadata: TableMetadata, base_snapshot_id: int | None) -> tuple[str, ...]:
    """Return the ids of runs that wrote a table after a snapshot, newest first."""
    runs: dict[str, None] = {}
    current = metadata.current_snapshot()
    while current is not None and current.snapshot_id != base_snapshot_id:
        run = current.summary.additional_properties.get("phlo.run-id") if current.summary else None
        if run:
            runs[run] = None
        parent = previous_id(current)
        current = metadata.snapshot_by_id(parent) if parent is not None else None
    return tuple(runs)


def delete_metadata(stored: Iterable[StoredMetadata]) -> None:
    """Delete metadata files that no catalog names."""
    with ThreadPoolExecutor(_WORKERS) as pool:
        list(pool.map(lambda one: delete_files(one.io, [one.location]), stored))
