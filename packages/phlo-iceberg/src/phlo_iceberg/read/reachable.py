"""Find the files that a table's metadata reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyiceberg.io import FileIO
    from pyiceberg.table.metadata import TableMetadata


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
