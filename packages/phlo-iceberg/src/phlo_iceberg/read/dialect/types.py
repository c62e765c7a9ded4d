"""Trino's types: their names, what is coerced to what, and how DuckDB holds their values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import pyarrow as pa
from phlo.errors import QueryError
from phlo.sql import quote_identifier

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_DIGITS = 38


@dataclass(frozen=True)
class Type:
    """A type of Trino.

    Attributes:
        name: Its name without parameters, in small letters; a type variable is a capital letter.
        numbers: Precision and scale, length, or digits of the seconds.
        inside: Types of elements, of key and value, or of fields.
        fields: Names of the fields of a row; an empty name for a field without one.
        zone: The zone of a timestamp with time zone, which DuckDB does not keep; ``None``: unknown.
    """

    name: str
    numbers: tuple[int, ...] = ()
    inside: tuple[Type, ...] = ()
    fields: tuple[str, ...] = ()
    zone: str | None = None

    def __str__(self) -> str:
        if self.name == "row":
            pairs = zip(self.fields, self.inside, strict=True)
            return f"row({', '.join(f'{n} {t}'.strip() for n, t in pairs)})"
        if self.inside:
            return f"{self.name}({', '.join(map(str, self.inside))})"
        if self.name == "timestamptz":
            digits = f"({self.numbers[0]})" if self.numbers else ""
            return f"timestamp{digits} with time zone"
        numbers = ",".join(map(str, self.numbers))
        return f"{self.name}({numbers})" if numbers else self.name

    @property
    def is_integer(self) -> bool:
        """Whether it is a whole number of a fixed number of bits."""
        return self.name in _INTEGERS

    @property
    def is_float(self) -> bool:
        """Whether its values may be NaN."""
        return self.name in ("real", "double")

    @property
    def is_number(self) -> bool:
        """Whether one can calculate with it."""
        return self.is_integer or self.is_float or self.name == "decimal"

    @property
    def is_text(self) -> bool:
        """Whether it is text."""
        return self.name in ("varchar", "char")

    @property
    def has_float(self) -> bool:
        """Whether NaN can be in its values, at any depth."""
        return self.is_float or any(t.has_float for t in self.inside)


def simple(name: str) -> Type:
    """Return a type without parameters."""
    return Type(name)


BOOLEAN, TINYINT, SMALLINT, INTEGER, BIGINT, REAL, DOUBLE, VARCHAR, VARBINARY, DATE, JSON, UUID = (
    Type(n)
    for n in (
        "boolean",
        "tinyint",
        "smallint",
        "integer",
        "bigint",
        "real",
        "double",
        "varchar",
        "varbinary",
        "date",
        "json",
        "uuid",
    )
)
UNKNOWN = Type("unknown")
DAY_TO_SECOND, YEAR_TO_MONTH = Type("interval day to second"), Type("interval year to month")
_INTEGERS = {"tinyint": 3, "smallint": 5, "integer": 10, "bigint": 19}
_NUMBERS = ("tinyint", "smallint", "integer", "bigint", "decimal", "real", "double")


def decimal(precision: int, scale: int) -> Type:
    """Return a decimal, with at most 38 digits."""
    return Type("decimal", (min(precision, MAX_DIGITS), scale))


def timestamp(digits: int = 3) -> Type:
    """Return a timestamp without a zone."""
    return Type("timestamp", (digits,))


def timestamptz(digits: int = 3, zone: str | None = "UTC") -> Type:
    """Return a timestamp with a zone."""
    return Type("timestamptz", (digits,), zone=zone)


def array(element: Type) -> Type:
    """Return an array."""
    return Type("array", inside=(element,))


def map_of(key: Type, value: Type) -> Type:
    """Return a map."""
    return Type("map", inside=(key, value))


def row(inside: Iterable[Type], fields: Iterable[str] | None = None) -> Type:
    """Return a row; without ``fields`` its fields have no names."""
    types = tuple(inside)
    return Type("row", inside=types, fields=tuple(fields) if fields else ("",) * len(types))


def as_decimal(number: Type) -> Type:
    """Return the decimal that holds every value of a whole number or decimal."""
    return decimal(_INTEGERS[number.name], 0) if number.is_integer else number


def common_type(left: Type, right: Type) -> Type | None:
    """Return the type to which Trino coerces both, or ``None`` where there is none.

    >>> print(common_type(INTEGER, decimal(4, 2)), common_type(DATE, timestamp(0)))
    decimal(12,2) timestamp(0)
    """
    if left == right or right == UNKNOWN:
        return left
    if left == UNKNOWN:
        return right
    if left.is_number and right.is_number:
        return _common_number(left, right)
    if left.name == right.name:
        return _common_same(left, right)
    pair = sorted((left, right), key=lambda t: _ORDER.get(t.name, 9))
    names = tuple(t.name for t in pair)
    if names in (("date", "timestamp"), ("date", "timestamptz"), ("timestamp", "timestamptz")):
        digits = max([0, *left.numbers, *right.numbers])
        return Type(names[1], (digits,), zone=pair[1].zone)
    if names == ("char", "varchar"):
        return (
            Type("char", (max(left.numbers[0], right.numbers[0]),))
            if all(t.numbers for t in pair)
            else VARCHAR
        )
    return None


_ORDER = {"date": 0, "timestamp": 1, "timestamptz": 2, "char": 3, "varchar": 4}


def _common_number(left: Type, right: Type) -> Type:
    if left.is_float or right.is_float:
        is_real = {left.name, right.name} <= {*_NUMBERS} - {"double"}
        return REAL if is_real else DOUBLE
    if left.is_integer and right.is_integer:
        return max(left, right, key=lambda t: _INTEGERS[t.name])
    a, b = as_decimal(left), as_decimal(right)
    scale = max(a.numbers[1], b.numbers[1])
    return decimal(max(a.numbers[0] - a.numbers[1], b.numbers[0] - b.numbers[1]) + scale, scale)


def _common_same(left: Type, right: Type) -> Type | None:
    if left.name in ("varchar", "char"):
        both = left.numbers and right.numbers
        return Type(left.name, (max(left.numbers[0], right.numbers[0]),)) if both else VARCHAR
    if left.name == "timestamptz":
        zone = left.zone if left.zone == right.zone else None
        return Type(left.name, (max(left.numbers[0], right.numbers[0]),), zone=zone)
    if left.numbers:
        return Type(left.name, (max(left.numbers[0], right.numbers[0]),))
    if len(left.inside) != len(right.inside):
        return None
    pairs = zip(left.inside, right.inside, strict=True)
    inside = [common_type(a, b) for a, b in pairs]
    if any(t is None for t in inside):
        return None
    names = zip(left.fields, right.fields, strict=False)
    fields = tuple(a if a == b else "" for a, b in names)
    return Type(left.name, inside=tuple(t for t in inside if t), fields=fields)


def common_of(types: Iterable[Type]) -> Type | None:
    """Return the common type of several, ``unknown`` of none."""
    return reduce(lambda a, b: a and common_type(a, b), types, UNKNOWN)


def can_coerce(held: Type, wanted: Type) -> bool:
    """Return whether Trino takes one type for another without a cast."""
    if held.name == wanted.name and not held.inside:
        if held.name == "decimal":
            return common_type(held, wanted) == wanted
        return True
    if held.name == "char" and wanted.name == "varchar":
        return False
    common = common_type(held, wanted)
    return (
        common is not None
        and common.name == wanted.name
        and (common == wanted or wanted.name not in ("decimal", "array", "map", "row"))
    )


_DUCKDB = {
    "boolean": "BOOLEAN",
    "tinyint": "TINYINT",
    "smallint": "SMALLINT",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "real": "REAL",
    "double": "DOUBLE",
    "varchar": "VARCHAR",
    "char": "VARCHAR",
    "varbinary": "BLOB",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMPTZ",
    "interval day to second": "INTERVAL",
    "interval year to month": "INTERVAL",
    "json": "VARCHAR",
    "uuid": "UUID",
    "unknown": "INTEGER",
}


def duckdb_type(kind: Type) -> str:
    """Return DuckDB's name of the type for the values; JSON is text, rows have ``f1, f2, ...``."""
    match kind.name:
        case "decimal":
            return f"DECIMAL({kind.numbers[0]}, {kind.numbers[1]})"
        case "array":
            return f"{duckdb_type(kind.inside[0])}[]"
        case "map":
            return f"MAP({', '.join(map(duckdb_type, kind.inside))})"
        case "row":
            pairs = zip(field_names(kind), kind.inside, strict=True)
            return (
                f"STRUCT({', '.join(f'{quote_identifier(n)} {duckdb_type(t)}' for n, t in pairs)})"
            )
    return _DUCKDB[kind.name]


def field_names(kind: Type) -> list[str]:
    """Return names of a row's fields in DuckDB."""
    return [name or f"field{n}" for n, name in enumerate(kind.fields)]


def from_arrow(kind: pa.DataType) -> Type:
    """Return the type under which Trino reads an Arrow column."""
    for name, is_kind in _ARROW.items():
        if is_kind(kind):
            return Type(name)
    if pa.types.is_decimal(kind):
        return decimal(kind.precision, kind.scale)  # pyright: ignore[reportAttributeAccessIssue]
    if pa.types.is_timestamp(kind):
        return timestamp(6) if kind.tz is None else timestamptz(6)  # pyright: ignore[reportAttributeAccessIssue]
    if pa.types.is_time(kind):
        return Type("time", (6,))
    if pa.types.is_dictionary(kind):
        return from_arrow(kind.value_type)  # pyright: ignore[reportAttributeAccessIssue]
    if pa.types.is_map(kind):
        return map_of(from_arrow(kind.key_type), from_arrow(kind.item_type))  # pyright: ignore[reportAttributeAccessIssue]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return array(from_arrow(kind.value_type))  # pyright: ignore[reportAttributeAccessIssue]
    if pa.types.is_struct(kind):
        fields = [kind.field(n) for n in range(kind.num_fields)]
        return row([from_arrow(f.type) for f in fields], [f.name for f in fields])
    return Type(str(kind))


def _is_uuid(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.UuidType)


_ARROW = {
    "uuid": _is_uuid,
    "unknown": pa.types.is_null,
    "boolean": pa.types.is_boolean,
    "tinyint": pa.types.is_int8,
    "smallint": lambda t: pa.types.is_int16(t) or pa.types.is_uint8(t),
    "integer": lambda t: pa.types.is_int32(t) or pa.types.is_uint16(t),
    "bigint": lambda t: pa.types.is_int64(t) or pa.types.is_uint32(t),
    "real": pa.types.is_float32,
    "double": pa.types.is_float64,
    "varchar": lambda t: (
        pa.types.is_string(t) or pa.types.is_large_string(t) or pa.types.is_string_view(t)
    ),
    "varbinary": lambda t: (
        pa.types.is_binary(t) or pa.types.is_large_binary(t) or pa.types.is_fixed_size_binary(t)
    ),
    "date": pa.types.is_date,
}


def parse_type(text: str) -> Type:
    """Read a type as the table of rules writes it.

    >>> print(parse_type("map(K, array(decimal(10,2)))"))
    map(K, array(decimal(10,2)))
    """
    text = text.strip()
    name, _, rest = text.partition("(")
    if not rest:
        return Type(text) if text not in _DEFAULTS else _DEFAULTS[text]
    parts = _split(rest[:-1])
    if all(part.strip().isdigit() for part in parts):
        return Type(name, tuple(int(part) for part in parts))
    types = tuple(parse_type(part) for part in parts)
    return Type(name, inside=types, fields=("",) * len(types) if name == "row" else ())


_DEFAULTS = {"timestamp": Type("timestamp"), "timestamptz": Type("timestamptz")}


def _split(text: str) -> list[str]:
    """Split at commas outside of parentheses."""
    parts, depth = [""], 0
    for letter in text:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part for part in parts if part.strip()]


def is_variable(kind: Type) -> bool:
    """Return whether it is a type variable of a signature."""
    return re.fullmatch(r"[A-Z]", kind.name) is not None


def mismatch(problem: str, got: object, hint: str = "Cast one of them.") -> QueryError:
    """Return the error for types that Trino does not take."""
    return QueryError(
        f"TYPE_MISMATCH: {problem}",
        got=str(got),
        expected="types that Trino takes together",
        hint=hint,
    )
