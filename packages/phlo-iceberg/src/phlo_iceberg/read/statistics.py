"""What a table's manifests prove, without reading rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phlo.values import ColumnStatistics, TableStatistics
from pyiceberg.conversions import from_bytes
from pyiceberg.types import (
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    NestedField,
    TimestampType,
    TimestamptzType,
)
from pyiceberg.utils.datetime import (
    days_to_date,
    micros_to_timestamp,
    micros_to_timestamptz,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyiceberg.manifest import DataFile

    from phlo_iceberg.read.state import TableState

_FLOATS = (DoubleType, FloatType)
_EXACT_BOUNDS = (
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    TimestampType,
    TimestamptzType,
)


def table_statistics(state: TableState, columns: Sequence[str]) -> TableStatistics:
    """Return exact counts and bounds from the manifests.

    Where delete files exist, the manifests count rows that are gone: then only "no nulls" and "no
    NaN" are proven. Bounds of text are cut short in manifests and prove nothing.
    """
    tasks = state.tasks()
    files = [task.file for task in tasks]
    is_exact = not any(task.delete_files for task in tasks)
    names = {f.name: f for f in state.schema.fields}
    return TableStatistics(
        row_count=sum(f.record_count for f in files) if is_exact else None,
        columns={
            name: _column(names[name], files, is_exact=is_exact)
            for name in columns
            if name in names
        },
    )


def _column(column: NestedField, files: list[DataFile], *, is_exact: bool) -> ColumnStatistics:
    nulls = _sum(column, files, lambda f: f.null_value_counts)
    nans = _sum(column, files, lambda f: f.nan_value_counts)
    if not isinstance(column.field_type, _FLOATS):
        nans = 0
    if not is_exact:
        return ColumnStatistics(0 if nulls == 0 else None, 0 if nans == 0 else None)
    lower = upper = None
    # A float's bounds say nothing of NaN.
    if isinstance(column.field_type, _EXACT_BOUNDS):
        lower = _bound(column, files, lambda f: f.lower_bounds, min)
        upper = _bound(column, files, lambda f: f.upper_bounds, max)
    return ColumnStatistics(nulls, nans, lower, upper)


def _sum(
    column: NestedField,
    files: list[DataFile],
    counts: Callable[[DataFile], dict[int, int] | None],
) -> int | None:
    total = 0
    for file in files:
        count = (counts(file) or {}).get(column.field_id)
        if count is None:
            return None
        total += count
    return total


def _bound(
    column: NestedField,
    files: list[DataFile],
    bounds: Callable[[DataFile], dict[int, bytes] | None],
    choose: Callable[[list[Any]], Any],
) -> Any:
    found: list[Any] = []
    for file in files:
        raw = (bounds(file) or {}).get(column.field_id)
        nulls = (file.null_value_counts or {}).get(column.field_id)
        if raw is not None:
            found.append(_value(column, raw))
        elif nulls != file.record_count:
            return None  # the file has values, and does not say which
    return choose(found) if found else None


def _value(column: NestedField, raw: bytes) -> Any:
    kind = column.field_type
    value: Any = from_bytes(kind, raw)  # pyright: ignore[reportArgumentType] - a primitive
    match kind:
        case DateType():
            return days_to_date(value)
        case TimestampType():
            return micros_to_timestamp(value)
        case TimestamptzType():
            return micros_to_timestamptz(value)
    return value
