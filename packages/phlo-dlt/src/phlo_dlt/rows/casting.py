"""Convert one value of a source to the type of its column, losing nothing.

This is the one grammar of all sources: what :mod:`phlo_dlt.rows.whole` converts by the column, it
converts to the same values. A value that cannot be had without loss raises ``CastError``; its row
is invalid.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pyarrow as pa
from phlo.contract.types import ContractColumn, type_of_arrow

from phlo_dlt.rows.plain import (
    IDENTIFIERS,
    CastError,
    RepeatedName,
    WrittenFloat,
    is_finite,
    is_missing,
    to_json,
    to_plain,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[+-]?(inf|infinity)|nan", re.IGNORECASE)
_BEYOND_MICROSECONDS = re.compile(r"[.,][0-9]{6}0*[1-9]")
# Decimals of any column are judged with all their digits, whatever the thread's context is.
_DIGITS = Context(prec=100, Emax=999_999, Emin=-999_999)
_EXACT_INTEGERS = 2.0**53
"""Below it a double without a fraction is a whole number that was meant."""


def convert(value: Any, column: ContractColumn) -> Any:
    """Convert a source's value to the column's type.

    Args:
        value: From a dict, a file or an Arrow table. ``None``, NaN, ``NaT`` and ``pd.NA`` are
            null; NaN in a float column stays NaN.
        column: Where it goes. Text becomes numbers, and numbers text, only if it coerces.

    Raises:
        CastError: The value has no counterpart, or only one that loses part of it.
    """
    value = to_plain(value)
    if is_missing(value):
        return math.nan if isinstance(value, float) and _is_float(column) else None
    if isinstance(value, RepeatedName):
        raise CastError("two values of one name")
    if column.is_nested:
        return _nested(value, column)
    for is_type, converter in _CONVERTERS:
        if is_type(column.type):
            return converter(value, column)
    raise CastError(f"no conversion to {column.type}")


def convert_text(
    text: str, column: ContractColumn, null_values: Collection[str] | None = None
) -> Any:
    """Convert a cell of a text file, which holds nothing but text.

    Args:
        text: The cell.
        column: Where it goes; it coerces.
        null_values: Texts that mean null, beside blanks; ``None``: those of most programs.

    Raises:
        CastError: It is no such value.
    """
    bare = text.strip()
    if not bare or bare in (NULL_VALUES if null_values is None else null_values):
        return None
    if pa.types.is_boolean(column.type):
        return _BOOLEANS.get(bare.lower(), text)
    return convert(text, column)


NULL_VALUES = frozenset({"NA", "N/A", "NaN", "nan", "null", "NULL"})
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


class UncastableText:
    """Display text of a value that failed to cast and that JSON cannot hold.

    It is never cast again, not even to a text column.
    """

    __slots__ = ("_shown",)

    def __init__(self, shown: str) -> None:
        self._shown = shown

    def __str__(self) -> str:
        return self._shown


def _is_float(column: ContractColumn) -> bool:
    return pa.types.is_floating(column.type)


def _nested(value: Any, column: ContractColumn) -> str:
    text = value if isinstance(value, str) else None
    value = _parsed(text) if text is not None else value
    if not isinstance(value, dict | list | tuple):
        raise CastError("neither a list nor a dict")
    if column.declared is not None:
        check_elements(value, column.declared, column)
    fitted = value if column.fit is None else column.fit(value, column.coerce)
    return text if text is not None and fitted is value else to_json(fitted)


def check_elements(value: Any, declared: pa.DataType, column: ContractColumn) -> None:
    """Check that a list or dict is of an Arrow type, with all that stands in it.

    Raises:
        CastError: It is not.
    """
    value = to_plain(value)
    if is_missing(value):
        return
    if pa.types.is_struct(declared):
        _check_struct(value, declared, column)
    elif pa.types.is_map(declared):
        _check_map(value, declared, column)
    elif pa.types.is_nested(declared):
        size = declared.list_size if pa.types.is_fixed_size_list(declared) else None
        if not isinstance(value, list | tuple) or size not in (None, len(value)):
            raise CastError(f"no {declared}")
        for element in value:
            check_elements(element, declared.value_type, column)
    else:
        _check_scalar(value, declared, column)


def _check_struct(value: Any, declared: pa.DataType, column: ContractColumn) -> None:
    fields = {declared.field(i).name: declared.field(i).type for i in range(declared.num_fields)}
    if not isinstance(value, dict):
        raise CastError(f"no {declared}")
    unknown = next((str(k) for k in value if k not in fields), None)
    if unknown is not None:
        raise CastError(f"{declared} has no {unknown!r}")
    for name, element in value.items():
        check_elements(element, fields[name], column)


def _check_map(value: Any, declared: pa.DataType, column: ContractColumn) -> None:
    if not isinstance(value, dict):
        raise CastError(f"no {declared}")
    for key, element in value.items():
        # Keys of JSON are text.
        if not isinstance(key, str):
            check_elements(key, declared.key_type, column)
        check_elements(element, declared.item_type, column)


def _check_scalar(value: Any, declared: pa.DataType, column: ContractColumn) -> None:
    try:
        convert(value, _element(column, declared))
    except ValueError as exc:
        raise CastError(f"{str(value)[:60]!r} in it is no {declared}: {exc}") from exc


def _element(column: ContractColumn, declared: pa.DataType) -> ContractColumn:
    element = type_of_arrow(declared)
    if element is None:
        raise CastError("a table cannot have that")
    return ContractColumn(
        column.name, element.type, coerce=column.coerce, declared=element.declared, nullable=True
    )


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        return None


def _text(value: Any, column: ContractColumn) -> str:
    text = _as_text(value, column)
    text.encode()  # half of a surrogate pair is no text: a ValueError
    if column.categories is not None and text not in column.categories:
        raise CastError("not one of the categories")
    return text


def _as_text(value: Any, column: ContractColumn) -> str:
    if isinstance(value, str):
        return str.__str__(value)  # the text of an enum's member, not its name
    if isinstance(value, dict | list | tuple):
        return to_json(value)
    if isinstance(value, IDENTIFIERS):
        return str(value)
    if column.coerce and isinstance(value, WrittenFloat):
        return value.digits
    if column.coerce and isinstance(value, int | float | Decimal):
        return str(value)
    if column.coerce and isinstance(value, date | time):
        return value.isoformat()
    raise CastError("no text")


def _integer(value: Any, column: ContractColumn) -> int:
    number = _number(value, column, _whole_of_text)
    if isinstance(number, WrittenFloat):
        number = Decimal(number.digits)
    if not is_finite(number):
        raise CastError("no whole number")
    if isinstance(number, Decimal) and number.adjusted() > _MOST_DIGITS:
        raise CastError("out of range")
    if number != int(number):
        raise CastError("no whole number")
    lowest, highest = bounds(column)
    if not lowest <= int(number) <= highest:
        raise CastError("out of range")
    return int(number)


_MOST_DIGITS = 30
"""Far more than any integer has; the digits of 1E+999999 are not worth writing out."""


def bounds(column: ContractColumn) -> tuple[int, int]:
    """Return the lowest and the highest integer that a column takes."""
    stored = 1 << (column.type.bit_width - 1)
    if column.declared is None:
        return -stored, stored - 1
    if pa.types.is_unsigned_integer(column.declared):
        return 0, min((1 << column.declared.bit_width) - 1, stored - 1)
    held = 1 << (column.declared.bit_width - 1)
    return -held, held - 1


def _float(value: Any, column: ContractColumn) -> float:
    """Convert a number to the nearest float; a whole number must be had exactly."""
    number = _number(value, column, _float_of_text)
    try:
        result = float(number)
    except OverflowError as exc:
        raise CastError("out of range") from exc
    result = _narrowed(result, column)
    if math.isinf(result) and (is_finite(number) or isinstance(number, WrittenFloat)):
        raise CastError("out of range")
    if _is_whole(number) and Decimal(result) != Decimal(number):
        raise CastError("too many digits")
    return result


def _narrowed(number: float, column: ContractColumn) -> float:
    narrow = column.declared or column.type
    if narrow == pa.float64():
        return number
    with np.errstate(over="ignore"):
        return float(np.float16(number) if narrow == pa.float16() else np.float32(number))


def _is_whole(number: float | Decimal) -> bool:
    """Return whether a number stands for a whole one: 1e30 is an approximation, 16777217 is not."""
    if isinstance(number, int):
        return True
    if not is_finite(number):
        return False
    if isinstance(number, Decimal):
        exponent = number.as_tuple().exponent
        return isinstance(exponent, int) and exponent <= 0 and _is_integral(number)
    return abs(number) < _EXACT_INTEGERS and number.is_integer()


def _is_integral(number: Decimal) -> bool:
    return number == number.to_integral_value(context=_DIGITS)


def _decimal(value: Any, column: ContractColumn) -> Decimal:
    number = _number(value, column, _decimal_of_text)
    if isinstance(number, float):
        number = Decimal(number.digits if isinstance(number, WrittenFloat) else repr(number))
    exact = Decimal(number)
    quantum = Decimal(1).scaleb(-column.type.scale)
    try:
        result = exact.quantize(quantum, context=_DIGITS)
    except InvalidOperation as exc:
        raise CastError("too many digits") from exc
    if result != exact or len(result.as_tuple().digits) > column.type.precision:
        raise CastError("too many digits")
    return result


def _number(
    value: Any, column: ContractColumn, of_text: Callable[[str], int | float | Decimal]
) -> int | float | Decimal:
    if isinstance(value, bool) and not column.coerce:
        raise CastError("no number")
    if isinstance(value, Decimal) and value.is_nan():
        raise CastError("no number")
    if isinstance(value, timedelta):
        raise CastError("no number")
    if isinstance(value, int | float | Decimal):
        return value
    if column.coerce and isinstance(value, str):
        return of_text(value.strip())
    raise CastError("no number")


def _whole_of_text(text: str) -> int:
    if not _WHOLE.fullmatch(text) or len(text) > _MOST_DIGITS * 10:
        raise CastError("no whole number")
    return int(text)


def _float_of_text(text: str) -> float | Decimal:
    if _NOT_FINITE.fullmatch(text):
        return float(text)
    return _decimal_of_text(text)


def _decimal_of_text(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise CastError("no number")
    return Decimal(text)


def _boolean(value: Any, column: ContractColumn) -> bool:
    if isinstance(value, bool):
        return value
    if column.coerce and isinstance(value, int | float | Decimal) and value in (0, 1):
        return bool(value)
    raise CastError("no boolean")


def _timestamp(value: Any, _column: ContractColumn) -> datetime:
    value = _parse_moment(value, datetime.fromisoformat)
    if isinstance(value, datetime):
        return _in_utc(value)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise CastError("no point in time")


def _in_utc(moment: datetime) -> datetime:
    to_python = getattr(moment, "to_pydatetime", None)  # pandas' own
    moment = to_python(warn=False) if to_python is not None else moment
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as exc:
        raise CastError("out of range") from exc


def _parse_moment(value: Any, parse: Callable[[str], Any]) -> Any:
    """Return text as the date or time it writes, and refuse parts of a microsecond."""
    if getattr(value, "nanosecond", 0):
        raise CastError("finer than a microsecond")
    if not isinstance(value, str):
        return value
    text = value.strip()
    if _BEYOND_MICROSECONDS.search(text):
        raise CastError("finer than a microsecond")
    return parse(text)


def _date(value: Any, _column: ContractColumn) -> date:
    value = _parse_moment(value, _date_of_text)
    if isinstance(value, datetime):
        if value.time() != time():
            raise CastError("has a time of day")
        return value.date()
    if isinstance(value, date):
        return value
    raise CastError("no date")


def _date_of_text(text: str) -> date:
    return date.fromisoformat(text) if len(text) <= 10 else datetime.fromisoformat(text)


def _time(value: Any, _column: ContractColumn) -> time:
    value = _parse_moment(value, time.fromisoformat)
    if isinstance(value, time) and value.tzinfo is None:
        return value
    raise CastError("no time of day")


def _binary(value: Any, _column: ContractColumn) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise CastError("no bytes")


_CONVERTERS: tuple[tuple[Callable[[pa.DataType], bool], Callable[..., Any]], ...] = (
    (pa.types.is_string, _text),
    (pa.types.is_integer, _integer),
    (pa.types.is_floating, _float),
    (pa.types.is_decimal, _decimal),
    (pa.types.is_boolean, _boolean),
    (pa.types.is_timestamp, _timestamp),
    (pa.types.is_date, _date),
    (pa.types.is_time, _time),
    (pa.types.is_binary, _binary),
)
