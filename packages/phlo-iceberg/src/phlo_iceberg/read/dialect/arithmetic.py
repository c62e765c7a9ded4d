"""Operators of numbers, times, texts and arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.sql import literal

from phlo_iceberg.read.dialect import types as t
from phlo_iceberg.read.dialect.casts import local_time
from phlo_iceberg.read.dialect.values import Value, Words, checked, refuse

if TYPE_CHECKING:
    from phlo_iceberg.read.dialect.expressions import Expressions


_INT64_DIGITS = 18
"""Digits of the decimals that DuckDB computes with 64-bit numbers."""


def calculate(e: Expressions, left: Value, op: str, right: Value, what: Words) -> Value:
    """Apply an operator as Trino does.

    Raises:
        QueryError: The types do not fit, or DuckDB gives another value.
    """
    if op == "||":
        return concatenate(e, [left, right], what)
    if left.type == t.UNKNOWN and right.type.is_number:
        left = e.coerce(left, _type_of_null(right.type))
    if right.type == t.UNKNOWN and left.type.is_number:
        right = e.coerce(right, _type_of_null(left.type))
    if left.type.is_number and right.type.is_number:
        return _numbers(e, left, op, right, what)
    return _times(e, left, op, right, what)


def _type_of_null(other: t.Type) -> t.Type:
    """Return the type of NULL beside a number: the narrowest decimal beside a decimal."""
    return t.decimal(1, 0) if other.name == "decimal" else other


def _numbers(e: Expressions, left: Value, op: str, right: Value, what: Words) -> Value:
    common = t.common_type(left.type, right.type)
    assert common is not None
    if common.name == "decimal":
        return _decimals(e, left, op, right, what)
    is_zero_apart = isinstance(right.constant, int) and right.constant != 0
    left, right = e.coerce(left, common), e.coerce(right, common)
    if common.is_float:
        if op == "%":
            return Value(e.use("float_remainder", left.sql, right.sql), common)
        return Value(f"({left.sql} {op} {right.sql})", common)
    if op in "/%":
        if not is_zero_apart:
            name = "integer_quotient" if op == "/" else "number_remainder"
            return Value(e.use(name, left.sql, right.sql, literal(str(what))), common)
        return Value(f"({left.sql} {'//' if op == '/' else op} {right.sql})", common)
    return Value(checked(f"{left.sql} {op} {right.sql}"), common)


def _decimals(e: Expressions, left: Value, op: str, right: Value, what: Words) -> Value:
    a, b = t.as_decimal(left.type), t.as_decimal(right.type)
    (p1, s1), (p2, s2) = a.numbers, b.numbers
    left, right = e.coerce(left, a), e.coerce(right, b)
    if op in "+-":
        scale = max(s1, s2)
        kind = t.decimal(max(p1 - s1, p2 - s2) + scale + 1, scale)
        wide = t.duckdb_type(kind)
        return Value(f"(CAST({left.sql} AS {wide}) {op} CAST({right.sql} AS {wide}))::{wide}", kind)
    if op == "*":
        if s1 + s2 > t.MAX_DIGITS:
            raise refuse(what, "Its result has more than 38 digits behind the point.")
        kind = t.decimal(p1 + p2, s1 + s2)
        if p1 + p2 > t.MAX_DIGITS:
            product = e.use(
                "decimal_product", f"CAST({left.sql} AS VARCHAR)", f"CAST({right.sql} AS VARCHAR)"
            )
            return Value(f"CAST({product} AS {t.duckdb_type(kind)})", kind)
        return Value(_product(left, right, kind), kind)
    if op == "/":
        kind = t.decimal(p1 + s2 + max(0, s2 - s1), max(s1, s2))
        name = "decimal_quotient"
    else:
        kind = t.decimal(min(p1 - s1, p2 - s2) + max(s1, s2), max(s1, s2))
        name = "decimal_remainder"
    parts = [f"CAST({v.sql} AS VARCHAR)" for v in (left, right)]
    return Value(
        f"CAST({e.use(name, *parts, str(kind.numbers[1]))} AS {t.duckdb_type(kind)})", kind
    )


def _product(left: Value, right: Value, kind: t.Type) -> str:
    """Multiply two decimals; DuckDB overflows at 18 digits where both operands have at most 18."""
    (digits, scale), wide = left.type.numbers, t.duckdb_type(kind)
    factor = left.sql
    if kind.numbers[0] > _INT64_DIGITS and digits <= _INT64_DIGITS:
        factor = f"CAST({left.sql} AS {t.duckdb_type(t.decimal(_INT64_DIGITS + 1, scale))})"
    return f"CAST({factor} * {right.sql} AS {wide})"


def concatenate(e: Expressions, values: list[Value], what: Words) -> Value:
    """Put texts, arrays or bytes one after another; null makes all null."""
    if all(v.type == t.UNKNOWN or v.type.name == "array" for v in values) and any(
        v.type == t.UNKNOWN for v in values
    ):
        raise t.mismatch(f"{what!r} may be text or an array.", "NULL", "Cast the null.")
    if len(values) == 2 and {v.type.name for v in values} == {"varchar", "unknown"}:
        return Value("CAST(NULL AS VARCHAR[])", t.array(t.VARCHAR))  # so Trino types it
    if all(v.type.name == "varchar" or v.type == t.UNKNOWN for v in values):
        return Value(f"({' || '.join(v.sql for v in values)})", t.VARCHAR)
    if all(v.type == t.VARBINARY for v in values):
        return Value(f"({' || '.join(v.sql for v in values)})", t.VARBINARY)
    if any(v.type.name == "array" for v in values):
        return _arrays(e, values, what)
    if any(v.type.name == "char" for v in values):
        raise refuse(what, "Texts of a fixed length keep their spaces.", "Cast them to varchar.")
    raise t.mismatch(
        f"{what!r} puts together what is no text.",
        ", ".join(str(v.type) for v in values),
        "Cast it to varchar.",
    )


def _arrays(e: Expressions, values: list[Value], what: Words) -> Value:
    if len({v.type.inside[0] == t.UNKNOWN for v in values if v.type.name == "array"}) > 1:
        raise t.mismatch(f"{what!r} is ambiguous for an array without a type.", "array(unknown)")
    kinds = [v.type if v.type.name == "array" else t.array(v.type) for v in values]
    common = t.common_of(kinds)
    if common is None:
        raise t.mismatch(f"{what!r} has arrays of different types.", ", ".join(map(str, kinds)))
    parts = [
        e.coerce(v, common).sql
        if v.type.name == "array"
        else f"[{e.coerce(v, common.inside[0]).sql}]"
        for v in values
    ]
    text = parts[0]
    for part in parts[1:]:
        text = e.use("array_concat", text, part)
    return Value(text, common)


def _times(e: Expressions, left: Value, op: str, right: Value, what: Words) -> Value:
    names = (left.type.name, op, right.type.name)
    is_interval = [v.type.name.startswith("interval") for v in (left, right)]
    if all(is_interval) and left.type == right.type and op in "+-":
        return Value(f"({left.sql} {op} {right.sql})", left.type)
    if is_interval[0] and op in "*/" and (right.type.is_integer or right.type.is_float):
        return _scaled(e, left, op, right, what)
    if is_interval[1] and op == "*" and (left.type.is_integer or left.type.is_float):
        return _scaled(e, right, op, left, what)
    if is_interval[0] and op == "+" and left.type.name != right.type.name:
        return _times(e, right, op, left, what)
    if is_interval[1] and op in "+-":
        return _moved(e, left, op, right, what)
    if (
        op == "-"
        and left.type.name == right.type.name
        and names[0]
        in (
            "date",
            "timestamp",
            "timestamptz",
        )
    ):
        parts = [f"epoch_us(CAST({v.sql} AS {t.duckdb_type(v.type)}))" for v in (left, right)]
        return Value(f"to_microseconds({parts[0]} - {parts[1]})", t.DAY_TO_SECOND)
    raise t.mismatch(
        f"There is no {names[0]} {op} {names[2]} in {what!r}.", f"{left.type} and {right.type}"
    )


def _scaled(e: Expressions, interval: Value, op: str, number: Value, what: Words) -> Value:
    if interval.type == t.YEAR_TO_MONTH or not number.type.is_integer or op == "/":
        raise refuse(what, "Parts of an interval are rounded otherwise.")
    micros = f"epoch_us({interval.sql})"
    return Value(f"to_microseconds({micros} * {number.sql})", t.DAY_TO_SECOND)


def _moved(e: Expressions, left: Value, op: str, interval: Value, what: Words) -> Value:
    kind = left.type
    if kind == t.DATE:
        if interval.type == t.DAY_TO_SECOND:
            text = e.use(
                "move_date", left.sql, f"{'-' if op == '-' else ''}epoch_us({interval.sql})"
            )
            return Value(text, t.DATE)
        return Value(f"CAST({left.sql} {op} {interval.sql} AS DATE)", t.DATE)
    if kind.name == "timestamp":
        digits = max(kind.numbers[0], 3) if interval.type == t.DAY_TO_SECOND else kind.numbers[0]
        return Value(f"({left.sql} {op} {interval.sql})", t.timestamp(digits))
    if kind.name == "timestamptz" and interval.type == t.DAY_TO_SECOND:
        digits = max(kind.numbers[0], 3)
        return Value(f"({left.sql} {op} {interval.sql})", t.timestamptz(digits, kind.zone))
    if kind.name == "timestamptz" and interval.type == t.YEAR_TO_MONTH:
        from phlo_iceberg.read.dialect.casts import instant

        moved = f"({local_time(left.sql, kind)} {op} {interval.sql})"
        return Value(instant(moved, str(kind.zone)), kind)
    raise t.mismatch(f"{what!r} moves what is no time.", str(kind))
