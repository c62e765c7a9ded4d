"""Find out what a migration of an embedded lake copies, and refuse what cannot be copied."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from phlo.errors import (
    MigrationError,
    TableNotFoundError,
    UnreadableTableError,
    nearest,
    one_of,
)
from phlo.migration import MigratedTable
from pyiceberg.manifest import DataFileContent, ManifestEntry, ManifestEntryStatus

from phlo_iceberg.branches.metadata import MIGRATED_PROPERTY, read_all
from phlo_iceberg.branches.names import open_branch
from phlo_iceberg.branches.records import created_at_ms, list_branches, table_locations
from phlo_iceberg.pyiceberg_private import open_file_io
from phlo_iceberg.read.counts import count_rows
from phlo_iceberg.read.state import TableState
from phlo_iceberg.upkeep.embedded import EmbeddedTable, read_tables
from phlo_iceberg.upkeep.relocate import Relocation
from phlo_iceberg.write.files import list_files
from phlo_iceberg.write.metadata_updates import refuse_newer_format

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from phlo.branches import Branch
    from phlo.names import TableName
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.io import FileIO
    from pyiceberg.table.metadata import TableMetadata

    from phlo_iceberg.branches.metadata import StoredMetadata

Action = Literal["copied", "updated", "present"]
_NEWER_FORMAT = "Name the other tables: phlo catalog migrate TABLE ..."


@dataclass
class TableCopy:
    """One table to copy.

    Attributes:
        origin: The table in the embedded lake.
        action: What becomes of it.
        relocation: Knows where its files go, and writes its metadata.
        folder: Address of the copy's folder.
        io: Reads and writes the files of the target.
        sizes: Size of each file to copy, by its path in the embedded lake.
        replaced: The metadata that the target names now; ``None`` for a table it does not have.
    """

    origin: EmbeddedTable
    action: Action
    relocation: Relocation
    folder: str
    io: FileIO
    replaced: str | None = None
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def metadata(self) -> TableMetadata:
        """The metadata in the embedded lake."""
        return self.origin.stored.metadata

    @property
    def location(self) -> str:
        """Where the metadata of the copy is."""
        return self.relocation.moved(self.origin.stored.location)

    @cached_property
    def missing(self) -> list[str]:
        """The files that are not in the target yet."""
        there = {path: info.size for path, info in list_files(self.io, self.folder)}
        return [p for p, n in self.sizes.items() if there.get(self.relocation.moved(p)) != n]

    @cached_property
    def report(self) -> MigratedTable:
        """What is told of it."""
        missing = [] if self.action == "present" else self.missing
        return MigratedTable(
            self.origin.table,
            self.action,
            rows=count_rows(self.state(self.metadata.current_snapshot_id)),
            snapshots=len(self.metadata.snapshots),
            files=len(missing),
            size_bytes=sum(self.sizes[path] for path in missing),
            branch=self.origin.branch,
        )

    def state(self, snapshot_id: int | None) -> TableState:
        """Return a state of the table in the embedded lake."""
        return TableState(self.origin.table, self.metadata, self.origin.stored.io, snapshot_id)


@dataclass(frozen=True)
class MigrationPlan:
    """What a migration does: tables of main, and whole branches."""

    copies: list[TableCopy]
    branches: list[Branch]

    def of_branch(self, branch: str) -> list[TableCopy]:
        """Return the tables of a branch."""
        return [copy for copy in self.copies if copy.origin.branch == branch]


class Planner:
    """Finds out what there is to copy, and refuses what cannot be, before anything is written."""

    def __init__(self, source: SqlCatalog, target: SqlCatalog) -> None:
        self._source, self._target = source, target
        self._manifests: dict[str, dict[str, int]] = {}
        self._planned: set[str] = set()

    def plan(self, tables: Sequence[TableName]) -> MigrationPlan:
        """Plan tables of main, or all tables and all branches where none is named."""
        copies = self._copies(_selected(read_tables(self._source), tables))
        if tables:
            return MigrationPlan(copies, [])
        new = self._new_branches()
        for branch in new:
            copies += self._copies(read_tables(self._source, branch.name))
        return MigrationPlan(copies, new)

    def _copies(self, origins: Sequence[EmbeddedTable]) -> list[TableCopy]:
        if not origins:
            return []
        target = open_branch(self._target, origins[0].branch)
        there = read_all(target, _only(table_locations(target), {o.table for o in origins}))
        copies = [self._copy(origin, there.get(origin.table)) for origin in origins]
        conflicts = [
            str(c.origin.table) for c in copies if c.action == "updated" and not c.replaced
        ]
        if conflicts:
            raise other_content(conflicts, self._target.name)
        return copies

    def _copy(self, origin: EmbeddedTable, there: StoredMetadata | None) -> TableCopy:
        refuse_newer_format(origin.table, origin.stored.metadata, _NEWER_FORMAT)
        folder = self._folder(origin)
        io = open_file_io(self._target, folder)
        metadata = origin.stored.metadata
        relocation = Relocation(metadata, io, folder, source=origin.stored.io)
        copy = TableCopy(origin, "copied", relocation, folder, io)
        if there is not None:
            copied = _copied_from(there, metadata)
            if copied == origin.stored.location:
                copy.action = "present"
                return copy
            copy.action = "updated"
            if copied is not None and relocation.moved(copied) == there.location:
                copy.replaced = there.location
        sizes = self._sizes(origin)
        # A branch has most files of main: they are copied once.
        copy.sizes = {p: n for p, n in sizes.items() if relocation.moved(p) not in self._planned}
        self._planned.update(map(relocation.moved, copy.sizes))
        return copy

    def _folder(self, origin: EmbeddedTable) -> str:
        """Return the folder of the copy: at the same place in the warehouse as the original's."""
        mine, theirs = (c.properties["warehouse"].rstrip("/") for c in (self._source, self._target))
        location = origin.stored.metadata.location.rstrip("/")
        inside = location.removeprefix(f"{mine}/")
        if inside == location:
            inside = f"{origin.table.namespace}/{origin.table.name}"
        return f"{theirs}/{inside}"

    def _sizes(self, origin: EmbeddedTable) -> dict[str, int]:
        """Return the files that some snapshot needs, but position deletes: these name paths."""
        metadata, io = origin.stored.metadata, origin.stored.io
        statistics = [*metadata.statistics, *metadata.partition_statistics]
        sizes = {s.statistics_path: s.file_size_in_bytes for s in statistics}
        try:
            for snapshot in metadata.snapshots:
                for manifest in snapshot.manifests(io):
                    path = manifest.manifest_path
                    if path not in self._manifests:
                        entries = manifest.fetch_manifest_entry(io, discard_deleted=True)
                        self._manifests[path] = dict(_copied_as_they_are(entries))
                    sizes |= self._manifests[path]
        except FileNotFoundError as error:
            raise unreadable(origin.table, error) from error
        return sizes

    def _new_branches(self) -> list[Branch]:
        """Return the branches to copy, in the order in which they were made."""
        there = {branch.name: branch for branch in list_branches(self._target)}
        here = [b for b in list_branches(self._source) if not b.is_main]
        for branch in here:
            if branch.name in there and not self._is_copy(branch, there[branch.name]):
                raise MigrationError(
                    f"The target has a branch {branch.name!r} with other content.",
                    got=f"a branch that was made, or loaded, apart from the embedded {branch.name}",
                    expected="no branch of that name, or an unchanged copy",
                    hint="Delete one of the two: phlo branch delete",
                )
        new = [branch for branch in here if branch.name not in there]
        return sorted(new, key=created_at_ms)

    def _is_copy(self, here: Branch, there: Branch) -> bool:
        if created_at_ms(here) != created_at_ms(there):
            return False
        target = open_branch(self._target, here.name)
        copies = read_all(target, table_locations(target))
        return all(
            _copied_from(copies[o.table], o.stored.metadata) == o.stored.location
            for o in read_tables(self._source, here.name)
            if o.table in copies
        )


def _selected(origins: list[EmbeddedTable], tables: Sequence[TableName]) -> list[EmbeddedTable]:
    if not tables:
        return origins
    known = [str(origin.table) for origin in origins]
    for table in tables:
        if str(table) not in known:
            near = nearest(str(table), known)
            raise TableNotFoundError(
                f"The embedded lake has no table {str(table)!r}.",
                got=repr(str(table)),
                expected=one_of(known, near),
                hint=f"Did you mean {near[0]!r}?" if near else "phlo catalog migrate --dry-run",
                table=table,
            )
    return [origin for origin in origins if origin.table in tables]


def _only(
    locations: Mapping[TableName, str], tables: Collection[TableName]
) -> dict[TableName, str]:
    return {table: where for table, where in locations.items() if table in tables}


def _copied_from(there: StoredMetadata, metadata: TableMetadata) -> str | None:
    """Return the metadata that a table was copied from; ``None``: it is no copy of this table."""
    if there.metadata.table_uuid != metadata.table_uuid:
        return None
    return there.metadata.properties.get(MIGRATED_PROPERTY)


def _copied_as_they_are(entries: Iterable[ManifestEntry]) -> Iterator[tuple[str, int]]:
    for entry in entries:
        file = entry.data_file
        is_live = entry.status != ManifestEntryStatus.DELETED
        if is_live and file.content != DataFileContent.POSITION_DELETES:
            yield file.file_path, file.file_size_in_bytes


def other_content(tables: Sequence[str], catalog: str) -> MigrationError:
    """Build the error for tables of the target that no copy may take the place of."""
    return MigrationError(
        f"The catalog {catalog!r} has tables of these names with other content: "
        f"{', '.join(tables)}. Nothing was copied.",
        got="tables that are no copies, or were loaded on both sides since they were copied",
        expected="no table of that name, or a copy that only the embedded lake has gone on from",
        hint="Drop what the catalog should not have (phlo catalog drop TABLE --yes), or name the "
        "other tables: phlo catalog migrate TABLE ...",
        tables=tables,
    )


def unreadable(table: TableName, error: FileNotFoundError) -> UnreadableTableError:
    """Build the error for a file that the embedded lake has lost."""
    return UnreadableTableError(
        f"A file of {table} is missing in the embedded lake. {error}",
        hint="`phlo doctor` names the file; without the new settings, `phlo doctor --fix` goes "
        "back to the newest snapshot that is whole.",
        table=table,
    )
