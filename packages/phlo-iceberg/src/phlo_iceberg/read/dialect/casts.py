"""CAST and coercion as Trino does them, for every pair of types that has one rule."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from phlo.sql import literal, quote_identifier

from phlo_iceberg.read.dialect import types as t
from phlo_iceberg.read.dialect.values import LAMBDA, OR_NULL, Value, null_of, refuse, used

if TYPE_CHECKING:
    from collections.abc import Callable


def coerce(value: Value, wanted: t.Type, uses: set[str]) -> Value:
    """Make a value of a type that its own is coerced to; the same value where types are alike."""
    held = value.type
    is_any_text = wanted.is_text and not wanted.numbers
    if held == wanted or (held.is_text and (is_any_text or wanted.name == "varchar")):
        return replace(value, type=wanted)
    if held.name == "timestamp" and wanted.name == "timestamp":
        return replace(value, type=wanted)
    if held.name == "timestamptz" and wanted.name == "timestamptz":
        return replace(value, type=wanted)
    return replace(cast(value, wanted, uses), constant=value.constant)


def cast(value: Value, wanted: t.Type, uses: set[str], *, safe: bool = False) -> Value:
    """Cast a value.

    Args:
        value: What is cast.
        wanted: To which type.
        uses: Collects the macros and functions that the text calls.
        safe: Whether what cannot be cast becomes null (``TRY_CAST``).

    Raises:
        QueryError: Trino has no such cast, or DuckDB has none with the same values.
    """
    held = value.type
    target = t.duckdb_type(wanted)
    if held == t.UNKNOWN:
        return Value(null_of(value, target), wanted)
    if held == wanted and wanted.name not in ("timestamptz",):
        return replace(value, constant=None)
    rule = _CASTS.get((_family(held), _family(wanted)))
    if rule is not None and safe and held.inside:
        raise refuse(f"TRY_CAST of {held}", "One bad element makes all of it null.")
    if rule is None and not _NO_RULE.isdisjoint((held.name, wanted.name)):
        raise refuse(f"CAST({held} AS {wanted})", "No rule has this cast.")
    if rule is None:
        raise t.mismatch(f"Cannot cast {held} to {wanted}.", str(held), "Cast by another type.")
    context = _Cast(value, wanted, uses, safe=safe)
    text = rule(context)
    return Value(text, context.result or wanted)


_NO_RULE = frozenset(["json", "time", t.DAY_TO_SECOND.name, t.YEAR_TO_MONTH.name])
"""Types that Trino casts to and from others for which there is no rule."""


class _Cast:
    """One cast: from what, to what, and what its text needs."""

    def __init__(self, value: Value, wanted: t.Type, uses: set[str], *, safe: bool = False) -> None:
        self.safe = safe
        self.word = "TRY_CAST" if safe else "CAST"
        self.value, self.held, self.wanted, self.uses = value, value.type, wanted, uses
        self.sql, self.target = value.sql, t.duckdb_type(wanted)
        self.result: t.Type | None = None

    def plain(self) -> str:
        return f"{self.word}({self.sql} AS {self.target})"

    def use(self, name: str, *arguments: str) -> str:
        suffix = OR_NULL if self.safe and not name.endswith(OR_NULL) else ""
        return used(self.uses, name + suffix, self.sql, *arguments)


def _family(kind: t.Type) -> str:
    if kind.is_integer:
        return "integer"
    return kind.name


def _text_to_integer(c: _Cast) -> str:
    return f"{c.word}({c.use('text_to_integer', literal(c.wanted.name))} AS {c.target})"


def _text_to_float(c: _Cast) -> str:
    number = c.use("text_to_double", literal(c.wanted.name))
    return used(c.uses, "double_to_real", number) if c.wanted == t.REAL else number


def _text_to_decimal(c: _Cast) -> str:
    return f"{c.word}({c.use('text_to_decimal', literal(str(c.wanted)))} AS {c.target})"


def _text_to_timestamp(c: _Cast) -> str:
    return _to_digits(c.use("text_to_timestamp"), c.wanted.numbers[0], c.uses)


def _text_to_timestamptz(c: _Cast) -> str:
    if c.value.text is None:
        raise refuse(
            "CAST(text AS timestamp with time zone)",
            "The zone of each row would be lost.",
            "Cast to timestamp, or use from_iso8601_timestamp.",
        )
    from phlo_iceberg.read.dialect.literals import timestamp_literal

    digits = c.wanted.numbers[0]
    value = timestamp_literal(c.value.text)
    if value.type.name == "timestamp":
        value = Value(f"timezone('UTC', {value.sql})", t.timestamptz(digits))
    c.result = replace(value.type, numbers=(digits,))
    return value.sql


def _to_text(c: _Cast) -> str:
    if c.held.name == "decimal" and c.held.numbers[0] == c.held.numbers[1]:
        # DuckDB writes .05 where no digit stands before the point.
        text = f"regexp_replace(CAST({c.sql} AS VARCHAR), '^(-?)[.]', '\\1' || '0.')"
        return _with_length(text, c)
    return _with_length(f"CAST({c.sql} AS VARCHAR)", c)


def _float_to_text(c: _Cast) -> str:
    return _with_length(c.use("real_to_text" if c.held == t.REAL else "double_to_text"), c)


def _date_to_text(c: _Cast) -> str:
    return _with_length(date_text(c.sql, c.uses), c)


def date_text(sql: str, uses: set[str]) -> str:
    """Write a date; a year before the first one has a sign."""
    return used(uses, "time_text", sql, "'%Y-%m-%d'", "''")


def _timestamp_to_text(c: _Cast) -> str:
    return _with_length(timestamp_text(c.sql, c.held, c.uses), c)


def timestamp_text(sql: str, kind: t.Type, uses: set[str]) -> str:
    """Return a timestamp with all the digits of its type."""
    digits = kind.numbers[0]
    if digits > 6:
        raise refuse(str(kind), "DuckDB keeps microseconds.")
    local = local_time(sql, kind) if kind.name == "timestamptz" else sql
    form = "'%Y-%m-%d %H:%M:%S.%f'" if digits else "'%Y-%m-%d %H:%M:%S'"
    text = used(uses, "time_text", local, form, "'+'")
    text = f"left({text}, {digits - 6})" if 0 < digits < 6 else text
    return f"({text} || {literal(' ' + str(kind.zone))})" if kind.name == "timestamptz" else text


def local_time(sql: str, kind: t.Type) -> str:
    """Return the time that a timestamp shows in its zone."""
    if kind.name != "timestamptz":
        return sql
    if kind.zone is None:
        raise refuse(
            "a timestamp with time zone",
            "Its rows may have different zones, which DuckDB does not keep.",
            "Write AT TIME ZONE with one zone.",
        )
    if kind.zone[0] in "+-":
        sign, hours, minutes = kind.zone[0], int(kind.zone[1:3]), int(kind.zone[4:])
        shift = f"to_minutes({hours * 60 + minutes})"
        return f"(timezone('UTC', {sql}) {sign} {shift})"
    return f"timezone({literal(kind.zone)}, {sql})"


def instant(local: str, zone: str) -> str:
    """Return the instant at which a zone shows a time."""
    if zone[0] in "+-":
        back = "-" if zone[0] == "+" else "+"
        minutes = int(zone[1:3]) * 60 + int(zone[4:])
        return f"timezone('UTC', {local} {back} to_minutes({minutes}))"
    return f"timezone({literal(zone)}, {local})"


def _with_length(text: str, c: _Cast) -> str:
    if not c.wanted.numbers:
        return text
    return _Cast(replace(c.value, sql=text), c.wanted, c.uses, safe=c.safe).use(
        "fits_length", str(c.wanted.numbers[0])
    )


def _text_to_text(c: _Cast) -> str:
    if c.held.name == "char":
        return c.sql if not c.wanted.numbers else f"left({c.sql}, {c.wanted.numbers[0]})"
    if not c.wanted.numbers or (c.held.numbers and c.held.numbers[0] <= c.wanted.numbers[0]):
        return c.sql
    return f"left({c.sql}, {c.wanted.numbers[0]})"


def _text_to_char(c: _Cast) -> str:
    return f"rpad(left({c.sql}, {c.wanted.numbers[0]}), {c.wanted.numbers[0]}, ' ')"


def _float_to_integer(c: _Cast) -> str:
    return f"{c.word}({c.use('whole_number', literal(c.wanted.name))} AS {c.target})"


def _float_to_decimal(c: _Cast) -> str:
    return f"{c.word}({c.use('double_digits', literal(str(c.wanted)))} AS {c.target})"


def _float_to_float(c: _Cast) -> str:
    if c.wanted == c.held:
        return c.sql
    return c.plain() if c.wanted == t.DOUBLE else used(c.uses, "double_to_real", c.sql)


def _boolean_to_decimal(c: _Cast) -> str:
    precision, scale = c.wanted.numbers
    if precision == scale:
        raise refuse(f"CAST(boolean AS {c.wanted})", "It has no digit for the 1 of true.")
    return f"CAST(CAST({c.sql} AS INTEGER) AS {c.target})"


def _number_to_boolean(c: _Cast) -> str:
    return f"({c.sql} <> 0)"


def _timestamp_to_timestamp(c: _Cast) -> str:
    if c.wanted.numbers[0] >= c.held.numbers[0]:
        return c.sql
    return _to_digits(c.sql, c.wanted.numbers[0], c.uses)


def _to_digits(sql: str, digits: int, uses: set[str]) -> str:
    if digits >= 6:
        return sql
    return used(uses, "round_timestamp", sql, str(10 ** (6 - digits)))


def _zoned_to_zoned(c: _Cast) -> str:
    c.result = replace(c.wanted, zone=c.held.zone)
    if c.wanted.numbers[0] >= c.held.numbers[0]:
        return c.sql
    local = _to_digits(f"timezone('UTC', {c.sql})", c.wanted.numbers[0], c.uses)
    return f"timezone('UTC', {local})"


def _zoned_to_timestamp(c: _Cast) -> str:
    local = local_time(c.sql, c.held)
    digits = c.wanted.numbers[0]
    return local if digits >= c.held.numbers[0] else _to_digits(local, digits, c.uses)


def _timestamp_to_zoned(c: _Cast) -> str:
    c.result = replace(c.wanted, zone=c.wanted.zone or "UTC")
    sql = c.sql if c.held.name == "date" else _timestamp_to_timestamp(c)
    return f"timezone('UTC', CAST({sql} AS TIMESTAMP))"


def _zoned_to_date(c: _Cast) -> str:
    return f"CAST({local_time(c.sql, c.held)} AS DATE)"


def _array_to_array(c: _Cast) -> str:
    held, wanted = c.held.inside[0], c.wanted.inside[0]
    if held == t.UNKNOWN:
        return c.plain()
    name = f"{LAMBDA}e"
    item = cast(Value(name, held), wanted, c.uses, safe=c.safe)
    return c.sql if item.sql == name else f"list_transform({c.sql}, lambda {name}: {item.sql})"


def _map_to_map(c: _Cast) -> str:
    if t.UNKNOWN in c.held.inside:
        return c.plain()
    entry = f"{LAMBDA}e"
    names = (f"{entry}.key", f"{entry}.value")
    pairs = zip(names, c.held.inside, c.wanted.inside, strict=True)
    key, item = (cast(Value(n, a), b, c.uses, safe=c.safe).sql for n, a, b in pairs)
    if (key, item) == names:
        return c.sql
    return (
        f"map_from_entries(list_transform(map_entries({c.sql}), "
        f"lambda {entry}: struct_pack(k := {key}, v := {item})))"
    )


def _row_to_row(c: _Cast) -> str:
    if len(c.held.inside) != len(c.wanted.inside):
        raise t.mismatch(f"Cannot cast {c.held} to {c.wanted}.", str(c.held))
    parts = []
    fields = zip(
        t.field_names(c.held), c.held.inside, t.field_names(c.wanted), c.wanted.inside, strict=True
    )
    for name, kind, new_name, new_kind in fields:
        part = Value(f"struct_extract({c.sql}, {literal(name)})", kind)
        parts.append(
            f"{quote_identifier(new_name)} := {cast(part, new_kind, c.uses, safe=c.safe).sql}"
        )
    packed = f"struct_pack({', '.join(parts)})"
    return f"CASE WHEN ({c.sql}) IS NOT NULL THEN {packed} END"


def _to_json(c: _Cast) -> str:
    if not _is_plain_json(c.held):
        raise refuse(f"CAST({c.held} AS json)", "Its text differs between the engines.")
    text = f"CAST(to_json({c.sql}) AS VARCHAR)"
    is_text = "map" in str(c.held) or "char" in str(c.held)
    return used(c.uses, "json_parse", text) if is_text else text


def _is_plain_json(kind: t.Type) -> bool:
    if kind.name == "map":
        return kind.inside[0].is_text and _is_plain_json(kind.inside[1])
    if kind.inside:
        return kind.name == "array" and _is_plain_json(kind.inside[0])
    return kind.is_integer or kind.name in ("varchar", "boolean")


def _json_to(c: _Cast) -> str:
    return f"{c.word}({c.use('json_cast', literal(str(c.wanted)))} AS {c.target})"


def _plain(c: _Cast) -> str:
    return c.plain()


_SAME = {"integer", "decimal", "boolean"}
_CASTS: dict[tuple[str, str], Callable[[_Cast], str]] = {
    ("varchar", "integer"): _text_to_integer,
    ("varchar", "real"): _text_to_float,
    ("varchar", "double"): _text_to_float,
    ("varchar", "decimal"): _text_to_decimal,
    ("varchar", "boolean"): lambda c: c.use("text_to_boolean"),
    ("varchar", "date"): lambda c: c.use("text_to_date"),
    ("varchar", "timestamp"): _text_to_timestamp,
    ("varchar", "timestamptz"): _text_to_timestamptz,
    ("varchar", "varchar"): _text_to_text,
    ("char", "varchar"): _text_to_text,
    ("varchar", "char"): _text_to_char,
    ("char", "char"): _text_to_char,
    ("varchar", "varbinary"): lambda c: f"encode({c.sql})",
    ("varchar", "uuid"): lambda c: c.use("text_to_uuid"),
    ("uuid", "varchar"): _to_text,
    ("varchar", "json"): _to_json,
    ("integer", "json"): _to_json,
    ("boolean", "json"): _to_json,
    ("array", "json"): _to_json,
    ("map", "json"): _to_json,
    ("json", "varchar"): _json_to,
    ("json", "integer"): _json_to,
    ("json", "double"): _json_to,
    ("json", "boolean"): _json_to,
    ("integer", "integer"): _plain,
    ("integer", "real"): _plain,
    ("integer", "double"): _plain,
    ("integer", "decimal"): _plain,
    ("integer", "boolean"): _number_to_boolean,
    ("integer", "varchar"): _to_text,
    ("decimal", "integer"): _plain,
    ("decimal", "real"): _plain,
    ("decimal", "double"): _plain,
    ("decimal", "decimal"): _plain,
    ("decimal", "boolean"): _number_to_boolean,
    ("decimal", "varchar"): _to_text,
    ("boolean", "integer"): _plain,
    ("boolean", "real"): _plain,
    ("boolean", "decimal"): _boolean_to_decimal,
    ("boolean", "double"): _plain,
    ("boolean", "varchar"): _to_text,
    ("date", "varchar"): _date_to_text,
    ("date", "timestamp"): _plain,
    ("date", "timestamptz"): _timestamp_to_zoned,
    ("timestamp", "varchar"): _timestamp_to_text,
    ("timestamp", "timestamp"): _timestamp_to_timestamp,
    ("timestamp", "timestamptz"): _timestamp_to_zoned,
    ("timestamp", "date"): _plain,
    ("timestamptz", "varchar"): _timestamp_to_text,
    ("timestamptz", "timestamptz"): _zoned_to_zoned,
    ("timestamptz", "timestamp"): _zoned_to_timestamp,
    ("timestamptz", "date"): _zoned_to_date,
    ("array", "array"): _array_to_array,
    ("map", "map"): _map_to_map,
    ("row", "row"): _row_to_row,
}
_CASTS |= {
    (a, b): rule
    for a in ("real", "double")
    for b, rule in {
        "integer": _float_to_integer,
        "real": _float_to_float,
        "double": _float_to_float,
        "decimal": _float_to_decimal,
        "boolean": _number_to_boolean,
        "varchar": _float_to_text,
    }.items()
}
