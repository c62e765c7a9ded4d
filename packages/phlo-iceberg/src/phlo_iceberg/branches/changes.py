"""Find out which tables a branch changed, and which of them its source changed as well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from phlo.branches import TableChange

from phlo_iceberg.branches.metadata import (
    StoredMetadata,
    digest,
    read_all,
    rows_snapshot,
    runs_since,
)
from phlo_iceberg.branches.names import branch_name, open_branch
from phlo_iceberg.branches.records import read_bases, require_branch, table_locations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phlo.names import TableName
    from pyiceberg.catalog.sql import SqlCatalog
    from sqlalchemy import Row


@dataclass(frozen=True)
class Comparison:
    """One table as a branch and its source have it.

    Attributes:
        table: The table.
        base: What the branch began from; ``None`` for a table that the branch made.
        branch: Its metadata on the branch; ``None`` where the branch does not have it.
        source: Its metadata on the source; ``None`` where the source does not have it.
    """

    table: TableName
    base: Row | None
    branch: StoredMetadata | None
    source: StoredMetadata | None

    @property
    def is_changed(self) -> bool:
        """Whether the branch has another state than it began from."""
        return not _is_as(self.branch, self.base)

    @property
    def is_moved(self) -> bool:
        """Whether the source has another state than the branch began from."""
        return not _is_as(self.source, self.base)

    @property
    def change(self) -> TableChange | None:
        """What the branch did to the table; ``None`` where both sides have come to the same."""
        if not self.is_changed or (self.branch is None and self.source is None):
            return None
        base_id = self.base.base_snapshot_id if self.base is not None else None
        return TableChange(
            self.table,
            "dropped" if self.branch is None else "created" if self.base is None else "changed",
            base_snapshot_id=base_id,
            snapshot_id=_head(self.branch),
            source_snapshot_id=_head(self.source),
            is_conflict=self.is_moved,
            runs=runs_since(self.branch.metadata, base_id) if self.branch else (),
            source_runs=runs_since(self.source.metadata, base_id)
            if self.source and self.is_moved
            else (),
        )


def _is_as(stored: StoredMetadata | None, base: Row | None) -> bool:
    if stored is None or base is None:
        return stored is None and base is None
    if stored.location in (base.base_location, base.branch_location):
        return True
    return (
        rows_snapshot(stored.metadata) == base.base_rows_snapshot_id
        and digest(stored.metadata) == base.base_digest
    )


def _head(stored: StoredMetadata | None) -> int | None:
    return stored.metadata.current_snapshot_id if stored else None


@dataclass(frozen=True)
class Sides:
    """A branch and its source, as they are at one look.

    Attributes:
        branch: The branch's catalog.
        source: The catalog that it was made from.
        bases: What the branch's tables began from.
        branch_locations: Where the metadata of the branch's tables is.
        source_locations: Where that of the source's tables is.
    """

    branch: SqlCatalog
    source: SqlCatalog
    bases: Mapping[TableName, Row]
    branch_locations: Mapping[TableName, str]
    source_locations: Mapping[TableName, str]

    def compare(self, tables: set[TableName]) -> list[Comparison]:
        """Read and compare tables, sorted by name."""
        on_branch = read_all(self.branch, _only(self.branch_locations, tables))
        on_source = read_all(self.source, _only(self.source_locations, tables))
        return [
            Comparison(t, self.bases.get(t), on_branch.get(t), on_source.get(t))
            for t in sorted(tables)
        ]

    def touched(self) -> set[TableName]:
        """Return the tables whose metadata the branch replaced, made or dropped."""
        began = {table: base.branch_location for table, base in self.bases.items()}
        return _different(began, self.branch_locations)

    def moved(self) -> set[TableName]:
        """Return the tables whose metadata the source replaced, made or dropped."""
        began = {table: base.base_location for table, base in self.bases.items()}
        return _different(began, self.source_locations)


def _only(locations: Mapping[TableName, str], tables: set[TableName]) -> dict[TableName, str]:
    return {table: where for table, where in locations.items() if table in tables}


def _different(before: Mapping[TableName, str], after: Mapping[TableName, str]) -> set[TableName]:
    return {t for t in {*before, *after} if before.get(t) != after.get(t)}


def read_sides(catalog: SqlCatalog, name: str) -> Sides:
    """Read what a branch and its source have.

    Raises:
        BranchNotFoundError: There is no such branch.
    """
    branch = require_branch(catalog, name)
    branch_catalog = open_branch(catalog, name)
    source_catalog = open_branch(catalog, branch.source or branch_name(catalog.name))
    return Sides(
        branch_catalog,
        source_catalog,
        read_bases(branch_catalog),
        table_locations(branch_catalog),
        table_locations(source_catalog),
    )


def find_changes(catalog: SqlCatalog, name: str) -> list[TableChange]:
    """List the tables that a branch changed, sorted by name."""
    sides = read_sides(catalog, name)
    changes = (comparison.change for comparison in sides.compare(sides.touched()))
    return [change for change in changes if change is not None]
