"""Numbers and times of every two types, and how many of them have a partner.

The oracle is Python's: a number has a partner where another number is equal with all its digits. A
float beside a decimal stands for the digits it is written with, too.
"""

from __future__ import annotations

import itertools
import math
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from phlo_quality import RelationshipCheck

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = "ref.keys"
"""The table that holds the partners."""

_FAR = datetime(9999, 12, 31)
_NUMBERS: dict[str, tuple[pa.DataType, list[Any]]] = {
    "bigint": (pa.int64(), [0, 1, 2**53 + 1, 2**53, -(2**63), 2**63 - 1, 1234567890123456789]),
    "integer": (pa.int32(), [0, 1, -1, 2**31 - 1]),
    "double": (
        pa.float64(),
        [
            0.0,
            -0.0,
            1.5,
            2.0**53,
            -(2.0**63),
            1e300,
            math.inf,
            math.nan,
            0.1,
            1.2345678901234568e18,
        ],
    ),
    "real": (pa.float32(), [0.0, 1.0, 1.5, 0.1, 16777216.0, math.inf, math.nan]),
    "money": (pa.decimal128(10, 2), [Decimal(t) for t in ("0.00", "1.00", "1.50", "0.10")]),
    "wide": (pa.decimal128(38, 10), [Decimal(t) for t in ("0", "1", "9007199254740993", "0.1")]),
    "whole": (pa.decimal128(38, 0), [Decimal(0), Decimal(1), Decimal("9" * 38)]),
    "part": (pa.decimal128(38, 38), [Decimal(t) for t in ("0", "0.1", "-0.5")]),
}
_TIMES: dict[str, tuple[pa.DataType, list[Any]]] = {
    "day": (pa.date32(), [date(2025, 1, 1), date(1600, 1, 1), _FAR.date()]),
    "local": (pa.timestamp("us"), [datetime(2025, 1, 1, 0, 0, 0, 1), datetime(1600, 1, 1), _FAR]),
    "moment": (
        pa.timestamp("us", "UTC"),
        [datetime(2025, 1, 1, tzinfo=UTC), datetime(1600, 1, 1, tzinfo=UTC)],
    ),
}
_COLUMNS = _NUMBERS | _TIMES
_LENGTH = 1 + max(len(values) for _, values in _COLUMNS.values())


def rows() -> pa.Table:
    """Return one column for each type; all end with null."""
    return pa.table(
        {
            name: pa.array([*values, *[None] * (_LENGTH - len(values))], kind)
            for name, (kind, values) in _COLUMNS.items()
        }
    )


def _pairs() -> Iterator[tuple[str, str]]:
    for columns in (_NUMBERS, _TIMES):
        yield from itertools.product(columns, columns)


CHECKS = {
    (name, other): RelationshipCheck(name, KEYS, other, name=f"{name}_in_{other}")
    for name, other in _pairs()
}
"""A check for each pair of types: the columns of :func:`rows` in those of ``ref.keys``."""


def expected_counts() -> list[int]:
    """Return how many values of each check have no partner."""
    held = {name: rows().column(name).to_pylist() for name in _COLUMNS}
    return [
        sum(not _has_partner(value, held[other]) for value in held[name]) for name, other in CHECKS
    ]


def _has_partner(value: Any, others: list[Any]) -> bool:
    if value is None or value != value:
        return True
    meanings = _meanings(value, others)
    return any(
        _meanings(other, [value]) & meanings
        for other in others
        if other is not None and other == other
    )


def _meanings(value: Any, beside: list[Any]) -> set[Any]:
    """Return what a value may stand for: itself, and beside decimals the digits of a float."""
    if isinstance(value, datetime):
        return {value.replace(tzinfo=None)}
    if isinstance(value, date):
        return {datetime(value.year, value.month, value.day)}
    if isinstance(value, float) and not math.isfinite(value):
        return {value}
    is_beside_decimals = any(isinstance(other, Decimal) for other in beside)
    written = {Fraction(repr(value))} if isinstance(value, float) and is_beside_decimals else set()
    return {Fraction(value)} | written
