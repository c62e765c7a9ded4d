"""Summarize tables by their metadata files, read as plain JSON: a project may have hundreds."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from phlo.values import TableSummary

from phlo_iceberg.read.counts import noted_row_count

if TYPE_CHECKING:
    from pyiceberg.io import FileIO


def read_summary(io: FileIO, location: str) -> TableSummary | None:
    """Read what a metadata file tells of its table.

    Returns:
        ``None`` where the file cannot be read, or does not tell how many rows there are; loading
        the table counts them, or says what is wrong.
    """
    try:
        with io.new_input(location).open() as file:
            return _summarize(json.loads(file.read()))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _summarize(metadata: dict[str, Any]) -> TableSummary | None:
    schemas = {schema["schema-id"]: schema for schema in metadata["schemas"]}
    line = _main_line(metadata)
    row_count = noted_row_count(line[0]["summary"]) if line else 0
    if row_count is None:
        return None
    changes = (s for s in line if s["summary"]["operation"] != "replace")
    return TableSummary(
        row_count=row_count,
        column_count=len(schemas[metadata["current-schema-id"]]["fields"]),
        snapshot_count=len(line),
        committed_at=_committed_at(line[0]) if line else None,
        changed_at=next(map(_committed_at, changes), None),
    )


def _main_line(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the current snapshot and those before it that are kept, newest first."""
    snapshots = {s["snapshot-id"]: s for s in metadata.get("snapshots") or ()}
    line, number = [], metadata.get("current-snapshot-id")
    if number not in (None, -1):
        line.append(snapshots[number])
        while (parent := snapshots.get(line[-1].get("parent-snapshot-id"))) is not None:
            line.append(parent)
    return line


def _committed_at(snapshot: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(snapshot["timestamp-ms"] / 1000, tz=UTC)
