"""Kinds of column: what SQL compares alike, and what fits a schema."""

from __future__ import annotations

from enum import StrEnum

import pyarrow as pa


class Family(StrEnum):
    """Kinds of column that SQL compares alike."""

    TEXT = "text"
    NUMBER = "number"
    TIME = "time"
    BOOLEAN = "boolean"
    BINARY = "binary"
    NESTED = "nested"


def family_of(arrow_type: pa.DataType) -> Family:
    """Return the family of an Arrow type; a dictionary belongs to the family of its values."""
    if pa.types.is_dictionary(arrow_type):
        return family_of(arrow_type.value_type)  # pyright: ignore[reportAttributeAccessIssue]
    tests = {
        Family.TEXT: (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
        Family.NUMBER: (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal),
        Family.TIME: (pa.types.is_date, pa.types.is_timestamp),
        Family.BOOLEAN: (pa.types.is_boolean,),
        Family.NESTED: (pa.types.is_nested,),
    }
    return next((f for f, any_ in tests.items() if any(t(arrow_type) for t in any_)), Family.BINARY)


def fits(stored: pa.DataType, promised: pa.DataType, *, coerce: bool) -> bool:
    """Return whether a table's column holds what a schema promises.

    Widths, and the unit and zone of timestamps, are the engine's business. Where the schema
    coerces, decimals pass for floats and the reverse, days for timestamps, and nested values for
    their JSON.

    >>> fits(pa.int32(), pa.int64(), coerce=False), fits(pa.string(), pa.int64(), coerce=True)
    (True, False)
    """
    pair = _type_name(stored), _type_name(promised)
    if pair == ("decimal", "integer"):
        return stored.scale == 0  # pyright: ignore[reportAttributeAccessIssue] - a decimal
    return pair[0] == pair[1] or pair in _LOSSLESS or (coerce and pair in _COERCED)


_LOSSLESS = {("integer", "float"), ("integer", "decimal")}
_COERCED = {("decimal", "float"), ("float", "decimal"), ("date", "time"), ("nested", "text")}


def _type_name(arrow_type: pa.DataType) -> str:
    tests = {
        "integer": pa.types.is_integer,
        "float": pa.types.is_floating,
        "decimal": pa.types.is_decimal,
        "date": pa.types.is_date,
    }
    return next(
        (name for name, is_kind in tests.items() if is_kind(arrow_type)), str(family_of(arrow_type))
    )
