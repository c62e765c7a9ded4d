"""Copying a project's tables from its embedded lake into another catalog."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from phlo.names import MAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from phlo.names import TableName


@dataclass(frozen=True, slots=True)
class MigratedTable:
    """What a migration does to one table.

    Attributes:
        table: The table.
        action: ``copied``; ``updated``: an earlier migration copied it, and it was loaded in the
            embedded lake since; or ``present``: it is there already.
        rows: Its rows.
        snapshots: Its snapshots, which are all copied.
        files: Data files to copy; those that an interrupted migration copied do not count.
        size_bytes: Their size.
        branch: The branch of the lake.
    """

    table: TableName
    action: Literal["copied", "updated", "present"]
    rows: int
    snapshots: int
    files: int
    size_bytes: int
    branch: str = MAIN


@runtime_checkable
class MigratesTables(Protocol):
    """A table store into which an embedded lake can be copied."""

    def migrate(
        self,
        source: Path,
        tables: Sequence[TableName] = (),
        *,
        dry_run: bool = False,
        on_table: Callable[[MigratedTable], None] = lambda table: None,
    ) -> list[MigratedTable]:
        """Copy tables, with all that they were, from an embedded lake into this catalog.

        A table appears once it is whole and its rows are verified. After an interrupt or a kill,
        another call goes on. The embedded lake is not changed.

        Args:
            source: The ``.phlo`` folder of the embedded lake.
            tables: Tables of its main branch; by default all, and all branches.
            dry_run: Only say what would be done.
            on_table: Called before each table that is copied.

        Returns:
            What was done, or would be, main first.

        Raises:
            ConfigurationError: There is no embedded lake, or this catalog or warehouse is its own.
            TableNotFoundError: It has no such table.
            MigrationError: This catalog has a table or branch of that name with other content, and
                nothing was copied; or a copy was found to differ, and is not shown to anybody.
            UnsupportedCatalogError: This catalog cannot take a table with its history.
            UnsupportedTableError: A table has a format that cannot be written.
        """
        ...
