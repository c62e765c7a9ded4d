"""How data files hold a table's columns, and how DuckDB reads and writes them so.

Iceberg finds columns, and the fields inside them, by id. DuckDB finds columns by id or by name, and
fields inside by name alone. What is called otherwise in a file is read under the file's names and
put together anew: fields that were renamed since, names that Parquet files of Iceberg do not
allow, files that another system wrote and that carry no ids.

Source: Iceberg specification, "Column Projection".
"""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from phlo.errors import UnsupportedTableError
from phlo.sql import Identifier, Sql, keep_nan, quote_identifier, sql
from pyiceberg.schema import Schema, index_by_id, sanitize_column_names
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import DoubleType, FloatType

from phlo_iceberg.read.duckdb_types import (
    as_text,
    converted,
    duckdb_type,
    fields_inside,
    is_same,
    names_inside,
    same_letters,
    text_default,
)

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from phlo.names import TableName
    from pyiceberg.io import FileIO
    from pyiceberg.table import FileScanTask
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.types import IcebergType, NestedField


@dataclass(frozen=True)
class TableFiles:
    """What it takes to read a table's files.

    Attributes:
        name: The table.
        metadata: Its metadata; a stage's holds the snapshot that is not published yet.
        io: Reads its files.
    """

    name: TableName
    metadata: TableMetadata
    io: FileIO = field(repr=False)

    @property
    def schema(self) -> Schema:
        """The current schema; an older snapshot is read with it too."""
        return self.metadata.schema()


@dataclass(frozen=True)
class HeldColumn:
    """How files hold one column.

    Attributes:
        key: Its field id; its name in files that carry no ids.
        kind: Its type, the fields inside under the names that the files have.
        default: What its rows hold where the files lack it, as text; ``None``: null.
    """

    key: int | str
    kind: IcebergType
    default: str | None = None


Layout = tuple[HeldColumn, ...]
"""How files hold the columns selected, in their order."""


def held_in(
    table: TableFiles, names: Sequence[str], tasks: Sequence[FileScanTask]
) -> dict[Layout, list[FileScanTask]]:
    """Group data files by how they hold the columns of a table.

    Files are opened only where the table tells that some may hold one of them in another way than
    its schema says.

    Raises:
        UnsupportedTableError: A file without field ids cannot be read by the names in it.
    """
    columns = [table.schema.find_field(name) for name in names]
    if not (table.metadata.name_mapping() or any(_may_differ(table, c) for c in columns)):
        usual = tuple(HeldColumn(c.field_id, c.field_type, text_default(c)) for c in columns)
        return {usual: list(tasks)}
    found: dict[Layout, list[FileScanTask]] = defaultdict(list)
    with ThreadPoolExecutor() as pool:
        layouts = pool.map(partial(_look, table, columns), tasks)
        for task, layout in zip(tasks, layouts, strict=True):
            found[layout].append(task)
    return found


def _may_differ(table: TableFiles, column: NestedField) -> bool:
    """Return whether files may hold the fields inside a column otherwise than the schema says."""
    if column.field_type.is_primitive:
        return False
    inside = fields_inside(column.field_type)
    schemas = [*table.metadata.schemas, sanitize_column_names(table.schema)]
    held = [index_by_id(s).get(column.field_id) for s in schemas]
    return any(field.initial_default is not None for field in inside.values()) or any(
        _have_moved(names_inside(column.field_type), names_inside(f.field_type)) for f in held if f
    )


def _have_moved(now: dict[int, str], before: dict[int, str]) -> bool:
    """Return whether a field has another name than before, or another field's."""
    ids = {name: number for number, name in now.items()}
    return any(
        now.get(number, name) != name or ids.get(name, number) != number
        for number, name in before.items()
    )


def _look(table: TableFiles, columns: Sequence[NestedField], task: FileScanTask) -> Layout:
    from pyiceberg.io.pyarrow import pyarrow_to_schema  # heavy, and needed for few tables

    with table.io.new_input(task.file.file_path).open() as file:
        arrow = pq.read_schema(file)
    try:
        schema, has_ids = pyarrow_to_schema(arrow, downcast_ns_timestamp_to_us=True), True
    except ValueError:  # no ids
        schema, has_ids = _by_names(table, arrow, task), False
    there = {f.field_id: f for f in schema.fields}
    return tuple(
        _held(column, field, has_ids=has_ids)
        if (field := there.get(column.field_id))
        else _missing(table, column, task, has_ids=has_ids)
        for column in columns
    )


def _held(column: NestedField, field: NestedField, *, has_ids: bool) -> HeldColumn:
    # DuckDB widens numbers as Iceberg promotes them; inside of columns `converted` does.
    kind = column.field_type if column.field_type.is_primitive else field.field_type
    return HeldColumn(column.field_id if has_ids else field.name, kind)


def _missing(
    table: TableFiles, column: NestedField, task: FileScanTask, *, has_ids: bool
) -> HeldColumn:
    key = column.field_id if has_ids else f"__phlo_missing_{column.field_id}"  # as none is called
    constant = _partition_value(table, column, task)
    return HeldColumn(
        key, column.field_type, text_default(column) if constant is None else constant
    )


def _partition_value(table: TableFiles, column: NestedField, task: FileScanTask) -> str | None:
    """Read a column's value from a file's partition; files of Hive tables leave it out."""
    spec = table.metadata.specs()[task.file.spec_id]
    for n, partition_field in enumerate(spec.fields):
        is_itself = isinstance(partition_field.transform, IdentityTransform)
        value = task.file.partition[n]
        if is_itself and partition_field.source_id == column.field_id and value is not None:
            return as_text(column.field_type, value)
    return None


def _by_names(table: TableFiles, arrow: pa.Schema, task: FileScanTask) -> Schema:
    """Build the schema of a file without ids; columns that the mapping lacks are left out."""
    mapping = table.metadata.name_mapping()
    known = {name for field in mapping.root for name in field.names} if mapping else set()
    from pyiceberg.io.pyarrow import pyarrow_to_schema  # heavy, and needed for few tables

    arrow = pa.schema([f for f in arrow if f.name in known])
    if alike := same_letters(arrow.names):
        raise _unreadable(table, task, f"{alike} differ in case alone")
    try:
        schema = pyarrow_to_schema(arrow, mapping, downcast_ns_timestamp_to_us=True)
    except ValueError as error:
        raise _unreadable(table, task, str(error)) from error
    if len({f.field_id for f in schema.fields}) < len(schema.fields):
        raise _unreadable(table, task, f"of {sorted(arrow.names)} two are one column's")
    return schema


def _unreadable(table: TableFiles, task: FileScanTask, reason: str) -> UnsupportedTableError:
    return UnsupportedTableError(
        f"{table.name}: a file that another system wrote carries no field ids, and cannot be read "
        f"by its names: {reason}",
        got=task.file.file_path,
        expected="names that the table's property 'schema.name-mapping.default' tells apart",
        hint="Let the system that added it write the table anew.",
        table=table.name,
    )


def may_hold_nan(column: NestedField, tasks: Sequence[FileScanTask]) -> bool:
    """Return whether rows of data files may hold NaN in a column, or in a field inside it."""
    if isinstance(column.field_type, FloatType | DoubleType):
        counts = [task.file.nan_value_counts or {} for task in tasks]
        return any(count.get(column.field_id, 1) for count in counts)
    if column.field_type.is_primitive:
        return False
    inside = fields_inside(column.field_type).values()
    return any(isinstance(field.field_type, FloatType | DoubleType) for field in inside)


def read_columns(
    layout: Layout, columns: Sequence[NestedField], with_nan: Container[int] = ()
) -> tuple[Sql, list[Sql]]:
    """Build what DuckDB has to know of files of a layout.

    Args:
        layout: How the files hold the columns.
        columns: The columns, in the order of the layout.
        with_nan: Field ids of columns that may hold NaN.

    Returns:
        The argument ``schema`` of ``read_parquet``, and the columns to select from it. Inside they
        are called by their ids: a column's own name could be one of DuckDB's.
    """
    entries = [
        sql(
            "{key}: {{name: {name}, type: {type}, default_value: {default}}}",
            key=held.key,
            name=_inner_name(column),
            type=duckdb_type(held.kind),
            default=held.default,
        )
        for held, column in zip(layout, columns, strict=True)
    ]
    selected = [
        sql("{value} AS {name}", value=_value(held, column, with_nan), name=Identifier(column.name))
        for held, column in zip(layout, columns, strict=True)
    ]
    return sql("MAP {{{entries}}}", entries=entries), selected


def _value(held: HeldColumn, column: NestedField, with_nan: Container[int]) -> Sql:
    value = converted(Sql(_inner_name(column)), held.kind, column.field_type)
    if column.field_id not in with_nan:
        return value
    return keep_nan(value, is_nested=not column.field_type.is_primitive)


def _inner_name(column: NestedField) -> str:
    return f"c{column.field_id}"


def as_files_hold(schema: Schema, rows: Sql) -> Sql:
    """Build the rows of a table with the fields inside columns named as its files name them.

    Args:
        schema: The table's schema.
        rows: A SELECT of all its columns.
    """
    columns = list(zip(schema.fields, sanitize_column_names(schema).fields, strict=True))
    if all(is_same(f.field_type, held.field_type) for f, held in columns):
        return rows
    selected = [
        sql(
            "{value} AS {name}",
            value=converted(quote_identifier(f.name), f.field_type, held.field_type),
            name=Identifier(f.name),
        )
        for f, held in columns
    ]
    return sql("SELECT {c} FROM ({rows})", c=selected, rows=rows)
