"""Updates applied to a table's metadata without copying what they leave as it is.

pyiceberg copies all metadata, every snapshot of it, at each look at a transaction and after each
update. Its models are not changed in place, so what stays the same is shared instead.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pyiceberg.table import Transaction
from pyiceberg.table.update import (
    _apply_table_update,
    _TableMetadataUpdateContext,
    _update_table_metadata_log,
)
from pyiceberg.utils.datetime import datetime_to_millis

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.update import TableUpdate


def with_updates(metadata: TableMetadata, updates: Iterable[TableUpdate]) -> TableMetadata:
    """The metadata as a commit of these updates would make it."""
    context = _TableMetadataUpdateContext()
    for update in updates:
        metadata = _apply_table_update(update, metadata, context)
    return metadata


def next_metadata(current: Table, updates: Iterable[TableUpdate]) -> TableMetadata:
    """The metadata to write in place of a table's present one, which enters its log."""
    before, changed = current.metadata, with_updates(current.metadata, updates)
    changed = _update_table_metadata_log(changed, current.metadata_location, before.last_updated_ms)
    if changed.last_updated_ms > before.last_updated_ms:
        return changed
    now = datetime_to_millis(datetime.now(UTC))
    return changed.model_copy(update={"last_updated_ms": now})


class SchemaTransaction(Transaction):
    """Collects changes of a schema; never committed itself."""

    @property
    def table_metadata(self) -> TableMetadata:
        """The metadata as changed so far."""
        return with_updates(self._table.metadata, self._updates)
