"""Build conditions that a row belongs to a partition, or to a stretch of time."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from phlo.config import get_settings
from phlo.errors import UnsupportedTypeError
from phlo.sql import Identifier, Sql, sql

if TYPE_CHECKING:
    from phlo.names import Partition

    from phlo_quality.rows import JudgedRows


def within(
    rows: JudgedRows, column: str, partition: Partition, *, length: timedelta | None = None
) -> Sql:
    """Build the condition that a row belongs to a partition, or to the time up to its end.

    Args:
        rows: Know the column's type. Days and timestamps without a zone are compared as they
            are, timestamps with a zone in the project's time zone, text as ISO dates.
        column: Tells when a row belongs.
        partition: The partition.
        length: How far to count back from the partition's end; ``None``: to its beginning.
    """
    end = datetime.combine(partition.end, datetime.min.time())
    first = end - (length or timedelta(days=partition.days))
    return sql(
        "{c} >= {first} AND {c} < {end}",
        c=Identifier(column),
        first=_bound(rows, column, first),
        end=_bound(rows, column, end),
    )


def _bound(rows: JudgedRows, column: str, moment: datetime) -> date | str:
    if rows.has_zone(column):
        return moment.replace(tzinfo=ZoneInfo(get_settings().timezone))
    if rows.is_timestamp(column):
        return moment
    if moment.time() != datetime.min.time():
        _check_tells_hours(rows, column)
        return moment
    return moment.date().isoformat() if rows.family(column) == "text" else moment.date()


def _check_tells_hours(rows: JudgedRows, column: str) -> None:
    family = rows.family(column)
    if family != "time":
        raise UnsupportedTypeError(
            f"Column {column!r} of {rows.table} holds {family}, which tells no hours.",
            got=family.value,
            expected="a date or timestamp, for a scope that is no whole number of days",
            hint="Take a scope of whole days, or name a timestamp in partition_column.",
            column=column,
        )
