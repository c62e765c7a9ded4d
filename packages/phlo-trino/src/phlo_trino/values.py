"""Trino's types and values as Arrow: exact, and of the types that the DuckDB engine gives.

The protocol sends JSON: numbers of up to 64 bits as such, everything else as text.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pyarrow as pa
from phlo.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_DAY_MICROSECONDS = 86_400_000_000


@dataclass(frozen=True)
class ValueType:
    """How values of one of Trino's types become Arrow.

    Attributes:
        arrow: The type in Arrow.
        decode: Makes of a value in JSON what Arrow takes; ``None`` where it takes it as it is.
    """

    arrow: pa.DataType
    decode: Callable[[Any], Any] | None = None

    def array(self, values: Sequence[Any]) -> pa.Array:
        """Make an Arrow array of values as the protocol sends them."""
        decode = self.decode
        if decode is not None:
            values = [None if v is None else decode(v) for v in values]
        return pa.array(values, self.arrow)


def type_of(signature: Mapping[str, Any], *, is_inside: bool = False) -> ValueType:
    """Find how values of a type become Arrow.

    Args:
        signature: The ``typeSignature`` of a column.
        is_inside: Whether it is the type of an element, key, value or field.
    """
    name, arguments = signature["rawType"], signature["arguments"]
    match name:
        case "decimal" | "number":
            return _decimal_type(arguments)
        case "array":
            element = type_of(arguments[0]["value"], is_inside=True)
            return ValueType(pa.list_(element.arrow), _each(element))
        case "map":
            return _map_type(arguments)
        case "row":
            return _row_type(arguments)
        case "unknown":
            return ValueType(pa.null() if is_inside else pa.int32())
    return _SIMPLE.get(name) or ValueType(pa.string(), str)


def _decimal_type(arguments: Sequence[Mapping[str, Any]]) -> ValueType:
    numbers = [argument["value"] for argument in arguments]
    if len(numbers) != 2:
        raise QueryError(
            "A column of type NUMBER has no fixed number of digits.",
            hint="Cast it to DECIMAL(38, s) or DOUBLE.",
        )
    return ValueType(pa.decimal128(*numbers), Decimal)


def _row_type(arguments: Sequence[Mapping[str, Any]]) -> ValueType:
    fields = []
    for number, argument in enumerate(arguments):
        name = (argument["value"].get("fieldName") or {}).get("name") or f"field{number}"
        fields.append((name, type_of(argument["value"]["typeSignature"], is_inside=True)))
    names = [name for name, _ in fields]
    decoders = [inner.decode for _, inner in fields]

    def decode(values: Sequence[Any]) -> dict[str, Any]:
        return {
            name: value if decode is None or value is None else decode(value)
            for name, decode, value in zip(names, decoders, values, strict=True)
        }

    return ValueType(pa.struct([(name, inner.arrow) for name, inner in fields]), decode)


def _each(element: ValueType) -> Callable[[Any], Any] | None:
    decode = element.decode
    if decode is None:
        return None
    return lambda values: [None if v is None else decode(v) for v in values]


def _map_type(arguments: Sequence[Mapping[str, Any]]) -> ValueType:
    key_signature = arguments[0]["value"]
    key, value = (type_of(argument["value"], is_inside=True) for argument in arguments)
    decode_key = _key_decoder(key_signature["rawType"], key)
    decode_value = value.decode or (lambda v: v)

    def decode(pairs: Mapping[str, Any]) -> list[tuple[Any, Any]]:
        return [(decode_key(k), None if v is None else decode_value(v)) for k, v in pairs.items()]

    return ValueType(pa.map_(key.arrow, value.arrow), decode)


def _key_decoder(name: str, key: ValueType) -> Callable[[Any], Any]:
    """Read a key of a map, which JSON has as text alone."""
    if name in ("array", "map", "row", "varbinary"):
        return lambda _: _refuse_keys(name)
    if name == "boolean":
        return lambda text: text == "true"
    if name in ("tinyint", "smallint", "integer", "bigint"):
        return int
    return key.decode or (lambda text: text)


def _refuse_keys(name: str) -> Any:
    raise QueryError(
        f"Keys of type {name.upper()} in a map do not reach clients of Trino.",
        hint="Select map_entries(...) of the map.",
    )


def _date(text: str) -> int:
    """Read a date as days since 1970; years before 1 and after 9999 too."""
    try:
        return date.fromisoformat(text).toordinal() - _EPOCH.toordinal()
    except ValueError:
        year, month, day = text.rsplit("-", 2)
        return _days(int(year), int(month), int(day))


def _days(year: int, month: int, day: int) -> int:
    """Return the days since 1970 in the proleptic Gregorian calendar, which repeats in 400 years.

    >>> _days(1970, 1, 1), _days(-1, 12, 31), _days(12000, 1, 1)
    (0, -719529, 3663382)
    """
    cycles, rest = divmod(year, 400)
    within = date(rest + 400, month, day).toordinal() - _EPOCH.toordinal()
    return within + (cycles - 1) * 146_097


def _time(text: str) -> int:
    """Read a time as microseconds since midnight."""
    clock, _, fraction = text.partition(".")
    hours, minutes, seconds = clock.split(":")
    whole = (int(hours) * 60 + int(minutes)) * 60 + int(seconds)
    return whole * 1_000_000 + _fraction(fraction, text)


def _fraction(digits: str, text: str) -> int:
    if digits[6:].strip("0"):
        raise QueryError(
            f"{text} is finer than a microsecond.",
            hint="Cast it to TIMESTAMP(6), or TIME(6).",
        )
    return int(digits[:6].ljust(6, "0"))


def _timestamp(text: str) -> int:
    """Read a timestamp without a zone as microseconds since 1970."""
    day, _, clock = text.partition(" ")
    return _date(day) * _DAY_MICROSECONDS + _time(clock)


def _instant(text: str) -> int:
    """Read a timestamp with a zone as microseconds since 1970 in UTC."""
    local, _, zone = text.rpartition(" ")
    moment = _timestamp(local)
    return moment if zone == "UTC" else moment - _utc_offset(moment, zone, text)


def _utc_offset(moment: int, zone: str, text: str) -> int:
    """Return a zone's offset from UTC, in microseconds, at a local time of it."""
    if zone[0] in "+-":
        sign = -1 if zone[0] == "-" else 1
        hours, minutes = zone[1:].split(":")
        return sign * (int(hours) * 60 + int(minutes)) * 60_000_000
    local = (_EPOCH + moment * _MICROSECOND).replace(tzinfo=ZoneInfo(zone))
    first, second = local.utcoffset(), local.replace(fold=1).utcoffset()
    if first != second or first is None:
        raise QueryError(
            f"{text} is there twice, as clocks are put back; Trino does not tell which is meant.",
            hint="Select the value AT TIME ZONE 'UTC'.",
        )
    return first // _MICROSECOND


def _days_to_seconds(text: str) -> pa.MonthDayNano:
    """Read ``2 03:04:05.678``, an interval of days to seconds."""
    days, _, clock = text.removeprefix("-").partition(" ")
    microseconds = int(days) * _DAY_MICROSECONDS + _time(clock)
    return pa.MonthDayNano([0, 0, (-1 if text[0] == "-" else 1) * microseconds * 1000])


def _years_to_months(text: str) -> pa.MonthDayNano:
    """Read ``1-2``, an interval of years and months."""
    years, _, months = text.removeprefix("-").partition("-")
    return pa.MonthDayNano([(-1 if text[0] == "-" else 1) * (int(years) * 12 + int(months)), 0, 0])


_SIMPLE = {
    "boolean": ValueType(pa.bool_()),
    "tinyint": ValueType(pa.int8()),
    "smallint": ValueType(pa.int16()),
    "integer": ValueType(pa.int32()),
    "bigint": ValueType(pa.int64()),
    "real": ValueType(pa.float32(), float),
    "double": ValueType(pa.float64(), float),
    "varchar": ValueType(pa.string()),
    "char": ValueType(pa.string()),
    "json": ValueType(pa.string()),
    "uuid": ValueType(pa.string()),
    "varbinary": ValueType(pa.binary(), base64.b64decode),
    "date": ValueType(pa.date32(), _date),
    "time": ValueType(pa.time64("us"), _time),
    "timestamp": ValueType(pa.timestamp("us"), _timestamp),
    "timestamp with time zone": ValueType(pa.timestamp("us", "UTC"), _instant),
    "interval day to second": ValueType(pa.month_day_nano_interval(), _days_to_seconds),
    "interval year to month": ValueType(pa.month_day_nano_interval(), _years_to_months),
}
