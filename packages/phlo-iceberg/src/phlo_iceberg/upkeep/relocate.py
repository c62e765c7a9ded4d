"""Writing a table's metadata anew after its folder was moved or copied.

Iceberg's metadata, manifest lists, manifests and position deletes hold absolute paths. Data files
hold none, so they stay as they are; everything else is written under new names into the folder, for
every snapshot that is kept, and takes effect when the catalog names it.
"""

# pyright: reportCallIssue=false
# pyiceberg's models take their fields by name; a type checker sees the aliases alone.

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    read_manifest_list,
    write_manifest_list,
)

from phlo_iceberg.pyiceberg_private import MANIFEST_PATH_POSITION, with_path
from phlo_iceberg.read.reachable import FOLDER_PROPERTIES
from phlo_iceberg.write.data_files import DELETE_SCHEMA, write_delete_file
from phlo_iceberg.write.snapshot import manifest_writer

if TYPE_CHECKING:
    from pyiceberg.io import FileIO, InputFile
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot

_MANIFEST_LENGTH = 1
_FILE_PATH = 1


class Relocation:
    """One table's metadata for the folder in which it now stands.

    Args:
        metadata: As it was where it stood before.
        io: Reads and writes the files of the folder.
        folder: Address of the table's folder now.
        source: Reads the files where they stood before, of a table that is copied; ``None`` for
            one that was moved: they are read where they stand now.
    """

    def __init__(
        self, metadata: TableMetadata, io: FileIO, folder: str, source: FileIO | None = None
    ) -> None:
        self._before, self._io, self._folder, self._source = metadata, io, folder, source
        # Everything that refers to paths is written by what the table will be.
        self._now = self._at_folder(metadata)
        self._lists: dict[str, str] = {}
        self._manifests: dict[str, ManifestFile] = {}
        self._deletes: dict[str, DataFile] = {}

    def moved(self, path: str) -> str:
        """Return where a file is now.

        One outside of the table's folder has not moved; copied, it comes into the folder.
        """
        inside = self._moved_inside(path)
        if inside != path or self._source is None:
            return inside
        mark = hashlib.sha256(path.encode()).hexdigest()[:16]
        return f"{self._folder}/data/{mark}-{path.rpartition('/')[2]}"

    def _moved_inside(self, path: str) -> str:
        old = self._before.location.rstrip("/")
        return self._folder + path.removeprefix(old) if path.startswith(f"{old}/") else path

    def metadata(self) -> TableMetadata:
        """Write manifests and manifest lists; returns metadata that names them."""
        self._lists = {s.manifest_list: self._write_list(s) for s in self._before.snapshots}
        return self.renamed(self._before)

    def renamed(self, metadata: TableMetadata) -> TableMetadata:
        """Return metadata of the table, this or earlier one, with all paths as they are now.

        Its snapshots are those that :meth:`metadata` wrote; others have expired, and their files
        are gone.
        """
        return self._at_folder(metadata).model_copy(
            update={
                "snapshots": [
                    s.model_copy(update={"manifest_list": self._list_of(s)})
                    for s in metadata.snapshots
                ],
                "metadata_log": [
                    e.model_copy(update={"metadata_file": self.moved(e.metadata_file)})
                    for e in metadata.metadata_log
                ],
                "statistics": [
                    s.model_copy(update={"statistics_path": self.moved(s.statistics_path)})
                    for s in metadata.statistics
                ],
                "partition_statistics": [
                    s.model_copy(update={"statistics_path": self.moved(s.statistics_path)})
                    for s in metadata.partition_statistics
                ],
            }
        )

    def _at_folder(self, metadata: TableMetadata) -> TableMetadata:
        properties = {
            k: self._moved_inside(v)
            for k, v in metadata.properties.items()
            # A copy must not write where the original does.
            if not (self._source and k in FOLDER_PROPERTIES and self._moved_inside(v) == v)
        }
        return metadata.model_copy(update={"location": self._folder, "properties": properties})

    def _list_of(self, snapshot: Snapshot) -> str:
        return self._lists.get(snapshot.manifest_list) or self.moved(snapshot.manifest_list)

    def _write_list(self, snapshot: Snapshot) -> str:
        listed = self._input(snapshot.manifest_list)
        manifests = [self._manifest(m) for m in read_manifest_list(listed)]
        path = self._new_path(f"snap-{snapshot.snapshot_id}-0-{uuid.uuid4()}.avro")
        with write_manifest_list(
            format_version=self._before.format_version,
            output_file=self._io.new_output(path),
            snapshot_id=snapshot.snapshot_id,
            parent_snapshot_id=snapshot.parent_snapshot_id,
            sequence_number=snapshot.sequence_number,
            avro_compression="deflate",
        ) as writer:
            writer.add_manifests(manifests)
        return path

    def _input(self, path: str) -> InputFile:
        """Open a file by the path that it had before."""
        if self._source is None:
            return self._io.new_input(self.moved(path))
        return self._source.new_input(path)

    def _new_path(self, name: str) -> str:
        return f"{self._folder}/metadata/{name}"

    def _manifest(self, manifest: ManifestFile) -> ManifestFile:
        """Write a manifest anew, once, with the present paths of its files."""
        if manifest.manifest_path not in self._manifests:
            self._manifests[manifest.manifest_path] = self._write_manifest(manifest)
        return self._manifests[manifest.manifest_path]

    def _write_manifest(self, manifest: ManifestFile) -> ManifestFile:
        io = self._source or self._io
        there = with_path(manifest, self._input(manifest.manifest_path).location)
        entries = there.fetch_manifest_entry(io, discard_deleted=False)
        writer = manifest_writer(
            self._now,
            manifest.partition_spec_id,
            manifest.content,
            self._io.new_output(self._new_path(f"{uuid.uuid4()}-m0.avro")),
            manifest.added_snapshot_id,
        )
        with writer:
            for entry in entries:
                writer.add_entry(self._entry(entry))
        written = writer.to_manifest_file()
        # Counts, bounds and sequence numbers stay: the entries are the same.
        there[MANIFEST_PATH_POSITION] = written.manifest_path
        there[_MANIFEST_LENGTH] = written.manifest_length
        return there

    def _entry(self, entry: ManifestEntry) -> ManifestEntry:
        file = entry.data_file
        is_live = entry.status != ManifestEntryStatus.DELETED
        if is_live and file.content == DataFileContent.POSITION_DELETES:
            file = self._delete_file(file)
        else:
            file[_FILE_PATH] = self.moved(file.file_path)
        return ManifestEntry.from_args(
            status=entry.status,
            snapshot_id=entry.snapshot_id,
            sequence_number=entry.sequence_number,
            file_sequence_number=entry.file_sequence_number,
            data_file=file,
        )

    def _delete_file(self, file: DataFile) -> DataFile:
        """Write position deletes anew: they name the data files they belong to."""
        if file.file_path not in self._deletes:
            with self._input(file.file_path).open() as stream:
                rows = pq.read_table(stream, columns=["file_path", "pos"])  # type: ignore[arg-type]
            paths = pa.array(map(self.moved, rows["file_path"].to_pylist()))
            moved = pa.table([paths, rows["pos"]], names=DELETE_SCHEMA.names)
            self._deletes[file.file_path] = write_delete_file(
                self._now,
                self._io,
                file.spec_id,
                file.partition,
                moved.cast(DELETE_SCHEMA).sort_by([(n, "ascending") for n in moved.column_names]),
                [],
            )
        return self._deletes[file.file_path]
