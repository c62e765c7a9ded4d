"""How many rows a table has, found without reading them where that is possible.

Iceberg's own totals count rows that position deletes took away. So every snapshot of phlo's says
how many rows there are, reckoned from the one before and from what the load did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.sql import sql

from phlo_iceberg.read.connection import connect, use_object_store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phlo_iceberg.read.state import TableState

ROW_COUNT_ENTRY = "phlo.row-count"


def count_rows(state: TableState) -> int:
    """Count a table's rows, deletes applied; read them only after another writer's deletes."""
    snapshot = state.metadata.snapshot_by_id(state.snapshot_id) if state.snapshot_id else None
    if snapshot is None:
        return 0
    summary = snapshot.summary.additional_properties if snapshot.summary else {}
    row_count = noted_row_count(summary)
    return _scanned_rows(state) if row_count is None else row_count


def noted_row_count(summary: Mapping[str, str]) -> int | None:
    """Return the rows of a snapshot by its summary; ``None`` where that does not tell."""
    if ROW_COUNT_ENTRY in summary:
        return int(summary[ROW_COUNT_ENTRY])
    if summary.get("total-delete-files") == "0" and "total-records" in summary:
        return int(summary["total-records"])
    return None


def _scanned_rows(state: TableState) -> int:
    connection = connect()
    try:
        use_object_store(connection, state.io, state.metadata.location)
        rows = state.relation(state.tasks(), columns=[], with_position=True)
        ((row_count,),) = connection.execute(sql("SELECT count(*) FROM ({r})", r=rows)).fetchall()
        return row_count
    finally:
        connection.close()
