"""Find the files that a table's metadata reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyiceberg.io import FileIO
    from pyiceberg.table.metadata import TableMetadata

FOLDER_PROPERTIES = (
    "write.data.path",
    "write.metadata.path",
    "write.folder-storage.path",
    "write.object-storage.path",
)
"""Properties of a table that name folders into which its files are written."""


def owned_files(metadata: TableMetadata, paths: Iterable[str]) -> set[str]:
    """Return the files that a table owns: those in its own folders.

    A table may name files of another one, such as one that a branch made of files which are there.
    They are never its own to delete: the table in whose folder they stand removes them once no
    metadata reaches them.
    """
    properties = metadata.properties
    folders = [metadata.location, *(properties[p] for p in FOLDER_PROPERTIES if p in properties)]
    roots = tuple(folder.rstrip("/") + "/" for folder in folders)
    return {path for path in paths if path.startswith(roots)}


class ReachableFiles:
    """The files that some snapshot of the metadata added needs, metadata files included.

    A manifest that several snapshots or branches share is read once.
    """

    def __init__(self) -> None:
        self.paths: set[str] = set()

    def add(self, location: str, metadata: TableMetadata, io: FileIO) -> None:
        """Add what metadata reaches.

        Args:
            location: Address of the metadata's own file.
            metadata: Its snapshots are followed.
            io: Reads manifest lists and manifests.
        """
        self.paths |= {location, *(entry.metadata_file for entry in metadata.metadata_log)}
        self.paths |= {s.statistics_path for s in metadata.statistics}
        self.paths |= {s.statistics_path for s in metadata.partition_statistics}
        for snapshot in metadata.snapshots:
            if snapshot.manifest_list in self.paths:
                continue
            for manifest in snapshot.manifests(io):
                if manifest.manifest_path not in self.paths:
                    entries = manifest.fetch_manifest_entry(io)
                    self.paths |= {entry.data_file.file_path for entry in entries}
                    self.paths.add(manifest.manifest_path)
            self.paths.add(snapshot.manifest_list)
