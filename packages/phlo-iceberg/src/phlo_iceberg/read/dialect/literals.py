"""Literals with a type: ``DATE '2025-01-15'``, ``DECIMAL '1.50'``, times with a zone."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from phlo.errors import QueryError
from phlo.sql import literal

from phlo_iceberg.read.dialect import types as t
from phlo_iceberg.read.dialect.casts import cast, instant
from phlo_iceberg.read.dialect.values import Value, refuse, text_literal

if TYPE_CHECKING:
    from phlo_iceberg.read.dialect.expressions import Expressions


def typed_literal(e: Expressions, name: str, text: str) -> Value:
    """Return the value that a type's name before a text stands for."""
    match name:
        case "decimal":
            return _decimal(text)
        case "date":
            return _date(text)
        case "timestamp":
            return timestamp_literal(text)
        case "char":
            length = max(len(text), 1)
            return Value(literal(text.ljust(length)), t.Type("char", (length,)), constant=text)
        case "json":
            return Value(e.use("json_parse", literal(text)), t.JSON)
        case "varchar":
            return text_literal(text)
        case "time":
            if not re.fullmatch(r"([01]?\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?", text):
                raise invalid(name, text)
            digits = len(text.partition(".")[2])
            return Value(f"CAST({literal(text)} AS TIME)", t.Type("time", (digits,)))
    kind = t.Type({"int": "integer"}.get(name, name))
    return cast(text_literal(text), kind, e.uses)


def invalid(name: str, text: str) -> QueryError:
    """Return the error for a text that is no value of its type."""
    return QueryError(
        f"INVALID_LITERAL: {text!r} is no {name}.", got=repr(text), expected=f"a {name}"
    )


def _decimal(text: str) -> Value:
    match = re.fullmatch(r"([+-]?)(\d*)\.?(\d*)", text)
    if not match or not (match[2] or match[3]):
        raise invalid("decimal", text)
    whole = match[2].lstrip("0")
    digits = len(whole) + len(match[3])
    if digits > t.MAX_DIGITS:
        raise refuse(f"DECIMAL '{text}'", "It has more than 38 digits.")
    kind = t.decimal(max(digits, 1), len(match[3]))
    plain = f"{match[1]}{whole or '0'}.{match[3]}".rstrip(".")
    return Value(f"CAST('{plain}' AS {t.duckdb_type(kind)})", kind, constant=plain)


def _date(text: str) -> Value:
    match = re.fullmatch(r"(\d{4})-(\d{1,2})-(\d{1,2})", text.strip())
    try:
        day = date(*(int(part) for part in match.groups())) if match else None
    except ValueError:
        day = None
    if day is None:
        raise invalid("date", text)
    return Value(f"CAST('{day.isoformat()}' AS DATE)", t.DATE, constant=day.isoformat())


def timestamp_literal(text: str) -> Value:
    """Type a timestamp: digits of the second as written, a zone where one is written."""
    match = _TIMESTAMP.fullmatch(text.strip())
    if match is None:
        raise invalid("timestamp", text)
    year, month, day, hour, minute, second = (int(match[n] or 0) for n in range(1, 7))
    fraction = match[7] or ""
    try:
        moment = datetime(year, month, day, hour, minute, second)
    except ValueError as exc:
        raise invalid("timestamp", text) from exc
    if len(fraction) > 6:
        raise refuse(f"TIMESTAMP '{text}'", "DuckDB keeps microseconds.")
    tail = f".{fraction}" if fraction else ""
    local = f"CAST('{moment.isoformat(sep=' ')}{tail}' AS TIMESTAMP)"
    if not match[8]:
        return Value(local, t.timestamp(len(fraction)), constant=text)
    from phlo_iceberg.read.dialect.expressions import checked_zone

    zone = checked_zone(_full_offset(match[8]))
    if zone[0] not in "+-":
        if _is_skipped(moment, zone):
            raise invalid("timestamp", text)
        # Of a time that the clocks show twice Trino takes the first, DuckDB the second.
        first = moment.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).replace(tzinfo=None)
        local, zone_of_text = f"CAST('{first.isoformat(sep=' ')}{tail}' AS TIMESTAMP)", "UTC"
        kind = t.timestamptz(len(fraction), zone)
        return Value(instant(local, zone_of_text), kind, constant=text)
    return Value(instant(local, zone), t.timestamptz(len(fraction), zone), constant=text)


def _is_skipped(moment: datetime, zone: str) -> bool:
    """Return whether a zone's clocks never show a time, since summer time begins."""
    shown = moment.replace(tzinfo=ZoneInfo(zone))
    return shown.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) != moment


def _full_offset(zone: str) -> str:
    match = re.fullmatch(r"([+-])(\d{1,2})(?::?(\d\d))?", zone)
    return zone if match is None else f"{match[1]}{int(match[2]):02}:{match[3] or '00'}"


_TIMESTAMP = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})(?: (\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d+))?)?)?"
    r"(?: ?([A-Za-z_]+(?:/[A-Za-z_+\-0-9]+)*|[+-]\d{1,2}(?::?\d\d)?))?"
)
