"""Building an Iceberg snapshot from files, in memory that is already at hand.

pyiceberg's own producers copy all metadata at every access, never merge manifests in an overwrite
and cannot add delete files; its manifest writers do the work here.
"""

# pyright: reportCallIssue=false
# pyiceberg's models take their fields by name; a type checker sees the aliases alone.

from __future__ import annotations

import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from phlo.errors import MovedHeadError
from pyiceberg.manifest import (
    DataFile,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    ManifestWriter,
    ManifestWriterV1,
    ManifestWriterV2,
    write_manifest_list,
)
from pyiceberg.table.locations import load_location_provider
from pyiceberg.table.snapshots import (
    Operation,
    Snapshot,
    SnapshotSummaryCollector,
    Summary,
    update_snapshot_summaries,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pyiceberg.io import FileIO, OutputFile
    from pyiceberg.table.metadata import TableMetadata

MIN_MANIFESTS_TO_MERGE = 10
MAX_MERGED_MANIFEST_BYTES = 8 * 1024 * 1024
MIN_GONE_FILES = 20
"""Entries of removed files from which on a manifest is written anew without them."""


@dataclass(frozen=True)
class Change:
    """Files by which a table's next state differs.

    Attributes:
        added: New data files.
        removed: Live data files (and delete files) that are no longer part of the table.
        deletes: New position-delete files.
        written: Paths of all files written for this change, for clean-up.
    """

    added: Sequence[DataFile] = ()
    removed: Sequence[DataFile] = ()
    deletes: Sequence[DataFile] = ()
    written: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether the table stays as it is."""
        return not (self.added or self.removed or self.deletes)


class _DeleteManifestWriter(ManifestWriterV2):
    """A manifest of delete files; pyiceberg writes those of data files alone."""

    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


def manifest_writer(
    metadata: TableMetadata,
    spec_id: int,
    content: ManifestContent,
    output: OutputFile,
    snapshot_id: int | None,
) -> ManifestWriter:
    """Open a manifest of data files or of delete files.

    Args:
        metadata: Schema and specs of the table.
        spec_id: The partition spec of the files.
        content: What the files are.
        output: Where it is written.
        snapshot_id: The snapshot that adds it.
    """
    if content == ManifestContent.DELETES:
        kind = _DeleteManifestWriter
    else:
        kind = ManifestWriterV1 if metadata.format_version == 1 else ManifestWriterV2
    return kind(
        spec=metadata.specs()[spec_id],
        schema=metadata.schema(),
        output_file=output,
        snapshot_id=snapshot_id,  # pyright: ignore[reportArgumentType] - old tables may lack it
        avro_compression="deflate",
    )


class SnapshotBuilder:
    """Writes the manifests and the manifest list of one snapshot.

    Args:
        metadata: The table as it is, schema changes of the same commit applied.
        io: Writes the files.
        parent: The snapshot built upon; ``None`` for the first.
        change: The files.
    """

    def __init__(
        self, metadata: TableMetadata, io: FileIO, parent: Snapshot | None, change: Change
    ) -> None:
        self._metadata, self._io, self._parent, self._change = metadata, io, parent, change
        self._id = metadata.new_snapshot_id()
        self._uuid = uuid.uuid4()
        self._locations = load_location_provider(metadata.location, metadata.properties)
        self._count = 0
        self._removed = set(change.removed)

    def build(self, summary: Mapping[str, str], *, operation: Operation | None = None) -> Snapshot:
        """Write everything and return the snapshot, which no catalog knows yet.

        Args:
            summary: Further entries of its summary.
            operation: What it is called; by default append or overwrite, by what it does.

        Raises:
            MovedHeadError: A file to remove is not live in ``parent`` any more.
        """
        manifests = self._merge(self._added_manifests() + self._kept_manifests())
        sequence_number = self._metadata.next_sequence_number()
        path = self._new_path(f"snap-{self._id}-0-{self._uuid}.avro")
        with write_manifest_list(
            format_version=self._metadata.format_version,
            output_file=self._io.new_output(path),
            snapshot_id=self._id,
            parent_snapshot_id=self._parent.snapshot_id if self._parent else None,
            sequence_number=sequence_number,
            avro_compression="deflate",
        ) as writer:
            writer.add_manifests(manifests)
        return Snapshot(
            snapshot_id=self._id,
            parent_snapshot_id=self._parent.snapshot_id if self._parent else None,
            manifest_list=path,
            sequence_number=sequence_number,
            summary=self._summary(summary, operation),
            schema_id=self._metadata.current_schema_id,
        )

    def _new_path(self, name: str) -> str:
        path = self._locations.new_metadata_location(name)
        self._change.written.append(path)
        return path

    def _writer(self, spec_id: int, content: ManifestContent) -> ManifestWriter:
        name = f"{self._uuid}-m{self._count}.avro"
        self._count += 1
        output = self._io.new_output(self._new_path(name))
        return manifest_writer(self._metadata, spec_id, content, output, self._id)

    def _added_manifests(self) -> list[ManifestFile]:
        return [
            self._write_manifest(
                spec_id, content, [_entry(f, ManifestEntryStatus.ADDED, self._id) for f in files]
            )
            for content, added in (
                (ManifestContent.DATA, self._change.added),
                (ManifestContent.DELETES, self._change.deletes),
            )
            for spec_id, files in _by_spec(added).items()
        ]

    def _write_manifest(
        self, spec_id: int, content: ManifestContent, entries: Iterable[ManifestEntry]
    ) -> ManifestFile:
        with self._writer(spec_id, content) as writer:
            for entry in entries:
                writer.add_entry(entry)
        return writer.to_manifest_file()

    def _kept_manifests(self) -> list[ManifestFile]:
        """Return the parent's manifests; those that hold removed files are written anew."""
        missing = set(self._removed)
        kept: list[ManifestFile] = []
        for manifest in self._parent.manifests(self._io) if self._parent else []:
            entries = manifest.fetch_manifest_entry(self._io) if missing else []
            found = {e.data_file for e in entries} & missing
            missing -= found
            if found:
                kept.append(self._without(manifest, entries, found))
            elif manifest.has_added_files() or manifest.has_existing_files():
                kept.append(manifest)
        if missing:
            raise MovedHeadError(
                f"{len(missing)} data files planned to be replaced are no longer part of the table."
            )
        return kept

    def _without(
        self, manifest: ManifestFile, entries: Sequence[ManifestEntry], found: set[DataFile]
    ) -> ManifestFile:
        statuses = (
            (
                e,
                ManifestEntryStatus.DELETED
                if e.data_file in found
                else ManifestEntryStatus.EXISTING,
            )
            for e in entries
        )
        return self._write_manifest(
            manifest.partition_spec_id,
            manifest.content,
            [_with_status(entry, status, self._id) for entry, status in statuses],
        )

    def _merge(self, manifests: list[ManifestFile]) -> list[ManifestFile]:
        """Merge small manifests of one kind into one, once there are many.

        Those that name more removed than live files, as a compaction leaves them, are merged at
        the next commit: every reader of the table would decode them.
        """
        groups: dict[tuple[int, ManifestContent], list[ManifestFile]] = defaultdict(list)
        for manifest in manifests:
            groups[manifest.partition_spec_id, manifest.content].append(manifest)
        merged: list[ManifestFile] = []
        for (spec_id, content), group in groups.items():
            small = [m for m in group if m.manifest_length < MAX_MERGED_MANIFEST_BYTES]
            if len(small) < MIN_MANIFESTS_TO_MERGE:
                small = [m for m in small if self._is_mostly_gone(m)]
            if not small:
                merged += group
                continue
            merged += [m for m in group if m not in small]
            merged.append(self._write_manifest(spec_id, content, self._merged_entries(small)))
        return merged

    def _is_mostly_gone(self, manifest: ManifestFile) -> bool:
        """Return whether most entries are of files that an earlier snapshot removed."""
        gone = manifest.deleted_files_count or 0
        live = (manifest.added_files_count or 0) + (manifest.existing_files_count or 0)
        is_own = manifest.added_snapshot_id == self._id
        return not is_own and gone >= MIN_GONE_FILES and gone > live

    def _merged_entries(self, manifests: Sequence[ManifestFile]) -> Iterable[ManifestEntry]:
        for manifest in manifests:
            for entry in manifest.fetch_manifest_entry(self._io, discard_deleted=False):
                is_own = entry.snapshot_id in (self._id, None)
                if is_own and entry.status == ManifestEntryStatus.ADDED:
                    yield _entry(entry.data_file, ManifestEntryStatus.ADDED, self._id)
                elif entry.status != ManifestEntryStatus.DELETED:
                    yield _with_status(entry, ManifestEntryStatus.EXISTING, self._id)
                elif is_own:
                    yield entry

    def _summary(self, extra: Mapping[str, str], named: Operation | None) -> Summary:
        collector = SnapshotSummaryCollector()
        schema, specs = self._metadata.schema(), self._metadata.specs()
        for file in (*self._change.added, *self._change.deletes):
            collector.add_file(file, schema=schema, partition_spec=specs[file.spec_id])
        for file in self._removed:
            collector.remove_file(file, schema=schema, partition_spec=specs[file.spec_id])
        is_append = not (self._removed or self._change.deletes)
        operation = Operation.APPEND if is_append else Operation.OVERWRITE
        built = update_snapshot_summaries(
            Summary(operation=operation, **collector.build(), **extra),
            self._parent.summary if self._parent else None,  # pyright: ignore[reportArgumentType]
        )
        # pyiceberg counts the totals of these two alone; "replace" changes files, not rows.
        return Summary(operation=named or operation, **built.additional_properties)


def _by_spec(files: Iterable[DataFile]) -> dict[int, list[DataFile]]:
    groups: dict[int, list[DataFile]] = defaultdict(list)
    for file in files:
        groups[file.spec_id].append(file)
    return groups


def _entry(file: DataFile, status: ManifestEntryStatus, snapshot_id: int) -> ManifestEntry:
    return ManifestEntry.from_args(
        status=status,
        snapshot_id=snapshot_id,
        sequence_number=None,
        file_sequence_number=None,
        data_file=file,
    )


def _with_status(
    entry: ManifestEntry, status: ManifestEntryStatus, snapshot_id: int
) -> ManifestEntry:
    deleted = status == ManifestEntryStatus.DELETED
    return ManifestEntry.from_args(
        status=status,
        snapshot_id=snapshot_id if deleted else entry.snapshot_id,
        sequence_number=entry.sequence_number,
        file_sequence_number=entry.file_sequence_number,
        data_file=entry.data_file,
    )
