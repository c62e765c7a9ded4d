"""Convert a column at once, where that gives the same as converting value by value.

Every function here returns ``None`` where it does not: the column is then converted by
:func:`phlo_dlt.rows.casting.convert`, which alone decides what is refused.
"""

from __future__ import annotations

import math
from datetime import date, datetime
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from phlo.contract.types import TIMESTAMP
from phlo.time_zones import are_offsets_ignored

from phlo_dlt.rows.casting import bounds
from phlo_dlt.rows.plain import WrittenFloat

if TYPE_CHECKING:
    from phlo.contract import ContractColumn

_ERRORS = (pa.ArrowException, ValueError, TypeError, OverflowError, DecimalException)
_MOST_PLACES = 38
"""Digits that Arrow can move a decimal's point by; beyond them its answer is arbitrary."""
_LOSSLESS = Context(
    prec=_MOST_PLACES, Emin=-999_999, Emax=999_999, traps=[Inexact, InvalidOperation]
)
_FIRST_MOMENT = datetime(1, 1, 1)
_LAST_MOMENT = datetime(9999, 12, 31, 23, 59, 59, 999999)


def convert_values(values: list[Any], column: ContractColumn) -> pa.Array | None:
    """Convert a list of Python values whose classes are known not to disturb each other."""
    classes = set(map(type, values))
    classes.discard(type(None))
    if not classes:
        return pa.nulls(len(values), column.type)
    source = _source_type(classes, column.type)
    if source is None or (WrittenFloat in classes and math.inf in map(abs, _written(values))):
        return None
    try:
        if Decimal in classes and source == pa.float64():
            return _decimals_to_floats(values)
        if Decimal in classes:
            values = _with_scale(values, source.scale)
        array = pa.array(values, source)
        if pa.types.is_floating(source):
            array = _without_nan(array)  # of rows that pandas made: there was no value
        return cast(array, column)
    except _ERRORS:
        return None


def _written(values: list[Any]) -> list[float]:
    return [value for value in values if type(value) is WrittenFloat]


def _with_scale(values: list[Any], scale: int) -> list[Any]:
    """Give decimals the scale of their column, and raise where that loses something."""
    quantum = Decimal(1).scaleb(-scale)
    return [None if v is None else _LOSSLESS.quantize(v, quantum) for v in values]


def _decimals_to_floats(values: list[Any]) -> pa.Array | None:
    """Convert through Python, which finds the nearest double."""
    floats = [None if value is None else float(value) for value in values]
    array = pa.array(floats, pa.float64(), from_pandas=True)
    return array if _is_below_exact_integers(array) else None


def convert_array(values: pa.ChunkedArray | pa.Array, column: ContractColumn) -> pa.Array | None:
    """Convert an Arrow column, whatever its encoding."""
    try:
        return cast(combine(values), column)
    except _ERRORS:
        return None


def convert_cells(values: pa.ChunkedArray, column: ContractColumn) -> pa.Array | None:
    """Convert text of a file where all of it is written as most files write such values."""
    pattern = next((p for is_type, p in _PLAIN_TEXT if is_type(column.type)), None)
    try:
        cells = combine(values)
        if pattern is None:
            return cast(cells, column)
        matches = pc.call_function("match_substring_regex", [cells], _regex(pattern))
        if pc.call_function("all", [matches], pc.ScalarAggregateOptions(min_count=0)).as_py():
            return cast(cells.cast(_read_as(column.type)), column)
    except _ERRORS:
        return None
    return None


def _regex(pattern: str) -> pc.MatchSubstringOptions:
    return pc.MatchSubstringOptions(pattern)


_PLAIN_TEXT = (
    (pa.types.is_integer, r"\A[+-]?[0-9]{1,18}\z"),
    (pa.types.is_floating, r"\A-?[0-9]{1,15}(\.[0-9]{1,30})?\z"),
    (pa.types.is_decimal, r"\A-?[0-9]{1,38}(\.[0-9]{1,38})?\z"),
    (pa.types.is_boolean, r"\A(true|false)\z"),
)


def _read_as(target: pa.DataType) -> pa.DataType:
    if pa.types.is_integer(target):
        return pa.int64()
    if pa.types.is_decimal(target):
        return pa.decimal256(76, 38)  # holds all that the pattern allows
    return pa.float64() if pa.types.is_floating(target) else target


def _source_type(classes: set[type], target: pa.DataType) -> pa.DataType | None:
    """Return the Arrow type in which values of these classes are read without a change."""
    if classes <= {float, int, WrittenFloat, np.float64} and pa.types.is_floating(target):
        return pa.float64() if classes != {int} else pa.int64()
    if len(classes) > 1:
        return None
    (one,) = classes
    if one is Decimal:
        return target if pa.types.is_decimal(target) or target == pa.float64() else None
    if one is datetime and are_offsets_ignored():
        return None
    return _BY_CLASS.get(one)


_BY_CLASS: dict[type, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    bytes: pa.binary(),
    datetime: TIMESTAMP,
    date: pa.date32(),
    np.int64: pa.int64(),
    np.float64: pa.float64(),
    np.bool_: pa.bool_(),
}


def combine(values: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a column as one plain array: no chunks, dictionary, runs or views."""
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], whole.type)
    if pa.types.is_dictionary(whole.type):
        return whole.dictionary_decode()
    if pa.types.is_run_end_encoded(whole.type):
        return pc.call_function("run_end_decode", [whole])
    return whole


def cast(array: pa.Array, column: ContractColumn) -> pa.Array | None:
    """Cast an array to a column's type, or return ``None`` where that could lose something."""
    source, target = array.type, column.type
    if pa.types.is_null(source):
        return pa.nulls(len(array), target)
    if column.is_nested or pa.types.is_nested(source):
        return None
    caster = next(
        (c for is_one, is_other, c in _CASTS if is_one(source) and is_other(target)), None
    )
    result = caster(array, target) if caster is not None else None
    return result if result is not None and _is_held(result, column) else None


def _is_held(array: pa.Array, column: ContractColumn) -> bool:
    """Return whether all values lie within what the column takes."""
    if column.categories is not None:
        known = pa.array(column.categories, pa.string())
        return _all(pc.call_function("is_in", [array], pc.SetLookupOptions(known)), array)
    if pa.types.is_floating(column.type) and column.declared is not None:
        return False  # of a width that no table stores: each value is narrowed
    if pa.types.is_integer(column.type) and column.declared is not None:
        return _is_between(array, *bounds(column))
    if pa.types.is_timestamp(column.type):
        # Compared as numbers: Python has no datetime for what may lie outside.
        first, last = (pa.scalar(m, pa.timestamp("us")).cast(pa.int64()) for m in _MOMENTS)
        return _is_between(array.view(pa.int64()), first.as_py(), last.as_py())
    if pa.types.is_date(column.type):
        days = [pa.scalar(m.date(), pa.date32()).cast(pa.int32()).as_py() for m in _MOMENTS]
        return _is_between(array.view(pa.int32()), *days)
    return True


_MOMENTS = (_FIRST_MOMENT, _LAST_MOMENT)


def _is_between(array: pa.Array, lowest: int, highest: int) -> bool:
    ends = pc.call_function("min_max", [array]).as_py()
    return ends["min"] is None or (lowest <= ends["min"] and ends["max"] <= highest)


def _all(holds: pa.Array, array: pa.Array) -> bool:
    return pc.call_function("sum", [holds]).as_py() == len(array) - array.null_count


def _plain_cast(array: pa.Array, target: pa.DataType) -> pa.Array:
    return array.cast(target)


def _as_it_is(array: pa.Array, target: pa.DataType) -> pa.Array | None:
    return array if array.type == target else array.cast(target)


def _unicode(array: pa.Array, target: pa.DataType) -> pa.Array:
    array.validate(full=True)  # readers of Parquet and of foreign memory do not look
    return array.cast(target)


def _without_nan(array: pa.Array) -> pa.Array:
    is_nan = pc.call_function("is_nan", [array])
    return pc.call_function("if_else", [is_nan, pa.scalar(None, array.type), array])


def _whole_floats(array: pa.Array, target: pa.DataType) -> pa.Array:
    return _without_nan(array).cast(target)


def _floats(array: pa.Array, target: pa.DataType) -> pa.Array | None:
    """Cast to floats of a width that holds the source's; narrower ones are judged one by one."""
    return array.cast(target) if array.type.bit_width <= target.bit_width else None


def _decimals(array: pa.Array, target: pa.DataType) -> pa.Array | None:
    """Cast forth and back: where digits do not fit, Arrow may overflow without an error."""
    if array.type == target:
        return array
    if abs(array.type.scale - target.scale) > _MOST_PLACES:
        return None
    result = array.cast(target)
    return result if result.cast(array.type).equals(array) else None


def _decimals_as_floats(array: pa.Array, target: pa.DataType) -> pa.Array | None:
    """Cast through text: Arrow divides by a power of ten, which misses the nearest double."""
    if target != pa.float64() or array.type.scale <= 0:
        return None
    result = array.cast(pa.string()).cast(target)
    return result if _is_below_exact_integers(result) else None


def _is_below_exact_integers(array: pa.Array) -> bool:
    ends = pc.call_function("min_max", [array]).as_py()
    return ends["min"] is None or max(abs(ends["min"]), abs(ends["max"])) < 2.0**53


def _text(array: pa.Array, target: pa.DataType) -> pa.Array:
    return array.cast(target)


def _moments_of_text(array: pa.Array, target: pa.DataType) -> pa.Array | None:
    # Text without an offset is in UTC.
    for through in (target, pa.timestamp("us")):
        try:
            return array.cast(through).cast(target)
        except pa.ArrowInvalid:
            continue
    return None


def _moments(array: pa.Array, target: pa.DataType) -> pa.Array:
    unit = pa.timestamp("us", tz=array.type.tz)
    return array.cast(unit).cast(target)  # refuses parts of a microsecond


def _days_of_moments(array: pa.Array, target: pa.DataType) -> pa.Array | None:
    if array.type.tz is not None:
        return None
    days = array.cast(target, safe=False)
    return days if days.cast(array.type).equals(array) else None


def _is_text(source: pa.DataType) -> bool:
    return (
        pa.types.is_string(source)
        or pa.types.is_large_string(source)
        or pa.types.is_string_view(source)
    )


def _is_bytes(source: pa.DataType) -> bool:
    return (
        pa.types.is_binary(source)
        or pa.types.is_large_binary(source)
        or pa.types.is_fixed_size_binary(source)
    )


# Source type, target type, and the cast between them; Arrow refuses values that would lose
# something. The first line that fits counts.
_CASTS = (
    (_is_text, pa.types.is_string, _unicode),
    (_is_text, pa.types.is_timestamp, _moments_of_text),
    (_is_text, pa.types.is_date, _plain_cast),
    (pa.types.is_timestamp, pa.types.is_timestamp, _moments),
    (pa.types.is_timestamp, pa.types.is_date, _days_of_moments),
    (pa.types.is_date, pa.types.is_date, _as_it_is),
    (pa.types.is_date, pa.types.is_timestamp, _plain_cast),
    (pa.types.is_time, pa.types.is_time, _as_it_is),
    (pa.types.is_boolean, pa.types.is_boolean, _as_it_is),
    (_is_bytes, pa.types.is_binary, _as_it_is),
    (pa.types.is_integer, pa.types.is_integer, _as_it_is),
    (pa.types.is_integer, lambda t: t == pa.float64(), _plain_cast),
    (pa.types.is_integer, pa.types.is_decimal, _plain_cast),
    (pa.types.is_floating, pa.types.is_integer, _whole_floats),
    (pa.types.is_floating, pa.types.is_floating, _floats),
    (pa.types.is_decimal, pa.types.is_decimal, _decimals),
    (pa.types.is_decimal, pa.types.is_floating, _decimals_as_floats),
)
