"""Updates applied to a table's metadata without copying what they leave as it is.

pyiceberg copies all metadata, every snapshot of it, at each look at a transaction and after each
update. Its models are not changed in place, so what stays the same is shared instead.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from phlo.errors import UnsupportedTableError
from pyiceberg.table import Transaction
from pyiceberg.table.metadata import SUPPORTED_TABLE_FORMAT_VERSION
from pyiceberg.utils.datetime import datetime_to_millis

from phlo_iceberg.pyiceberg_private import apply_updates, log_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable

    from phlo.names import TableName
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.update import TableUpdate


def next_metadata(current: Table, updates: Iterable[TableUpdate]) -> TableMetadata:
    """Build the metadata to write in place of a table's present one, which enters its log."""
    before, changed = current.metadata, apply_updates(current.metadata, updates)
    changed = log_metadata(changed, current.metadata_location, before.last_updated_ms)
    if changed.last_updated_ms > before.last_updated_ms:
        return changed
    now = datetime_to_millis(datetime.now(UTC))
    return changed.model_copy(update={"last_updated_ms": now})


def refuse_newer_format(table: TableName, metadata: TableMetadata, hint: str) -> None:
    """Refuse to write metadata of a format that pyiceberg only reads.

    Args:
        table: The table.
        metadata: Its metadata.
        hint: What to do instead.

    Raises:
        UnsupportedTableError: The format is newer.
    """
    if metadata.format_version > SUPPORTED_TABLE_FORMAT_VERSION:
        raise UnsupportedTableError(
            f"{table} has a newer format, which phlo reads and does not write.",
            got=f"format version {metadata.format_version}",
            expected=f"at most {SUPPORTED_TABLE_FORMAT_VERSION}",
            hint=hint,
            table=table,
        )


class SchemaTransaction(Transaction):
    """Collects changes of a schema; never committed itself."""

    @property
    def table_metadata(self) -> TableMetadata:
        """The metadata as changed so far."""
        return apply_updates(self._table.metadata, self._updates)
