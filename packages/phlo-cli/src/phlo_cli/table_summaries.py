"""Tables of the lake, found by name, and what their metadata tells of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.errors import UnsupportedTableError
from phlo.protocols import SummarizesTables

if TYPE_CHECKING:
    from collections.abc import Collection

    from phlo.names import TableName
    from phlo.protocols import StoredTable, TableStore
    from phlo.values import TableSummary


def find_table(store: TableStore, text: str) -> TableName:
    """Find a table by name; a bare name means the one table that has it, else bronze's."""
    from phlo.names import TableName

    same = [name for name in store.list_tables() if name.name == text]
    return same[0] if len(same) == 1 else TableName.parse(text, default_namespace="bronze")


def summarize_tables(
    store: TableStore, names: Collection[TableName]
) -> dict[TableName, TableSummary]:
    """Summarize tables; names without a table are left out."""
    at_once = store.summaries() if isinstance(store, SummarizesTables) else {}
    return {
        name: at_once[name] if name in at_once else _summarize(store, name)
        for name in names
        if name in at_once or store.exists(name)
    }


def _summarize(store: TableStore, name: TableName) -> TableSummary:
    from phlo.values import TableSummary

    stored, snapshots = store.load(name), store.history(name)
    changes = (s.committed_at for s in snapshots if s.operation != "replace")
    return TableSummary(
        row_count=count_rows(stored),
        column_count=len(stored.schema),
        snapshot_count=len(snapshots),
        committed_at=snapshots[0].committed_at if snapshots else None,
        changed_at=next(changes, None),
    )


def count_rows(stored: StoredTable) -> int | None:
    """Count the rows; ``None`` where another system wrote them in a way phlo cannot read."""
    try:
        return stored.row_count
    except UnsupportedTableError:
        return None
