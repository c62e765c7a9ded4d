"""Read a table's metadata file, or tell that it is missing, empty or cut short."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from phlo.errors import UnreadableTableError
from pyiceberg.exceptions import ValidationError
from pyiceberg.serializers import FromInputFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyiceberg.io import FileIO
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot

REPLACED_ENTRY = "phlo.replaced-snapshot"
"""Summary entry of a snapshot without a parent: the one whose place CREATE OR REPLACE gave it."""


def previous_id(snapshot: Snapshot) -> int | None:
    """Return the snapshot that was the table's state before: the parent, or the replaced one."""
    entries = snapshot.summary.additional_properties if snapshot.summary else {}
    replaced = entries.get(REPLACED_ENTRY)
    return int(replaced) if replaced else snapshot.parent_snapshot_id


def read_table_metadata(io: FileIO, path: str) -> TableMetadata:
    """Read a metadata file that the catalog names.

    Raises:
        UnreadableTableError: It is missing, empty or cut short.
    """
    with readable_metadata("a table", lambda: path):
        return FromInputFile.table_metadata(io.new_input(path))


@contextmanager
def readable_metadata(table: object, find_path: Callable[[], str]) -> Iterator[None]:
    """Explain why the metadata of a table cannot be read.

    Args:
        table: The table, for the message.
        find_path: Returns the address of the metadata file, once it is needed.

    Raises:
        UnreadableTableError: It is missing, empty or cut short.
    """
    try:
        yield
    except FileNotFoundError as exc:
        raise UnreadableTableError(
            f"The metadata of {table} is not where the catalog says. {exc}",
            hint="If the project's folder was moved, `phlo doctor --fix` finds its tables again.",
            table=table,
            path=find_path(),
            problem="missing",
        ) from exc
    except (ValidationError, UnicodeDecodeError) as exc:
        path = find_path()
        raise UnreadableTableError(
            f"The newest metadata of {table} is empty or cut short: {path}.",
            hint="`phlo doctor --fix` goes back to the newest metadata that is whole, and says "
            "which snapshots are lost.",
            table=table,
            path=path,
            problem="cut",
        ) from exc
