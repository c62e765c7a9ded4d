"""Schemas: from Pandera and Arrow to Iceberg, and how a table's schema may change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from phlo.errors import SchemaChangeError, UnsupportedTypeError
from phlo.names import (
    INGESTED_AT_COLUMN,
    LOAD_ID_COLUMN,
    PARTITION_DATE_COLUMN,
    ROW_ID_COLUMN,
    RUN_ID_COLUMN,
    TableName,
)
from pyiceberg.partitioning import PARTITION_FIELD_ID_START, PartitionField, PartitionSpec
from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.transforms import IdentityTransform, parse_transform
from pyiceberg.types import (
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
    TimestamptzType,
)

from phlo_iceberg.pyiceberg_private import schema_without_ids
from phlo_iceberg.read.duckdb_types import duckdb_type, names_inside

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandera.pandas as pandera
    from pyiceberg.table.update.schema import UpdateSchema

_METADATA_FIELDS = (
    NestedField(100, LOAD_ID_COLUMN, StringType(), required=False),
    NestedField(101, ROW_ID_COLUMN, StringType(), required=False),
    NestedField(102, INGESTED_AT_COLUMN, TimestamptzType(), required=False),
    NestedField(103, PARTITION_DATE_COLUMN, DateType(), required=False),
    NestedField(104, RUN_ID_COLUMN, StringType(), required=False),
)


def pandera_to_iceberg(schema: type[pandera.DataFrameModel]) -> Schema:
    """Return the Iceberg schema of a table with this contract, metadata columns included.

    Args:
        schema: The Pandera model; its fields become columns 1, 2, ... in their order.

    Returns:
        A schema; not nullable fields are required, descriptions are docs. Metadata columns have
        ids from 100 and are optional. A catalog assigns ids of its own when it makes the table.

    Raises:
        UnsupportedTypeError: A field's type has no counterpart; names class and field.

    Source: developer guide, "Schema Conversion to Iceberg".
    """
    from phlo.contract import Contract  # Pandera: reading tables needs none

    own = arrow_to_iceberg(Contract.of(schema).arrow_schema, schema.__name__)
    return Schema(*own.fields, *_METADATA_FIELDS)


def arrow_to_iceberg(schema: pa.Schema, where: str) -> Schema:
    """Return the Iceberg schema of an Arrow schema, ids 1, 2, ... in the order of its fields.

    Args:
        schema: Names, types, nullability; ``doc`` in a field's metadata is its doc. A column of
            Arrow's null type becomes text, unsigned numbers become what holds them all, times of
            any zone become UTC.
        where: Whose schema it is, for the message.

    Raises:
        UnsupportedTypeError: A type has no counterpart; names the column.
    """
    fields = [_convert(field, where) for field in schema]
    return assign_fresh_schema_ids(Schema(*fields))


_WIDER = (
    (pa.types.is_null, pa.string()),
    (pa.types.is_uint32, pa.int64()),
    (pa.types.is_uint64, pa.decimal128(20, 0)),
    (pa.types.is_date64, pa.date32()),
    (pa.types.is_time32, pa.time64("us")),
    (lambda kind: pa.types.is_timestamp(kind) and kind.tz, pa.timestamp("us", tz="UTC")),
)
"""Types that pyiceberg does not know, or makes too narrow, and what holds all of their values."""


def _convert(field: pa.Field, where: str) -> NestedField:
    from pyiceberg.io.pyarrow import (
        UnsupportedPyArrowTypeException,  # heavy: needed to write, not to look
    )

    try:
        single = schema_without_ids(pa.schema([_widened(field)]))
    except (TypeError, ValueError, NotImplementedError, UnsupportedPyArrowTypeException) as exc:
        raise UnsupportedTypeError(
            f"Column {field.name!r} of {where} has a type that Iceberg does not have.",
            got=str(field.type),
            expected="text, numbers, booleans, dates, timestamps, decimals, bytes",
            hint="Cast the column to one of these.",
            column=field.name,
        ) from exc
    return single.fields[0]


def _widened(field: pa.Field) -> pa.Field:
    """Return the field with what holds all values of its type, and of those inside of it."""
    return field.with_type(_holding(field.type))


def _holding(kind: pa.DataType) -> pa.DataType:
    match kind:
        case pa.StructType() if kind.num_fields:
            return pa.struct([_widened(field) for field in kind])
        case pa.MapType():
            return pa.map_(_widened(kind.key_field), _widened(kind.item_field))
        case pa.ListType() | pa.LargeListType() | pa.FixedSizeListType():
            return pa.list_(_widened(kind.value_field))
    if pa.types.is_struct(kind) or pa.types.is_float16(kind):
        raise TypeError(kind)  # pyiceberg knows these, and DuckDB cannot take them
    return next((to for is_kind, to in _WIDER if is_kind(kind)), kind)


def build_spec(schema: Schema, partition_by: Sequence[tuple[str, str]]) -> PartitionSpec:
    """Return a partition spec from pairs of column and transform.

    Raises:
        SchemaChangeError: A column is not in the schema, a transform is unknown or does not take
            its column's type, or two pairs say the same or are called as a column is.
    """
    fields = [
        PartitionField(
            source_id=_source(schema, column, transform).field_id,
            field_id=PARTITION_FIELD_ID_START + number,
            transform=parse_transform(transform),
            name=column if transform == "identity" else f"{column}_{transform.split('[')[0]}",
        )
        for number, (column, transform) in enumerate(partition_by)
    ]
    _refuse_twice(schema, fields)
    return PartitionSpec(*fields)


def _source(schema: Schema, column: str, transform: str) -> NestedField:
    source = next((field for field in schema.fields if field.name == column), None)
    try:
        is_right = source and parse_transform(transform).can_transform(source.field_type)
    except ValueError:
        is_right = False
    if source is None or not is_right:
        raise SchemaChangeError(
            f"partition_spec names {column!r} with {transform!r}, which cannot be.",
            got=repr((column, transform)),
            expected="a column of the table and identity, year, month, day, hour, "
            "bucket[n] or truncate[n], as its type allows",
            hint='Write it as ("country", "identity") or ("ts", "day").',
        )
    return source


def _refuse_twice(schema: Schema, fields: Sequence[PartitionField]) -> None:
    ways = [(f.source_id, f.transform.dedup_name) for f in fields]
    others = [f.name for f in schema.fields] + [f.name for f in fields]
    for way, field in zip(ways, fields, strict=True):
        is_column = isinstance(field.transform, IdentityTransform)
        if ways.count(way) > 1 or others.count(field.name) > (2 if is_column else 1):
            raise SchemaChangeError(
                f"partition_spec makes the partition {field.name!r} twice, or beside a column of "
                "that name.",
                got=str(sorted(others)),
                expected="one of year, month, day and hour for a column, and names of their own",
                hint="Leave one of them out, or rename the column.",
            )


def evolve(update: UpdateSchema, current: Schema, wanted: pa.Schema, table: TableName) -> None:
    """Change a table's schema so that it takes rows of another.

    New columns are optional; a column that is wanted nullable, or not at all any more, becomes
    optional; types are widened as Iceberg promotes them; ``renamed_from`` renames. The same holds
    for fields inside a column, but for renaming.

    Args:
        update: Collects the changes.
        current: The table's schema.
        wanted: What a load brings.
        table: For messages.

    Raises:
        SchemaChangeError: A type cannot become the wanted one.
    """
    target = arrow_to_iceberg(wanted, str(table))
    existing = {field.name: field for field in current.fields}
    renamed = _renames(wanted, existing, table)
    for field in target.fields:
        old = existing.get(renamed.get(field.name, field.name))
        if old is None:
            update.add_column((field.name,), field.field_type, doc=field.doc)
            continue
        if old.name != field.name:
            update.rename_column((old.name,), field.name)
        _refuse_other_type(old, field, table)
        _grow(update, (old.name,), old, field)
    kept = {field.name for field in target.fields} | set(renamed.values())
    for name, old in existing.items():
        if name not in kept and old.required:
            update.make_column_optional((name,))


def drop_unwanted(
    update: UpdateSchema, current: Schema, wanted: pa.Schema, table: TableName
) -> Schema:
    """Take away what does not stand in another schema, before :func:`evolve` adds what does.

    A column whose type cannot become the wanted one, or that has other fields inside, goes too; one
    of its name comes in its place.

    Args:
        update: Collects the changes.
        current: The table's schema.
        wanted: What the table's columns become.
        table: For messages.

    Returns:
        The schema of the columns that stay.
    """
    target = {field.name: field for field in arrow_to_iceberg(wanted, str(table)).fields}
    existing = {field.name: field for field in current.fields}
    renamed = set(_renames(wanted, existing, table).values())
    kept = [f for f in current.fields if f.name in renamed or _can_stay(f, target.get(f.name))]
    for field in current.fields:
        if field not in kept:
            update.delete_column((field.name,))
    return Schema(*kept)


def _can_stay(old: NestedField, new: NestedField | None) -> bool:
    return (
        new is not None
        and _can_become(old.field_type, new.field_type)
        and _names(old.field_type) == _names(new.field_type)
    )


def _names(kind: IcebergType) -> set[str]:
    return set(names_inside(kind).values())


def _can_become(old: IcebergType, new: IcebergType) -> bool:
    """Return whether rows of a new type can stand beside those of an old one; ids do not matter."""
    match old, new:
        case StructType(), StructType():
            there = {f.name: f.field_type for f in old.fields}
            common = [f for f in new.fields if f.name in there]
            return all(_can_become(there[f.name], f.field_type) for f in common)
        case ListType(), ListType():
            return _can_become(old.element_type, new.element_type)
        case MapType(), MapType():
            is_same_key = duckdb_type(old.key_type) == duckdb_type(new.key_type)
            return is_same_key and _can_become(old.value_type, new.value_type)
    return old == new or _fits(old, new) or _fits(new, old)


def _renames(
    wanted: pa.Schema, existing: dict[str, NestedField], table: TableName
) -> dict[str, str]:
    """Choose the renames to be done: those whose old column is there and whose new name is free.

    A name is free where no column has it, or where its column is renamed as well.

    Returns:
        Old name by new name.

    Raises:
        SchemaChangeError: Columns take one another's names.
    """
    sources = {f.name: old for f in wanted if (old := _old_name(f)) in existing}
    _refuse_swaps(sources, table)
    chosen: dict[str, str] = {}
    while free := {
        new: old
        for new, old in sources.items()
        if new not in chosen and (new not in existing or new in chosen.values())
    }:
        chosen |= free
    return chosen


def _old_name(field: pa.Field) -> str:
    return (field.metadata or {}).get(b"renamed_from", b"").decode()


def _refuse_swaps(sources: dict[str, str], table: TableName) -> None:
    """Raise where columns take one another's names: a table does not tell whether it has."""
    for start in sources:
        name, names = sources[start], [start]
        while name in sources and name not in names:
            names.append(name)
            name = sources[name]
        if name == start:
            raise SchemaChangeError(
                f"Columns of {table} are each renamed from another one of them, so nothing tells "
                "whether the table has been changed already.",
                got=", ".join(f"{new!r} renamed_from {sources[new]!r}" for new in names),
                expected="names that the table does not have",
                hint="Rename in two loads: first one of them to a name of its own, then to the "
                "other's.",
                columns=tuple(names),
            )


def _refuse_other_type(old: NestedField, new: NestedField, table: TableName) -> None:
    if not _can_become(old.field_type, new.field_type):
        raise SchemaChangeError(
            f"Column {old.name!r} of {table} cannot become {new.field_type}.",
            got=f"{old.field_type} in the table",
            expected="the same type, or int to long, float to double, a wider decimal",
            hint="Give the field a new name, or move the table aside and load it anew.",
            column=old.name,
        )


def _grow(update: UpdateSchema, path: tuple[str, ...], old: NestedField, new: NestedField) -> None:
    """Make a column, or a field inside one, take what a new one brings."""
    if old.required and new.optional:
        update.make_column_optional(path)
    match old.field_type, new.field_type:
        case StructType() as held, StructType() as wanted:
            _grow_struct(update, path, held, wanted)
        case ListType() as held, ListType() as wanted:
            _grow(update, (*path, "element"), held.element_field, wanted.element_field)
        case MapType() as held, MapType() as wanted:
            _grow(update, (*path, "value"), held.value_field, wanted.value_field)
        case held, wanted if _fits(held, wanted) and held != wanted:
            update.update_column(path, field_type=_primitive(wanted))


def _grow_struct(
    update: UpdateSchema, path: tuple[str, ...], held: StructType, wanted: StructType
) -> None:
    there, new = ({f.name: f for f in kind.fields} for kind in (held, wanted))
    for name, field in new.items():
        if name in there:
            _grow(update, (*path, name), there[name], field)
        else:
            update.add_column((*path, name), field.field_type, doc=field.doc)
    for name, field in there.items():
        if name not in new and field.required:
            update.make_column_optional((*path, name))


def _primitive(kind: IcebergType) -> Any:
    return kind


def _fits(narrow: IcebergType, wide: IcebergType) -> bool:
    """Return whether Iceberg promotes one type to the other."""
    match narrow, wide:
        case (IntegerType(), LongType()) | (FloatType(), DoubleType()):
            return True
        case (DecimalType(), DecimalType()):
            return narrow.scale == wide.scale and narrow.precision <= wide.precision
    return False
