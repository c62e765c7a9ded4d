"""Find files of a table that are missing, empty or cut short, as a power cut leaves them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from phlo.errors import UnreadableTableError
from phlo.values import Damage
from pyiceberg.exceptions import ValidationError
from pyiceberg.serializers import FromInputFile

from phlo_iceberg.service_errors import explain
from phlo_iceberg.write.files import list_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phlo.names import TableName
    from pyiceberg.io import FileIO
    from pyiceberg.manifest import DataFile, ManifestFile
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot

UNREADABLE = (ValidationError, ValueError, EOFError, TypeError, KeyError, IndexError)
"""What decoders of JSON, Avro and Parquet raise for a file that is empty or cut short."""


def read_metadata(io: FileIO, path: str) -> TableMetadata:
    """Read a metadata file.

    Raises:
        FileNotFoundError: It is not there.
        ValidationError: It is empty or cut short.
    """
    return FromInputFile.table_metadata(io.new_input(path))


def find_damage(
    table: TableName, io: FileIO, metadata: TableMetadata, *, deep: bool = False
) -> list[Damage]:
    """List the files of the head snapshot that cannot be read.

    Args:
        table: The table.
        io: Reads its files.
        metadata: Its metadata.
        deep: Whether every data file's footer is opened, rather than looking whether it is there
            and as long as it was written.
    """
    snapshot = metadata.current_snapshot()
    if snapshot is None:
        return []
    return list(_damage_of(table, io, metadata, snapshot, deep=deep))


def _damage_of(
    table: TableName, io: FileIO, metadata: TableMetadata, snapshot: Snapshot, *, deep: bool
) -> Iterator[Damage]:
    try:
        manifests = snapshot.manifests(io)
    except FileNotFoundError:
        yield Damage(table, snapshot.manifest_list, "missing")
        return
    except UNREADABLE:
        yield Damage(table, snapshot.manifest_list, "cut")
        return
    sizes = {path: info.size for path, info in list_files(io, metadata.location)}
    for manifest in manifests:
        try:
            files = _live_files(io, manifest)
        except FileNotFoundError:
            yield Damage(table, manifest.manifest_path, "missing")
        except UNREADABLE:
            yield Damage(table, manifest.manifest_path, "cut")
        else:
            yield from _damaged_files(table, io, files, sizes, deep=deep)


def _live_files(io: FileIO, manifest: ManifestFile) -> list[DataFile]:
    entries = manifest.fetch_manifest_entry(io, discard_deleted=True)
    added, existing = manifest.added_files_count, manifest.existing_files_count
    if added is not None and existing is not None and len(entries) != added + existing:
        raise ValueError(f"{manifest.manifest_path} does not list all of its files")
    return [entry.data_file for entry in entries]


def _damaged_files(
    table: TableName, io: FileIO, files: list[DataFile], sizes: dict[str, int], *, deep: bool
) -> Iterator[Damage]:
    for file in files:
        path, size = file.file_path, sizes.get(file.file_path)
        if size is None and not io.new_input(path).exists():
            yield Damage(table, path, "missing")
        elif size not in (None, file.file_size_in_bytes) or (deep and not _has_footer(io, path)):
            yield Damage(table, path, "cut")


def _has_footer(io: FileIO, path: str) -> bool:
    try:
        with io.new_input(path).open() as stream:
            pq.read_metadata(stream)
    except (pa.ArrowInvalid, OSError) as error:
        explained = explain(error)
        if explained is error or isinstance(explained, UnreadableTableError):
            return False
        raise  # a store that does not answer says nothing of the file
    return True
