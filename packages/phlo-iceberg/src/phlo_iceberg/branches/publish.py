"""Publish a branch: every table that it changed moves to its source, all or none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from phlo.errors import BranchConflictError, MovedHeadError
from pyiceberg.catalog.sql import IcebergNamespaceProperties, IcebergTables
from pyiceberg.table import StagedTable
from sqlalchemy import delete, insert, select, update

from phlo_iceberg.branches.changes import Comparison, Sides, read_sides
from phlo_iceberg.branches.create import base_row
from phlo_iceberg.branches.metadata import (
    StoredMetadata,
    add_to_summaries,
    copy_for,
    delete_metadata,
    is_another_table,
    successor,
    write_all,
)
from phlo_iceberg.branches.names import branch_name
from phlo_iceberg.branches.records import BASES, is_branch
from phlo_iceberg.branches.transaction import (
    NOTHING_LANDED,
    RefusedError,
    discarding,
    send_transaction,
)
from phlo_iceberg.commit.branch_lock import lock_branch
from phlo_iceberg.commit.sql import row_of, tidy
from phlo_iceberg.pyiceberg_private import table_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from phlo.branches import TableChange
    from phlo.names import TableName
    from pyiceberg.catalog.sql import SqlCatalog
    from sqlalchemy.orm import Session

ATTEMPTS = 25


def publish_branch(
    catalog: SqlCatalog,
    name: str,
    unmoved: Iterable[TableName] = (),
    created_at_ms: int | None = None,
    summaries: Mapping[TableName, Mapping[str, str]] | None = None,
) -> list[TableChange]:
    """Publish a branch (see :meth:`phlo.branches.KeepsBranches.publish_branch`).

    Args:
        catalog: Any catalog of the lake.
        name: The branch.
        unmoved: Tables that the source must not have changed either.
        created_at_ms: When the branch was made that is meant; ``None`` for any of that name.
        summaries: Entries for the snapshots that the branch made, by table.
    """
    reads = set(unmoved)
    for _ in range(ATTEMPTS):
        publication = _plan(catalog, name, reads, created_at_ms, summaries or {})
        if not publication.moves:
            return []
        try:
            publication.send(catalog, name)
        except RefusedError:
            continue
        publication.tidy()
        return [change for change, _, _ in publication.moves]
    raise MovedHeadError(f"The branch {name} or its source moved too often to publish it.")


@dataclass(frozen=True)
class _Publication:
    """What a publish does.

    Attributes:
        sides: The branch and its source as they were compared.
        moves: By table what changed, the comparison, and the source's next metadata; ``None``
            where the table is dropped.
        reads: Tables that the source must still have as they were compared.
        created_at_ms: When the branch was made that is meant; ``None`` for any of its name.
    """

    sides: Sides
    moves: Sequence[tuple[TableChange, Comparison, StoredMetadata | None]]
    reads: frozenset[TableName]
    created_at_ms: int | None

    @property
    def new_metadata(self) -> dict[TableName, StoredMetadata]:
        """The metadata to write, by table."""
        return {change.table: new for change, _, new in self.moves if new is not None}

    def send(self, catalog: SqlCatalog, name: str) -> None:
        """Write the metadata, and swap all rows in one transaction."""
        with discarding(self._delete_metadata, BaseException):
            write_all(self.sides.source, self.new_metadata)
        with discarding(self._delete_metadata, NOTHING_LANDED):
            send_transaction(catalog, f"publish the branch {name}", self.swap_rows)

    def _delete_metadata(self) -> None:
        delete_metadata(self.new_metadata.values())

    def swap_rows(self, session: Session) -> None:
        """Let the source name the branch's states.

        Raises:
            RefusedError: A table moved on either side.
        """
        source, branch = self.sides.source, self.sides.branch
        for catalog in sorted((source, branch), key=lambda c: c.name):
            made = self.created_at_ms if catalog is branch else None
            if is_branch(catalog) and not lock_branch(session, catalog.name, made):
                raise RefusedError(catalog.name)
        add_namespaces(session, source, {change.table.namespace for change, _, _ in self.moves})
        for _, comparison, new in self.moves:
            _swap(session, source, comparison, new)
            require_location(session, branch, comparison.table, comparison.branch)
            _renew_base(session, branch, comparison, new)
        for table in sorted(self.reads):
            location = self.sides.source_locations.get(table)
            found = _locked_location(session, source, table)
            if found != location:
                raise RefusedError(table)

    def tidy(self) -> None:
        """Delete the source's metadata files that left the tables' logs.

        Those of a table that was made anew stay: an undo brings the former one back.
        """
        source = self.sides.source
        for _, comparison, new in self.moves:
            if comparison.source is None or new is None:
                continue
            if not is_another_table(comparison.source, new):
                before, after = as_table(source, comparison.source), as_table(source, new)
                tidy(source, before, after)


def _plan(
    catalog: SqlCatalog,
    name: str,
    reads: set[TableName],
    created_at_ms: int | None,
    summaries: Mapping[TableName, Mapping[str, str]],
) -> _Publication:
    sides = read_sides(catalog, name)
    comparisons = sides.compare(sides.touched())
    changed = [(c.change, c) for c in comparisons if c.change is not None]
    if not changed:
        return _Publication(sides, (), frozenset(), created_at_ms)
    others = frozenset(reads - {change.table for change, _ in changed})
    conflicts = [change for change, _ in changed if change.is_conflict]
    stale = [c.table for c in sides.compare(set(others & sides.moved())) if c.is_moved]
    if conflicts or stale:
        raise _conflict_error(name, branch_name(sides.source.name), conflicts, stale)
    moves = [
        (change, one, _next(sides.source, one, summaries.get(one.table, {})))
        for change, one in changed
    ]
    return _Publication(sides, moves, others, created_at_ms)


def _next(source: SqlCatalog, one: Comparison, entries: Mapping[str, str]) -> StoredMetadata | None:
    if one.branch is None:
        return None
    branch = add_to_summaries(one.branch, one.source, entries) if entries else one.branch
    if one.source is None or is_another_table(one.source, branch):
        return copy_for(source, branch)
    return successor(source, one.source, branch)


def _conflict_error(
    name: str, source: str, conflicts: Sequence[TableChange], stale: Sequence[TableName]
) -> BranchConflictError:
    lines = [f"  {c.table}: {_sides_of(name, source, c)}" for c in conflicts]
    lines += [f"  {table}: read by the branch, and changed on {source} since" for table in stale]
    return BranchConflictError(
        f"The branch {name!r} cannot be published: {source} changed the same tables meanwhile.\n"
        + "\n".join(lines),
        hint=f"`phlo branch update {name}` brings the branch to {source}'s state, its own loads on "
        "top where that is possible, and says for every other table how to make it anew.",
        branch=name,
        conflicts=tuple(conflicts),
        stale=tuple(stale),
    )


def _sides_of(name: str, source: str, change: TableChange) -> str:
    def by(runs: Sequence[str]) -> str:
        return f" by run {', '.join(run[:8] for run in runs)}" if runs else ""

    return f"{change.change} on {name}{by(change.runs)}, changed on {source}" + by(
        change.source_runs
    )


def _swap(
    session: Session, source: SqlCatalog, one: Comparison, new: StoredMetadata | None
) -> None:
    """Replace, insert or delete the source's row of a table, if it is as it was compared."""
    if one.source is None:
        assert new is not None
        if _locked_location(session, source, one.table) is not None:
            raise RefusedError(one.table)
        row = table_row(source, one.table.namespace, one.table.name, new.location)
        session.execute(insert(IcebergTables).values(**row))
        return
    same = (*row_of(source, one.table), IcebergTables.metadata_location == one.source.location)
    statement = (
        delete(IcebergTables).where(*same)
        if new is None
        else update(IcebergTables)
        .where(*same)
        .values(metadata_location=new.location, previous_metadata_location=one.source.location)
    )
    if session.execute(statement).rowcount != 1:  # pyright: ignore[reportAttributeAccessIssue]
        raise RefusedError(one.table)


def _locked_location(session: Session, catalog: SqlCatalog, table: TableName) -> str | None:
    query = select(IcebergTables.metadata_location).where(*row_of(catalog, table))
    return session.execute(query.with_for_update()).scalar_one_or_none()


def require_location(
    session: Session, catalog: SqlCatalog, table: TableName, stored: StoredMetadata | None
) -> None:
    """Check, and hold for the transaction, that a catalog names this metadata of a table.

    Raises:
        RefusedError: It names another one.
    """
    if _locked_location(session, catalog, table) != (stored.location if stored else None):
        raise RefusedError(table)


def _renew_base(
    session: Session, branch: SqlCatalog, one: Comparison, new: StoredMetadata | None
) -> None:
    """Let the branch's table begin from what is published now."""
    session.execute(delete(BASES).where(*base_of(branch, one.table)))
    if new is not None and one.branch is not None:
        session.execute(insert(BASES).values(**base_row(branch, one.table, new, one.branch)))


def base_of(branch: SqlCatalog, table: TableName) -> tuple:
    """Build the condition for the row that records what a branch's table began from."""
    return (
        BASES.c.catalog_name == branch.name,
        BASES.c.table_namespace == table.namespace,
        BASES.c.table_name == table.name,
    )


def add_namespaces(session: Session, catalog: SqlCatalog, namespaces: set[str]) -> None:
    """Insert the namespaces that a catalog does not have yet."""
    properties = IcebergNamespaceProperties
    known = session.execute(
        select(properties.namespace).where(properties.catalog_name == catalog.name)
    ).scalars()
    for namespace in sorted(namespaces - set(known)):
        session.execute(
            insert(properties).values(
                catalog_name=catalog.name,
                namespace=namespace,
                property_key="exists",
                property_value="true",
            )
        )


def as_table(catalog: SqlCatalog, stored: StoredMetadata) -> StagedTable:
    """Return pyiceberg's table with this metadata, for functions that take one."""
    return StagedTable(("", ""), stored.metadata, stored.location, stored.io, catalog)
