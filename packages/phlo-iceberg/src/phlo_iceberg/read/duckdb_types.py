"""Iceberg's types in DuckDB: their names, their values as text, and one type made from another."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from phlo.sql import Identifier, Sql, literal, quote_identifier, sql
from pyiceberg.schema import Schema, index_by_id, index_name_by_id
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FixedType,
    FloatType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
    TimestampType,
    TimestamptzType,
    TimeType,
    UUIDType,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

_DUCKDB_TYPES: dict[type[IcebergType], str] = {
    BinaryType: "BLOB",
    BooleanType: "BOOLEAN",
    DateType: "DATE",
    DoubleType: "DOUBLE",
    FixedType: "BLOB",
    FloatType: "FLOAT",
    IntegerType: "INTEGER",
    LongType: "BIGINT",
    StringType: "VARCHAR",
    TimestampType: "TIMESTAMP",
    TimestamptzType: "TIMESTAMPTZ",
    TimeType: "TIME",
    UUIDType: "UUID",
}


def duckdb_type(iceberg_type: IcebergType) -> str:
    """Return DuckDB's name of a type."""
    match iceberg_type:
        case DecimalType():
            return f"DECIMAL({iceberg_type.precision}, {iceberg_type.scale})"
        case ListType():
            return f"{duckdb_type(iceberg_type.element_type)}[]"
        case MapType():
            return (
                f"MAP({duckdb_type(iceberg_type.key_type)}, {duckdb_type(iceberg_type.value_type)})"
            )
        case StructType():
            fields = (
                f"{quote_identifier(f.name)} {duckdb_type(f.field_type)}"
                for f in iceberg_type.fields
            )
            return f"STRUCT({', '.join(fields)})"
    return _DUCKDB_TYPES[type(iceberg_type)]


def converted(value: Sql, stored: IcebergType, target: IcebergType, depth: int = 0) -> Sql:
    """Build a value of one type from another; fields inside are found by id, missing ones null.

    Args:
        value: An expression.
        stored: Its type.
        target: The type to make.
        depth: How many lambdas are around.
    """
    if is_same(stored, target):
        return value
    item = Sql(f"x{depth}")
    match stored, target:
        case StructType(), StructType():
            return _converted_struct(value, stored, target, depth)
        case ListType(), ListType():
            element = converted(item, stored.element_type, target.element_type, depth + 1)
            return sql("list_transform({v}, lambda {x}: {e})", v=value, x=item, e=element)
        case MapType(), MapType():
            return sql(
                "map_from_entries(list_transform(map_entries({v}), "
                "lambda {x}: struct_pack(k := {k}, v := {e})))",
                v=value,
                x=item,
                k=converted(Sql(f"{item}.key"), stored.key_type, target.key_type, depth + 1),
                e=converted(Sql(f"{item}.value"), stored.value_type, target.value_type, depth + 1),
            )
    return sql("CAST({v} AS {t})", v=value, t=Sql(duckdb_type(target)))


def _converted_struct(value: Sql, stored: StructType, target: StructType, depth: int) -> Sql:
    stored_fields = {f.field_id: f for f in stored.fields}
    fields = [
        sql(
            "{n} := {e}",
            n=Identifier(f.name),
            e=_field(value, stored_fields.get(f.field_id), f, depth),
        )
        for f in target.fields
    ]
    return sql("CASE WHEN {v} IS NOT NULL THEN struct_pack({f}) END", v=value, f=fields)


def _field(value: Sql, stored: NestedField | None, target: NestedField, depth: int) -> Sql:
    if stored is None:
        return sql("CAST({d} AS {t})", d=_default(target), t=Sql(duckdb_type(target.field_type)))
    inside = sql("struct_extract({v}, {n})", v=value, n=literal(stored.name))
    return converted(inside, stored.field_type, target.field_type, depth)


def _default(field: NestedField) -> Sql:
    text = text_default(field)
    return Sql("NULL") if text is None else literal(text)


def is_same(stored: IcebergType, target: IcebergType) -> bool:
    """Return whether DuckDB takes both types for one: same fields under the same names."""
    return duckdb_type(stored) == duckdb_type(target) and names_inside(stored) == names_inside(
        target
    )


def same_letters(names: Iterable[str]) -> list[str]:
    """Return names that differ in upper and lower case alone: DuckDB and Trino mix them up.

    >>> same_letters(["id", "a", "ID"])
    ['ID', 'id']
    """
    by_letters: dict[str, list[str]] = defaultdict(list)
    for name in names:
        by_letters[name.lower()].append(name)
    return sorted(name for alike in by_letters.values() if len(alike) > 1 for name in alike)


def names_inside(iceberg_type: IcebergType) -> dict[int, str]:
    """Return the full names of the fields inside a type, by id."""
    return index_name_by_id(_alone(iceberg_type))


def fields_inside(iceberg_type: IcebergType) -> dict[int, NestedField]:
    """Return the fields inside a type, by id."""
    return index_by_id(_alone(iceberg_type))


def _alone(iceberg_type: IcebergType) -> Schema:
    return Schema(NestedField(0, "c", iceberg_type, required=False))


def text_default(column: NestedField) -> str | None:
    """Return what a column holds in rows older than itself, as text; ``None``: null."""
    default = column.initial_default
    return None if default is None else as_text(column.field_type, default)


def as_text(iceberg_type: IcebergType, value: Any) -> str:
    """Return a value as the text that DuckDB casts it from."""
    if isinstance(value, bytes) and not isinstance(iceberg_type, UUIDType):
        return "".join(f"\\x{byte:02X}" for byte in value)
    return IdentityTransform().to_human_string(iceberg_type, value)
