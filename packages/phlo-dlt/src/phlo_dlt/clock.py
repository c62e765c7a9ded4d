"""The order of extractions, which several machines and their clocks agree on.

An extraction that began after another one was published must count as the later one, whatever the
clocks say. So each takes the time of its machine, but never one before the latest extraction that
the catalog knew when it began: a hybrid logical clock. Every snapshot of phlo's says the latest
extraction known by then.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from phlo.names import INGESTED_AT_COLUMN
from phlo.sql import Identifier, sql

if TYPE_CHECKING:
    from collections.abc import Iterable

    from phlo.lake import Lake
    from phlo.names import TableName

EXTRACTED_AT_ENTRY = "phlo.extracted-at"
"""Entry of a snapshot's summary: the latest extraction known when it was staged."""

_STEP = timedelta(microseconds=1)
_TOLERANCE = timedelta(seconds=1)


def next_extraction(latest: datetime | None, now: datetime | None = None) -> datetime:
    """Return the time of an extraction that begins now.

    Args:
        latest: The latest extraction that the catalog knows, if there is one.
        now: The machine's time; default: as it is.
    """
    now = now or datetime.now(UTC)
    return now if latest is None else max(now, latest + _STEP)


def latest_extraction(lake: Lake, tables: Iterable[TableName]) -> datetime | None:
    """Return the latest extraction that the snapshots of some tables tell of, if any does."""
    known = [_latest_in(lake, table) for table in tables if lake.store.exists(table)]
    return max((moment for moment in known if moment is not None), default=None)


def _latest_in(lake: Lake, table: TableName) -> datetime | None:
    snapshots = lake.store.history(table)
    entries = [text for s in snapshots if (text := s.summary.get(EXTRACTED_AT_ENTRY))]
    if entries:
        return max(map(datetime.fromisoformat, entries))
    return _latest_row(lake, table) if snapshots else None


def _latest_row(lake: Lake, table: TableName) -> datetime | None:
    """Return the latest extraction among the rows: all snapshots are of other writers."""
    if INGESTED_AT_COLUMN not in lake.store.load(table).schema.names:
        return None
    upper = lake.store.statistics(table, [INGESTED_AT_COLUMN]).columns[INGESTED_AT_COLUMN].upper
    if upper is None:
        query = sql("SELECT max({c}) FROM {t}", c=Identifier(INGESTED_AT_COLUMN), t=table)
        upper = lake.embedded_engine.query(query).read_all().column(0)[0].as_py()
    return upper


def clock_warning(table: TableName, latest: datetime | None, now: datetime) -> str | None:
    """Say that the catalog knows an extraction that lies ahead of this machine's time.

    Args:
        table: The table loaded.
        latest: The latest extraction that the catalog knows.
        now: The machine's time.
    """
    if latest is None or latest - now < _TOLERANCE:
        return None
    return (
        f"The latest extraction known of {table} lies {_rounded(latest - now)} ahead of this "
        "machine's clock. This load is ordered by what the catalog had seen when it began. "
        "Check the clocks of the machines that load (NTP)."
    )


def _rounded(ahead: timedelta) -> timedelta:
    return timedelta(seconds=round(ahead.total_seconds()))
