"""Rows as JSON text, in SQL, with every digit and every null."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
from phlo.sql import Sql, qualified, sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phlo.contract import ContractColumn


def json_object(columns: Sequence[ContractColumn], alias: str, refused: Sql | None = None) -> Sql:
    """Return the expression of a row as a JSON object.

    DuckDB's own ``to_json`` writes a decimal as a double, and ``json_merge_patch`` takes a null
    for "remove this field"; so the text is put together here. NaN and infinity, which JSON does
    not have, are text.

    Args:
        columns: What the object holds, in this order.
        alias: The relation's alias.
        refused: JSON object of the values that could not be cast, by the source's name, or null;
            its fields stand in place of the columns of that name.
    """
    fields = [_field(column, alias, refused) for column in columns]
    if refused is not None:
        fields.append(sql("nullif(substr({o}, 2, length({o}) - 2), '')", o=refused))
    return sql("'{{' || array_to_string([{f}], ',') || '}}'", f=fields)


def _field(column: ContractColumn, alias: str, refused: Sql | None) -> Sql:
    name = json.dumps(column.name, ensure_ascii=False)
    text = sql("{n} || {v}", n=f"{name}:", v=_value(column, alias))
    if refused is None:
        return text
    is_refused = sql("list_contains(json_keys({o}), {n})", o=refused, n=column.name)
    return sql("CASE WHEN {r} THEN NULL ELSE {t} END", r=is_refused, t=text)


def _value(column: ContractColumn, alias: str) -> Sql:
    value = qualified(alias, column.name)
    text = sql("CAST(to_json({v}) AS VARCHAR)", v=value)
    if pa.types.is_decimal(column.type):
        text = sql("CAST({v} AS VARCHAR)", v=value)
    elif pa.types.is_floating(column.type):
        text = sql(
            "CASE WHEN isfinite({v}) THEN {t} WHEN isnan({v}) THEN '\"NaN\"' "
            "WHEN {v} > 0 THEN '\"Infinity\"' WHEN {v} < 0 THEN '\"-Infinity\"' END",
            v=value,
            t=text,
        )
    return sql("coalesce({t}, 'null')", t=text)
