"""Types of columns that a dbt YAML file only hints at."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import pandas as pd
from pandera.engines import pandas_engine
from phlo.errors import UnsupportedTypeError

if TYPE_CHECKING:
    from collections.abc import Sequence

ColumnType = Any
"""What may stand in a Pandera annotation: a Python type or a dtype with its parameters."""

_SUFFIXES: tuple[tuple[tuple[str, ...], type], ...] = (
    (("_timestamp", "_date", "_at"), datetime),
    (("_id",), str),
    (("_count", "_amount", "_num", "_qty"), int),
    (("_pct", "_percent"), float),
)
_SQL_TYPES: tuple[tuple[str, type], ...] = (
    (r"(big|small|tiny|huge|u\w*)?int(eger|\d+)?|long", int),
    (r"double( precision)?|float\d*|real", float),
    (r"bool(ean)?", bool),
    (r"timestamp.*|datetime", datetime),
    (r"date", date),
    (r"(var)?char.*|character varying|string|text|uuid|time|json|.*\[\]", str),
    (r"(array|map|struct|row|list)\b.*", str),
    (r"(var)?binary|blob|bytes|bytea", bytes),
)
_NULLABLE: dict[type, ColumnType] = {int: pd.Int64Dtype, bool: pd.BooleanDtype}


def infer_type(
    name: str, *, accepted: Sequence[Any] | None = None, bounds: Sequence[Any] = ()
) -> type:
    """Return the type of a column, from its name, else from the values its tests speak of.

    Args:
        name: The column's name; a suffix counts only as a whole word (``paid_at``, not ``flat``).
        accepted: Values of an ``accepted_values`` test.
        bounds: Numbers that a range test names.

    Returns:
        ``datetime``, ``str``, ``int``, ``float`` or ``bool``; ``str`` where nothing tells.

    Example:
        >>> infer_type("order_id"), infer_type("hour", accepted=[0, 1]), infer_type("note")
        (<class 'str'>, <class 'int'>, <class 'str'>)

    Source: developer guide, "Type Inference".
    """
    lowered = name.lower()
    if lowered == "id":
        return str
    for suffixes, kind in _SUFFIXES:
        if lowered.endswith(suffixes):
            return kind
    return _common_type(accepted or ()) or _common_type(bounds) or str


def _common_type(values: Sequence[Any]) -> type | None:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return float
    return next(iter(kinds)) if len(kinds) == 1 and kinds <= {bool, int, float, str} else None


def type_of_sql(data_type: str, *, where: str) -> ColumnType:
    """Return the type that a ``data_type:`` of dbt names.

    Args:
        data_type: An SQL type of DuckDB or Trino; nested types arrive as JSON text.
        where: Model and column, for the message.

    Raises:
        UnsupportedTypeError: The type is unknown.

    Example:
        >>> type_of_sql("BIGINT", where="m.c")
        <class 'int'>
    """
    text = data_type.strip().lower()
    decimal = re.fullmatch(r"(?:decimal|numeric)(?:\((\d+)\s*(?:,\s*(\d+))?\s*\))?", text)
    if decimal:
        precision, scale = int(decimal[1] or 18), int(decimal[2] or (0 if decimal[1] else 3))
        return Annotated[pandas_engine.Decimal, precision, scale, None]
    for pattern, kind in _SQL_TYPES:
        if re.fullmatch(pattern, text):
            return kind
    raise UnsupportedTypeError(
        f"The data_type of {where} is unknown.",
        got=repr(data_type),
        expected="an SQL type of DuckDB or Trino, such as varchar, bigint, decimal(10, 2)",
        hint="Correct data_type, or leave it out to have the type inferred.",
    )


def nullable_type(kind: ColumnType) -> ColumnType:
    """Return the dtype that holds nulls beside values of ``kind``.

    pandas' plain integers and booleans hold none, and would turn into floats and objects.
    """
    return _NULLABLE.get(kind, kind) if isinstance(kind, type) else kind
