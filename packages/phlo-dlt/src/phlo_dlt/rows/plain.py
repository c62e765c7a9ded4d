"""Python values of other libraries as Python's own, and lists and dicts as JSON text."""

from __future__ import annotations

import ipaddress
import json
import math
from datetime import date, time
from decimal import Decimal
from enum import Enum
from typing import Any, NoReturn
from uuid import UUID

import numpy as np
import orjson
import pandas as pd
import simplejson
from dlt.common.json import custom_encode

IDENTIFIERS = (
    UUID,
    *(ipaddress.IPv4Address, ipaddress.IPv4Interface, ipaddress.IPv4Network),
    *(ipaddress.IPv6Address, ipaddress.IPv6Interface, ipaddress.IPv6Network),
)
"""Classes whose values have one spelling as text, which is taken without ``coerce``."""

_MICROSECONDS = np.dtype("datetime64[us]")


class CastError(ValueError):
    """A value has no counterpart of another type, or only one that loses part of it."""


class WrittenFloat(float):
    """A float that remembers the digits it was read from, as a JSON file or answer has them.

    It counts as a float everywhere; a decimal or text column takes its digits.
    """

    __slots__ = ("digits",)

    def __new__(cls, digits: str) -> WrittenFloat:
        """Read a JSON number."""
        number = super().__new__(cls, digits)
        number.digits = digits
        return number

    def asdict(self) -> orjson.Fragment:
        """Return the digits: what dlt asks objects for when it writes them as JSON."""
        return orjson.Fragment(self.digits)


def read_float(digits: str) -> float:
    """Read a JSON number with a fraction or an exponent; see :class:`WrittenFloat`."""
    number = float(digits)
    return number if repr(number) == digits else WrittenFloat(digits)


class RepeatedName:
    """The values of a name that stands more than once in a JSON object, and differ.

    Nothing says which one was meant, so no column takes it.
    """

    __slots__ = ("_values",)

    def __init__(self, values: list[Any]) -> None:
        self._values = values

    def __str__(self) -> str:
        return " and ".join(getattr(value, "digits", repr(value)) for value in self._values)

    def asdict(self) -> NoReturn:
        """Refuse to be written as JSON, for which dlt asks objects."""
        raise CastError(f"A name in an object of JSON has two values: {self}.")


def read_object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Read a JSON object; a name with two different values holds a :class:`RepeatedName`."""
    value = dict(members)
    if len(value) == len(members):
        return value
    for name in value:
        values = [element for other, element in members if other == name]
        if any(not _is_same(element, values[0]) for element in values):
            value[name] = RepeatedName(values)
    return value


def read_json(text: str | bytes) -> Any:
    """Read JSON with all digits of its numbers and all values of its names."""
    return json.loads(text, parse_float=read_float, object_pairs_hook=read_object)


def _is_same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


def is_missing(value: Any) -> bool:
    """Return whether a value is one by which Python's libraries say that there is none.

    ``None``, NaN, ``NaT`` and ``pd.NA`` are; a signalling NaN is not.
    """
    if value is None or value is pd.NA:
        return True
    try:
        # NaT is a datetime that differs from itself, as NaN is a float that does.
        return bool(value != value)
    except (TypeError, ValueError, ArithmeticError):
        return False


def is_finite(number: float | Decimal) -> bool:
    """Return whether a number is neither infinite nor NaN, however large it is."""
    if isinstance(number, Decimal):
        return number.is_finite()
    return isinstance(number, int) or math.isfinite(number)


def to_plain(value: Any) -> Any:
    """Return numpy's and Arrow's scalars and arrays as Python's values, other values as they are.

    A point in time that Python's ``datetime`` cannot hold is a ``pd.Timestamp``, or stays as it is.
    """
    if isinstance(value, np.datetime64 | np.timedelta64):
        try:
            return _moment(value) if isinstance(value, np.datetime64) else pd.Timedelta(value)
        except (ValueError, OverflowError):  # beyond what pandas holds
            return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist() if value.dtype.kind != "M" else [to_plain(v) for v in value]
    return value.as_py() if hasattr(value, "as_py") else value


def _moment(value: np.datetime64) -> Any:
    whole = value.astype(_MICROSECONDS)
    if whole.astype(value.dtype) != value:
        return pd.Timestamp(value)
    moment = whole.item()
    return moment if isinstance(moment, date) else value  # of a year that Python lacks


def to_json(value: Any) -> str:
    """Return JSON text of a list or dict.

    Dates, times, decimals and UUIDs are text, bytes are base64, NaN and ``NaT`` are null.

    Raises:
        CastError: JSON has no counterpart of a value in it: an infinite number, a set, an object.
    """
    try:
        text = orjson.dumps(value, default=_counterpart)
    except TypeError:  # numbers beyond 64 bits, broken text, keys of other types: slower
        return _slow_json(value)
    if b"null" in text:
        _spelled(value)  # refuses infinite numbers, which orjson writes as null
    return text.decode()


def _slow_json(value: Any) -> str:
    try:
        return simplejson.dumps(_spelled(value), separators=(",", ":"))
    except RecursionError as exc:
        raise CastError("nested too deeply, or within itself") from exc


def _counterpart(value: Any) -> Any:
    """Return what stands in JSON for a value that orjson does not know."""
    if isinstance(value, WrittenFloat):
        return orjson.Fragment(value.digits)
    return _known(value)


def _known(value: Any) -> Any:
    plain = to_plain(value)
    if plain is not value:
        return plain
    if isinstance(value, RepeatedName):
        raise CastError("a name in it has two values")
    if isinstance(value, IDENTIFIERS):
        return str(value)
    if is_missing(value):
        return None
    if isinstance(value, Decimal) and not value.is_finite():
        raise CastError("JSON has no infinite numbers")
    if isinstance(value, float | int | str):  # subclasses
        return next(t(value) for t in (int, float) if isinstance(value, t))
    if isinstance(value, tuple):  # with names, which the other way of writing does not know
        return list(value)
    if isinstance(value, set | frozenset):
        raise CastError("a set has no order, and JSON no sets")
    if isinstance(value, bytearray | memoryview):
        return custom_encode(bytes(value))
    try:
        return custom_encode(value)
    except TypeError as exc:
        raise CastError(f"JSON has no {type(value).__name__}") from exc


def _spelled(value: Any) -> Any:
    """Return a value in JSON's own types, or raise ``CastError``."""
    if isinstance(value, dict):
        return _spelled_members(value)
    if isinstance(value, WrittenFloat):
        return simplejson.RawJSON(value.digits)
    if isinstance(value, list | tuple):
        return [_spelled(v) for v in value]
    if isinstance(value, float) and math.isinf(value):
        raise CastError("JSON has no infinite numbers")
    if is_missing(value):
        return None
    if isinstance(value, Enum):
        return _spelled(value.value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, date | time):
        return value.isoformat()
    return _spelled(_known(value))


def _spelled_members(value: dict[Any, Any]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for key, element in value.items():
        name = _key(key)
        if name in members:
            raise CastError(f"two of its keys are {name!r} in JSON")
        members[name] = _spelled(element)
    return members


def _key(key: Any) -> str:
    text = _spelled(key)
    return text if isinstance(text, str) else simplejson.dumps(text)
