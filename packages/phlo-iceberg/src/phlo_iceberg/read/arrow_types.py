"""Iceberg's types in Arrow, as pyiceberg converts them.

pyiceberg's own function stands in a module that imports Arrow's datasets, and with them pandas: a
fifth of a second, for which a command that only looks would wait. A test compares the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
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
    TimestampNanoType,
    TimestampType,
    TimestamptzNanoType,
    TimestamptzType,
    TimeType,
    UnknownType,
    UUIDType,
)

if TYPE_CHECKING:
    from pyiceberg.schema import Schema

_ARROW_TYPES: dict[type[IcebergType], pa.DataType] = {
    BinaryType: pa.large_binary(),
    BooleanType: pa.bool_(),
    DateType: pa.date32(),
    DoubleType: pa.float64(),
    FloatType: pa.float32(),
    IntegerType: pa.int32(),
    LongType: pa.int64(),
    StringType: pa.large_string(),
    TimestampNanoType: pa.timestamp("ns"),
    TimestampType: pa.timestamp("us"),
    TimestamptzNanoType: pa.timestamp("ns", tz="UTC"),
    TimestamptzType: pa.timestamp("us", tz="UTC"),
    TimeType: pa.time64("us"),
    UnknownType: pa.null(),
    UUIDType: pa.uuid(),
}


def arrow_schema(schema: Schema) -> pa.Schema:
    """Convert a table's schema to Arrow, without field ids."""
    return pa.schema([_arrow_field(field) for field in schema.fields])


def _arrow_field(field: NestedField) -> pa.Field:
    doc = {"doc": field.doc} if field.doc else None
    return pa.field(field.name, arrow_type(field.field_type), field.optional, doc)


def arrow_type(iceberg_type: IcebergType) -> pa.DataType:
    """Convert a type to Arrow."""
    match iceberg_type:
        case DecimalType():
            return pa.decimal128(iceberg_type.precision, iceberg_type.scale)
        case FixedType():
            return pa.binary(len(iceberg_type))
        case ListType():
            return pa.large_list(_arrow_field(iceberg_type.element_field))
        case MapType():
            return pa.map_(
                _arrow_field(iceberg_type.key_field), _arrow_field(iceberg_type.value_field)
            )
        case StructType():
            return pa.struct([_arrow_field(field) for field in iceberg_type.fields])
    if type(iceberg_type) in _ARROW_TYPES:
        return _ARROW_TYPES[type(iceberg_type)]
    from pyiceberg.io.pyarrow import schema_to_pyarrow

    return schema_to_pyarrow(iceberg_type)  # of geometry: what it is depends on what is installed
