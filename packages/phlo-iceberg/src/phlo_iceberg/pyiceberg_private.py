"""Private parts of pyiceberg that phlo uses; everything else works with its public interface.

Each function says what it does and why no public way will do. All were written for pyiceberg 0.12;
``tests/unit/test_pyiceberg_private.py`` says by name what each must do.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

from pyiceberg.table.update import (
    _apply_table_update,
    _TableMetadataUpdateContext,
    _update_table_metadata_log,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa
    from pyiceberg.catalog import Catalog, MetastoreCatalog
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.io import FileIO
    from pyiceberg.manifest import ManifestFile
    from pyiceberg.schema import Schema
    from pyiceberg.table import StagedTable, Table, Transaction
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.update import TableRequirement, TableUpdate
    from sqlalchemy import ColumnElement

MANIFEST_PATH_POSITION = 0
"""Position of the path in a manifest's record."""


def commit_table(
    handle: Table, updates: tuple[TableUpdate, ...], requirements: tuple[TableRequirement, ...]
) -> None:
    """Commit updates under exactly these requirements.

    The public ``Transaction`` chooses its requirements itself, one for each *type*: a second
    reference is not asserted, and another writer's rows can vanish.
    """
    handle._do_commit(updates, requirements)


def collected_updates(transaction: Transaction) -> tuple[TableUpdate, ...]:
    """Return the updates that a transaction would commit; the public way is to commit them."""
    return transaction._updates


def table_of(transaction: Transaction) -> Table:
    """Return the table of a transaction that creates it; it has no public name."""
    return transaction._table


def write_metadata(
    catalog: MetastoreCatalog, metadata: TableMetadata, io: FileIO, location: str
) -> None:
    """Write a metadata file without naming it in the catalog; publicly the two are one step."""
    catalog._write_metadata(metadata, io, location)


def stage_new_table(
    catalog: SqlCatalog,
    identifier: tuple[str, str],
    requirements: tuple[TableRequirement, ...],
    updates: tuple[TableUpdate, ...],
) -> StagedTable:
    """Build a new table from updates without committing it; publicly it is committed alone."""
    return catalog._update_and_stage_table(None, identifier, requirements, updates)


def only_tables(catalog: SqlCatalog) -> list[ColumnElement[bool]]:
    """Return the conditions for rows of tables: other engines put views into the same database.

    The column is missing in databases that older versions made; no public function knows that.
    """
    condition = catalog._iceberg_type_filter()
    return [] if condition is None else [condition]


def metadata_version(catalog: SqlCatalog, location: str) -> int:
    """Return the number at the beginning of a metadata file's name; no public parser knows it."""
    return catalog._parse_metadata_version(location)


def open_file_io(
    catalog: Catalog, location: str, properties: Mapping[str, str] | None = None
) -> FileIO:
    """Open files with the catalog's settings; ``load_file_io`` does not know a catalog's own."""
    return catalog._load_file_io(properties=dict(properties or {}), location=location)


def table_row(catalog: SqlCatalog, namespace: str, name: str, location: str) -> dict[str, Any]:
    """Return the row by which the catalog's database names a table, for an own transaction."""
    return catalog._create_table_row(namespace, name, location)


def delete_old_metadata(
    catalog: Catalog, io: FileIO, before: TableMetadata, after: TableMetadata
) -> None:
    """Delete metadata files that left the log with this commit; publicly a commit does it."""
    catalog._delete_old_metadata(io, before, after)


def schema_without_ids(schema: pa.Schema) -> Schema:
    """Convert a schema of Arrow whose columns have no ids yet; publicly they must have them."""
    from pyiceberg.io.pyarrow import _pyarrow_to_schema_without_ids  # heavy: not needed to look

    return _pyarrow_to_schema_without_ids(schema, downcast_ns_timestamp_to_us=True)


def apply_updates(metadata: TableMetadata, updates: Iterable[TableUpdate]) -> TableMetadata:
    """Return the metadata as a commit of these updates would make it.

    The public function copies all snapshots at each update; models are not changed in place, so
    what stays the same can be shared.
    """
    context = _TableMetadataUpdateContext()
    for update in updates:
        metadata = _apply_table_update(update, metadata, context)
    return metadata


def log_metadata(
    metadata: TableMetadata, previous_location: str, previous_updated_ms: int
) -> TableMetadata:
    """Return the metadata with its predecessor in the log, old entries cut; see above."""
    return _update_table_metadata_log(metadata, previous_location, previous_updated_ms)


def with_path(manifest: ManifestFile, path: str) -> ManifestFile:
    """Return a copy of a manifest's record at another path; records cannot be built by hand."""
    moved = copy(manifest)
    moved._data = [*manifest._data]
    moved[MANIFEST_PATH_POSITION] = path
    return moved
