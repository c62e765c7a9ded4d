"""Select the rows that a suite judges."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from phlo.names import PARTITION_DATE_COLUMN
from phlo.sql import Sql, quote_table, sql

from phlo_quality.rows import DELIVERED_RELATION, JudgedRows, missing_column
from phlo_quality.windows import within

if TYPE_CHECKING:
    import pyarrow as pa
    from phlo.names import Partition

    from phlo_quality.declared import DeclaredSuite


def judged_rows(
    suite: DeclaredSuite,
    columns: pa.Schema,
    *,
    partition: Partition | None,
    is_audit: bool,
    is_merged: bool,
) -> JudgedRows:
    """Build the rows in a suite's scope.

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


def _tells_partitions(suite: DeclaredSuite, columns: pa.Schema, *, is_merged: bool) -> bool:
    is_default = suite.partition_column == PARTITION_DATE_COLUMN
    if suite.partition_column in columns.names:
        return not (is_default and is_merged)
    if is_default:
        return False
    raise missing_column(suite.partition_column, suite.table, columns.names)


def _window(whole: JudgedRows, suite: DeclaredSuite, partition: Partition) -> tuple[Sql, str]:
    if not isinstance(suite.scope, timedelta):
        condition = within(whole, suite.partition_column, partition)
        return condition, f"partition {partition}"
    length = suite.scope
    condition = within(whole, suite.partition_column, partition, length=length)
    return condition, f"{length} before {partition.end}"
