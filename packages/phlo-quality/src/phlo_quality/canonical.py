"""One text per row that is equal where its values are, in every engine and on both sides."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
from phlo.errors import UnsupportedTypeError
from phlo.sql import Identifier, Sql, sql

from phlo_quality.families import Family, family_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phlo_quality.rows import JudgedRows

MAX_PRECISION = 38
"""Digits of a decimal in DuckDB and Trino."""


def row_hash(
    rows: JudgedRows, others: JudgedRows, columns: Sequence[str], algorithm: str, dialect: str
) -> Sql:
    """Hash of a row's content.

    Args:
        rows: The side whose rows are hashed.
        others: The side they are compared with: its types decide how numbers are written.
        columns: What is hashed, in this order.
        algorithm: ``xxhash64``, ``md5`` or ``sha256``.
        dialect: The engine's; DuckDB has no xxhash64.

    Raises:
        UnsupportedTypeError: A column holds values of different kinds on the two sides, or
            nested ones.
    """
    text = Sql(" || ".join(_part(rows, others, name) for name in columns) or "''")
    if algorithm == "xxhash64" and dialect == "duckdb":
        return sql("phlo_hash({text})", text=text)
    return sql("{f}(to_utf8({text}))", f=Sql(algorithm), text=text)


def _part(rows: JudgedRows, others: JudgedRows, name: str) -> Sql:
    """Build a value with its length before it, so that neighbours differ; ``n`` for null."""
    text = _text(rows, others, name)
    return sql("coalesce(CAST(length({t}) AS VARCHAR) || ':' || {t}, 'n')", t=text)


def key_value(
    rows: JudgedRows, others: JudgedRows, name: str, other_name: str | None = None
) -> Sql:
    """Write a key column so that it pairs with a column of the other side.

    Numbers of two types are written as text where no type holds both: as doubles, numbers beyond
    2**53 would pair with their neighbours.

    Args:
        rows: The side whose column is written.
        others: The side it is compared with.
        name: The column.
        other_name: The column of the other side; the same name by default.

    Raises:
        UnsupportedTypeError: The columns hold values of different families.
    """
    ours, theirs = _types(rows, others, name, other_name)
    is_floating = pa.types.is_floating(ours)
    if family_of(ours) is not Family.NUMBER or (is_floating and pa.types.is_floating(theirs)):
        return sql("{c}", c=Identifier(name))
    if not is_floating and not pa.types.is_floating(theirs) and _common_digits(ours, theirs) <= 38:
        return sql("{c}", c=Identifier(name))
    return _number(Identifier(name), ours, theirs)


def _types(
    rows: JudgedRows, others: JudgedRows, name: str, other_name: str | None = None
) -> tuple[pa.DataType, pa.DataType]:
    ours = rows.columns.field(name).type
    theirs = others.columns.field(other_name or name).type
    if family_of(ours) is not family_of(theirs):
        there = "" if other_name in (None, name) else f"column {other_name!r} is "
        raise UnsupportedTypeError(
            f"Column {name!r} cannot be compared: it is {ours} in {rows.table} and {there}{theirs} "
            f"in {others.table}.",
            got=f"{ours} and {theirs}",
            expected="values of one kind on both sides",
            hint="Leave the column out, or cast it in the model.",
            column=name,
        )
    return ours, theirs


def _text(rows: JudgedRows, others: JudgedRows, name: str) -> Sql:
    ours, theirs = _types(rows, others, name)
    family, column = family_of(ours), Identifier(name)
    if family is Family.NESTED:
        raise _incomparable(rows, name, ours)
    match family:
        case Family.TEXT:
            return sql("{c}", c=column)
        case Family.NUMBER:
            return _number(column, ours, theirs)
        case Family.TIME:
            return _moment(column, ours, theirs)
        case Family.BINARY if pa.types.is_time(ours) or pa.types.is_time(theirs):
            raise _incomparable(rows, name, ours)
        case Family.BINARY:
            return sql("to_hex({c})", c=column)
        case _:
            return sql("CAST({c} AS VARCHAR)", c=column)


def _incomparable(rows: JudgedRows, name: str, ours: pa.DataType) -> UnsupportedTypeError:
    return UnsupportedTypeError(
        f"Column {name!r} of {rows.table} cannot be compared: it is {ours}.",
        got=str(ours),
        expected="texts, numbers, dates, timestamps, booleans or bytes",
        hint="Leave the column out with columns=[...].",
        column=name,
    )


def _number(column: Identifier, ours: pa.DataType, theirs: pa.DataType) -> Sql:
    is_floating = [pa.types.is_floating(t) for t in (ours, theirs)]
    if all(is_floating):
        # Adding zero makes one zero of two.
        return sql("CAST(CAST({c} AS DOUBLE) + {zero} AS VARCHAR)", c=column, zero=0.0)
    if any(is_floating):
        return _exact_number(column, ours)
    if _common_digits(ours, theirs) > MAX_PRECISION:
        return _shortest_decimal(column, ours)
    scale = max(_scale(ours), _scale(theirs))
    return sql(
        "CAST(CAST({c} AS DECIMAL({p}, {s})) AS VARCHAR)", c=column, p=MAX_PRECISION, s=scale
    )


def _exact_number(column: Identifier, ours: pa.DataType) -> Sql:
    """Write a number that is a double on one side: whole numbers with all their digits.

    A decimal with a fraction is written as the double of the same value, where there is one. A
    decimal beyond a bigint may differ from the double of the same value: Trino shortens that.
    """
    whole = sql("CAST(CAST({c} AS BIGINT) AS VARCHAR)", c=column)
    as_double = sql("CAST(CAST({c} AS DOUBLE) AS VARCHAR)", c=column)
    if pa.types.is_integer(ours):
        return whole
    if pa.types.is_floating(ours):
        is_whole = sql(
            "{c} = floor({c}) AND {c} >= -{limit} AND {c} < {limit}", c=column, limit=_BIGINT_LIMIT
        )
        fraction = as_double
    else:
        is_whole = _is_bigint(column, ours)
        fraction = sql(
            "CASE WHEN TRY_CAST(CAST({c} AS DOUBLE) AS DECIMAL(38, {s})) = {c} THEN {d} "
            "ELSE CAST({c} AS VARCHAR) END",
            c=column,
            s=_scale(ours),
            d=as_double,
        )
    return sql("CASE WHEN {w} THEN {n} ELSE {f} END", w=is_whole, n=whole, f=fraction)


def _is_bigint(column: Identifier, kind: pa.DataType) -> Sql:
    """Build a condition that a decimal is a whole number that a bigint holds."""
    digits = kind.precision - kind.scale  # pyright: ignore[reportAttributeAccessIssue]
    if digits < 1:
        return sql("{c} = 0", c=column)
    if digits < _INTEGER_DIGITS[64]:
        return sql("{c} = floor({c})", c=column)
    return sql(
        "{c} = floor({c}) AND {c} >= -{limit} AND {c} < {limit}", c=column, limit=Decimal(2**63)
    )


def _shortest_decimal(column: Identifier, kind: pa.DataType) -> Sql:
    """Write a number without zeros at its end: no decimal has the digits of both sides."""
    text = sql("CAST({c} AS VARCHAR)", c=column)
    if _scale(kind) == 0:
        return text
    return sql("trim(TRAILING '.' FROM trim(TRAILING '0' FROM {t}))", t=text)


_INTEGER_DIGITS = {8: 3, 16: 5, 32: 10, 64: 19}


def _common_digits(*kinds: pa.DataType) -> int:
    """Count digits of the decimal that holds every value of some exact types."""
    whole = [
        kind.precision - kind.scale  # pyright: ignore[reportAttributeAccessIssue]
        if pa.types.is_decimal(kind)
        else _INTEGER_DIGITS[kind.bit_width]
        for kind in kinds
    ]
    return max(whole) + max(map(_scale, kinds))


_BIGINT_LIMIT = 2.0**63
"""The first double that is no bigint. Trino casts a double to a bigint with all its digits, and to
a decimal with those that it is written with."""


def _scale(kind: pa.DataType) -> int:
    return kind.scale if pa.types.is_decimal(kind) else 0  # pyright: ignore[reportAttributeAccessIssue]


def _moment(column: Identifier, ours: pa.DataType, theirs: pa.DataType) -> Sql:
    if pa.types.is_date(ours) and pa.types.is_date(theirs):
        return sql("CAST({c} AS VARCHAR)", c=column)
    has_zone = pa.types.is_timestamp(ours) and ours.tz is not None  # pyright: ignore[reportAttributeAccessIssue]
    value = sql("{c} AT TIME ZONE 'UTC'" if has_zone else "{c}", c=column)
    return sql("CAST(CAST({v} AS TIMESTAMP(6)) AS VARCHAR)", v=value)
