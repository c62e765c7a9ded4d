"""Which rows a suite judges."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from phlo.config import get_settings
from phlo.names import PARTITION_DATE_COLUMN
from phlo.sql import Identifier, Sql, quote_table, sql

from phlo_quality.rows import DELIVERED_RELATION, JudgedRows, missing_column

if TYPE_CHECKING:
    import pyarrow as pa
    from phlo.names import Partition

    from phlo_quality.suite import Suite


def judged_rows(
    suite: Suite,
    columns: pa.Schema,
    *,
    partition: Partition | None,
    is_audit: bool,
    is_merged: bool,
) -> JudgedRows:
    """The rows in a suite's scope.

    Args:
        suite: Its table, scope and partition column.
        columns: The table's columns.
        partition: The run's partition, if it has one.
        is_audit: Whether a stage of the table is judged.
        is_merged: Whether loads of the table move rows between its partitions, so that the
            default partition column does not tell which rows belong to a day.

    Returns:
        The rows, with a label that says which they are.

    Raises:
        ColumnNotFoundError: The suite names a partition column that the table lacks.
    """
    whole = JudgedRows(suite.table, columns, quote_table(suite.table), partition=partition)
    if suite.scope == "table":
        return whole
    if is_audit and suite.scope == "partition":
        label = f"delivered rows of partition {partition}" if partition else "delivered rows"
        return replace(whole, judged=DELIVERED_RELATION, label=label)
    if partition is None or not _tells_partitions(suite, columns, is_merged=is_merged):
        return whole
    condition, label = _window(whole, suite, partition)
    rows = sql("(SELECT * FROM {t} WHERE {c})", t=suite.table, c=condition)
    return replace(whole, judged=rows, label=label)


def _tells_partitions(suite: Suite, columns: pa.Schema, *, is_merged: bool) -> bool:
    is_default = suite.partition_column == PARTITION_DATE_COLUMN
    if suite.partition_column in columns.names:
        return not (is_default and is_merged)
    if is_default:
        return False
    raise missing_column(suite.partition_column, suite.table, columns.names)


def _window(whole: JudgedRows, suite: Suite, partition: Partition) -> tuple[Sql, str]:
    if not isinstance(suite.scope, timedelta):
        condition = within(whole, suite.partition_column, partition)
        return condition, f"partition {partition}"
    length = suite.scope
    condition = within(whole, suite.partition_column, partition, length=length)
    return condition, f"{length} before {partition.end}"


def within(
    rows: JudgedRows, column: str, partition: Partition, *, length: timedelta | None = None
) -> Sql:
    """Condition that a row belongs to a partition, or to the time up to its end.

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
    if rows.is_timestamp(column) or moment.time() != datetime.min.time():
        return moment
    return moment.date().isoformat() if rows.family(column) == "text" else moment.date()
