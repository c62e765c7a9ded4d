"""Rows of any reader in one form, so that they can be compared; needs Python alone."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from uuid import UUID

METADATA_PREFIX = "_phlo_"


def canonical_rows(rows) -> list[str]:
    """Each row as JSON, sorted; without the columns that a load adds."""
    return sorted(json.dumps(_row(row), sort_keys=True) for row in rows)


def row_hash(lines: list[str]) -> str:
    """One hash of all rows."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _row(row) -> dict:
    return {name: _value(v) for name, v in row.items() if not name.startswith(METADATA_PREFIX)}


def _value(value):
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return "nan" if math.isnan(value) else value.hex()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        utc = value.astimezone(UTC) if value.tzinfo else value
        return utc.replace(tzinfo=None).isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, time):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, UUID):
        return str(value)
    return value if isinstance(value, str) else _nested(value)


def _nested(value):
    names = getattr(value, "_fields", None) or getattr(value, "__annotations__", {}).get("names")
    if names:  # a row of Trino
        value = dict(zip(names, value, strict=True))
    if isinstance(value, dict):
        # An empty map is an empty list: Arrow and Polars make no difference.
        return {str(name): _value(v) for name, v in value.items()} or []
    items = list(value)
    if items and all(type(item) is tuple and len(item) == 2 for item in items):
        return {str(name): _value(v) for name, v in items}  # a map of Arrow
    if items and all(isinstance(i, dict) and i.keys() == {"key", "value"} for i in items):
        return {str(item["key"]): _value(item["value"]) for item in items}  # a map of Polars
    return [_value(item) for item in items]
