"""Values of one kind made of another, losing nothing.

A value that cannot be had without loss raises ``ValueError``; its row is invalid.
"""

from __future__ import annotations

import json as stdlib_json
import math
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pyarrow as pa
from dlt.common.json import json

if TYPE_CHECKING:
    from collections.abc import Callable

    from phlo.contract import ContractColumn


def convert(value: Any, column: ContractColumn) -> Any:
    """A source's value as the column's type.

    Args:
        value: From a dict or an Arrow table. ``None``, and NaN outside float columns, are null.
        column: Where it goes. Text becomes numbers, and numbers text, only if it coerces.

    Raises:
        ValueError: The value has no counterpart, or only one that loses part of it.
    """
    # NaT is a datetime that differs from itself, as NaN is a float that does.
    if value is None or (_is_nan(value) and not pa.types.is_floating(column.type)):
        return None
    value = value.item() if hasattr(value, "item") and not isinstance(value, str) else value
    if column.is_nested:
        return _nested(value)
    for is_kind, converter in _CONVERTERS:
        if is_kind(column.type):
            return converter(value, column)
    raise ValueError(f"no conversion to {column.type}")


class NoText:
    """What a refused value is remembered by, where it was of a kind that JSON does not have."""

    __slots__ = ("_shown",)

    def __init__(self, shown: str) -> None:
        self._shown = shown

    def __str__(self) -> str:
        return self._shown


def to_json(value: Any) -> str:
    """JSON text of a nested value, with dates, decimals and the like as text."""
    try:
        return json.dumps(value)
    except TypeError:  # numbers beyond 64 bits, broken text: slower, but knows them
        return stdlib_json.dumps(value, default=str)


def _is_nan(value: Any) -> bool:
    try:
        return bool(value != value)
    except (TypeError, ValueError):
        return False


def _nested(value: Any) -> str:
    if isinstance(value, dict | list | tuple):
        return to_json(value)
    if isinstance(value, str) and isinstance(_parsed(value), dict | list):
        return value
    raise ValueError("neither a list nor a dict")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _text(value: Any, column: ContractColumn) -> str:
    if isinstance(value, str):
        value.encode()  # half of a surrogate pair is no text: a ValueError
        return str(value)
    if isinstance(value, dict | list | tuple):
        return to_json(value)
    if isinstance(value, UUID):
        return str(value)
    if column.coerce and isinstance(value, int | float | Decimal):
        return str(value)
    if column.coerce and isinstance(value, date | time):
        return value.isoformat()
    raise ValueError("no text")


def _integer(value: Any, column: ContractColumn) -> int:
    number = _number(value, column)
    if isinstance(number, float | Decimal) and (not math.isfinite(number) or number != int(number)):
        raise ValueError("no whole number")
    limit = 1 << (column.type.bit_width - 1)
    if not -limit <= int(number) < limit:
        raise ValueError("out of range")
    return int(number)


def _float(value: Any, column: ContractColumn) -> float:
    number = _number(value, column, textual=float)
    try:
        result = float(number)
    except OverflowError as exc:
        raise ValueError("out of range") from exc
    if isinstance(number, int) and int(result) != number:
        raise ValueError("too many digits")
    return result


def _decimal(value: Any, column: ContractColumn) -> Decimal:
    number = _number(value, column, textual=Decimal)
    exact = Decimal(repr(number)) if isinstance(number, float) else Decimal(number)
    quantum = Decimal(1).scaleb(-column.type.scale)
    try:
        result = exact.quantize(quantum)
    except InvalidOperation as exc:
        raise ValueError("too many digits") from exc
    if result != exact or len(result.as_tuple().digits) > column.type.precision:
        raise ValueError("too many digits")
    return result


def _number(
    value: Any,
    column: ContractColumn,
    textual: Callable[[str], int | float | Decimal] = int,
) -> int | float | Decimal:
    if isinstance(value, bool) and not column.coerce:
        raise ValueError("no number")
    if isinstance(value, int | float | Decimal):
        return value
    if column.coerce and isinstance(value, str):
        try:
            return textual(value.strip())
        except InvalidOperation as exc:
            raise ValueError("no number") from exc
    raise ValueError("no number")


def _boolean(value: Any, column: ContractColumn) -> bool:
    if isinstance(value, bool):
        return value
    if column.coerce and isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    raise ValueError("no boolean")


def _timestamp(value: Any, _column: ContractColumn) -> datetime:
    if isinstance(value, str):
        value = datetime.fromisoformat(value.strip())
    if isinstance(value, datetime):
        to_python = getattr(value, "to_pydatetime", None)  # pandas' own keeps nanoseconds
        moment = to_python(warn=False) if to_python is not None else value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise ValueError("no point in time")


def _date(value: Any, _column: ContractColumn) -> date:
    if isinstance(value, str):
        text = value.strip()
        value = date.fromisoformat(text) if len(text) <= 10 else datetime.fromisoformat(text)
    if isinstance(value, datetime):
        if value.time() != time():
            raise ValueError("has a time of day")
        return value.date()
    if isinstance(value, date):
        return value
    raise ValueError("no date")


def _time(value: Any, _column: ContractColumn) -> time:
    if isinstance(value, str):
        value = time.fromisoformat(value.strip())
    if isinstance(value, time) and value.tzinfo is None:
        return value
    raise ValueError("no time of day")


def _binary(value: Any, _column: ContractColumn) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise ValueError("no bytes")


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
