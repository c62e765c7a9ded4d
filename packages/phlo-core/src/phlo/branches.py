"""Branches of the whole lake: their names, what they changed, and the stores that keep them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from phlo.errors import InvalidNameError
from phlo.names import MAIN

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from phlo.names import TableName
    from phlo.protocols import TableStore

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def check_branch_name(name: str) -> str:
    """Return a branch's name, or raise where it cannot be one.

    The name becomes part of a catalog's name, of a folder and of PostgreSQL schemas.

    Raises:
        InvalidNameError: It has other characters, or is longer than 40.

    Example:
        >>> check_branch_name("pr-17")
        'pr-17'
    """
    if not _NAME.fullmatch(name):
        raise InvalidNameError(
            f"{name!r} cannot be the name of a branch.",
            got=repr(name),
            expected="1 to 40 lower-case letters, digits, - and _, a letter or digit first",
            hint="Choose a name such as dev or pr-17.",
        )
    return name


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch of the lake.

    Attributes:
        name: Its name; ``main`` is what readers see unless they name another.
        source: The branch that it was made from, and that it is published to; ``None`` for main.
        created_at: When it was made, in UTC; ``None`` for main.
    """

    name: str
    source: str | None = None
    created_at: datetime | None = None

    @property
    def is_main(self) -> bool:
        """Whether it is the lake itself."""
        return self.name == MAIN


@dataclass(frozen=True, slots=True)
class TableChange:
    """What a branch did to one table since it was made, updated or published.

    Attributes:
        table: The table.
        change: Whether the branch created, changed or dropped it.
        base_snapshot_id: The snapshot that both sides had; ``None`` for an empty or new table.
        snapshot_id: The branch's snapshot; ``None`` for an empty or dropped table.
        source_snapshot_id: The source's snapshot now; ``None`` where it has none.
        is_conflict: Whether the source changed the table meanwhile, so that it cannot be published.
        runs: Ids of the runs that wrote the table on the branch, newest first.
        source_runs: Ids of the runs that wrote it on the source meanwhile, newest first.
    """

    table: TableName
    change: Literal["created", "changed", "dropped"]
    base_snapshot_id: int | None = None
    snapshot_id: int | None = None
    source_snapshot_id: int | None = None
    is_conflict: bool = False
    runs: tuple[str, ...] = ()
    source_runs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TableVersion:
    """A committed state of a table.

    Attributes:
        branch: The branch of the lake that has it.
        snapshot_id: Its snapshot; ``None`` before the first.
    """

    branch: str
    snapshot_id: int | None


@dataclass(frozen=True, slots=True)
class ColumnChange:
    """A column by which two states of a table differ.

    Attributes:
        name: Its name in the later state, or in the earlier one where it is gone.
        before: Its type in the earlier state; ``None`` for a new column.
        after: Its type in the later state; ``None`` for a column that is gone.
        old_name: Its name in the earlier state, where both have it.
    """

    name: str
    before: str | None
    after: str | None
    old_name: str | None = None

    @property
    def is_renamed(self) -> bool:
        """Whether both states have it, under different names."""
        return self.old_name is not None and self.old_name != self.name


@dataclass(frozen=True, slots=True)
class TableDifference:
    """The columns and rows by which two states of a table differ.

    Columns that describe a load (``_phlo_*``, ``_dlt_*``) are no content: rows that differ in
    them alone are equal.

    Attributes:
        table: The table.
        columns: The columns that came, went, or have another name or type.
        key: The columns by which rows were matched; empty where they were compared as multisets.
        added: Number of rows that only the later state has.
        removed: Number of rows that only the earlier state has.
        changed: Number of rows whose key both have, with other content.
        changed_columns: Number of changed rows by the columns that differ in them, most first.
        samples: Examples of rows by ``added``, ``removed`` and ``changed``.
    """

    table: TableName
    columns: tuple[ColumnChange, ...] = ()
    key: tuple[str, ...] = ()
    added: int = 0
    removed: int = 0
    changed: int = 0
    changed_columns: Mapping[str, int] = field(default_factory=dict, hash=False)
    samples: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict, hash=False)

    @property
    def is_any(self) -> bool:
        """Whether the states differ at all."""
        return bool(self.columns or self.added or self.removed or self.changed)


@dataclass(frozen=True, slots=True)
class BranchUpdate:
    """What an update of a branch took from its source.

    Attributes:
        taken: Tables that are now as the source has them.
        conflicts: Tables that both sides changed and that stay as the branch has them.
        rebased: Tables that both sides changed, and that are now as the source has them with the
            branch's loads written anew on top.
        obstacles: By table why a conflict could not be rebased.
    """

    taken: tuple[TableName, ...] = ()
    conflicts: tuple[TableChange, ...] = ()
    rebased: tuple[TableChange, ...] = ()
    obstacles: Mapping[TableName, str] = field(default_factory=dict, hash=False)


class BranchLease(Protocol):
    """A branch that one run works on, until it gives it back."""

    @property
    def branch(self) -> str:
        """Its name."""
        ...

    def fill(self) -> str:
        """Make the branch from main, without anything that an earlier run left on it.

        Returns:
            An empty namespace that no other branch has: an engine that sees it reads this branch.
        """
        ...

    def discard(self, tables: Iterable[TableName]) -> None:
        """Let the branch have tables as main has them."""
        ...

    def drop(self, table: TableName) -> bool:
        """Drop a table that shares its folder with another table or branch.

        Returns:
            ``False`` where there is no such table, or the folder is its alone: nothing was done,
            and an engine may delete the table with all that is in the folder.
        """
        ...

    def publish(
        self,
        *,
        unmoved: Iterable[TableName] = (),
        summaries: Mapping[TableName, Mapping[str, str]] | None = None,
    ) -> list[TableChange]:
        """Let main have every table as the branch has it: all or none.

        Args:
            unmoved: Tables that main must not have changed either.
            summaries: Entries for the snapshots that the branch made of a table, such as the id of
                the run: an engine that wrote them knows of no run.

        Raises:
            BranchConflictError: Main changed one of the tables meanwhile; nothing moved.
            MovedHeadError: The branch is another run's by now; nothing moved.
            UnknownCommitError: The catalog did not answer; every file stays.
        """
        ...


@runtime_checkable
class LeasesBranches(Protocol):
    """A table store that gives a branch to one run at a time."""

    def lease_branch(
        self, names: Sequence[str], *, wait_seconds: float
    ) -> AbstractContextManager[BranchLease]:
        """Lease the first branch that no run has; its content goes at the end.

        A run that is killed loses its lease with its process.

        Args:
            names: Branches that may be leased; they are made and deleted by the lease.
            wait_seconds: Time to wait for one that is free.

        Raises:
            ServiceError: Other runs have all of them.
            UnsupportedCatalogError: The catalog cannot lease branches.
        """
        ...


@runtime_checkable
class KeepsBranches(Protocol):
    """A table store whose lake has branches."""

    @property
    def branch(self) -> str:
        """The branch on which this store reads and writes."""
        ...

    def branches(self) -> list[Branch]:
        """List all branches, main first, the others by name."""
        ...

    def create_branch(self, name: str, source: str = MAIN) -> Branch:
        """Make a branch with the tables of ``source`` as they are now; no data is copied.

        Raises:
            BranchExistsError: There is a branch of that name.
            BranchNotFoundError: There is no branch ``source``.
            UnsupportedCatalogError: The catalog cannot have branches.
        """
        ...

    def on_branch(self, name: str) -> TableStore:
        """Open a whole store on a branch.

        Raises:
            BranchNotFoundError: There is no such branch.
        """
        ...

    def diff(self, branch: str) -> list[TableChange]:
        """List the tables that a branch changed, sorted by name."""
        ...

    def compare(
        self, branch: str, change: TableChange, *, key: Sequence[str] = (), samples: int = 0
    ) -> TableDifference:
        """Compare a table that a branch changed with its source's.

        Where both changed it, with what the branch began from. Only files that differ are read.

        Args:
            branch: The branch.
            change: What :meth:`diff` said of the table.
            key: Columns that are unique; without them rows are compared as multisets.
            samples: Number of example rows of each kind.
        """
        ...

    def compare_versions(
        self,
        table: TableName,
        old: TableVersion | None,
        new: TableVersion | None,
        *,
        key: Sequence[str] = (),
        samples: int = 0,
    ) -> TableDifference:
        """Compare two committed states of a table; only files that differ are read.

        Args:
            table: The table.
            old: The earlier state; ``None`` where there was no table.
            new: The later state; ``None`` where there is none any more.
            key: Columns that are unique; without them rows are compared as multisets.
            samples: Number of example rows of each kind.
        """
        ...

    def publish_branch(self, name: str, *, unmoved: Iterable[TableName] = ()) -> list[TableChange]:
        """Let the source have every table as the branch has it: all or none.

        Args:
            name: The branch; it stays, and may be published again.
            unmoved: Tables that the source must not have changed either, such as those that
                the branch's runs read.

        Returns:
            What was published, sorted by table.

        Raises:
            BranchConflictError: The source changed one of the tables meanwhile; nothing moved.
            UnknownCommitError: The catalog did not answer; every file stays.
        """
        ...

    def update_branch(self, name: str, *, taken: Collection[TableName] = ()) -> BranchUpdate:
        """Bring a branch to its source's state: all tables of it in one transaction.

        Tables that the branch has not changed become as the source has them. Of a table that both
        sides changed, the branch's loads are written anew on top of the source's state, as they
        would run there now, where their rows tell what they would do; else it stays a conflict.

        Args:
            name: The branch.
            taken: Tables that become as the source has them, whatever the branch did to them.
        """
        ...

    def delete_branch(self, name: str) -> None:
        """Delete a branch and the files that no other branch needs.

        Raises:
            BranchNotFoundError: There is no such branch.
            BranchInUseError: Another branch was made from it.
        """
        ...
