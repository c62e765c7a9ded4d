"""One state of a table, and its rows as DuckDB reads them.

Rows are read by Iceberg field id, never by name: a renamed or re-added column would read wrong.
Position deletes are applied by an anti-join, so tables with deletes written by others read right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import duckdb
from phlo.sql import Identifier, Sql, literal, quote_identifier, sql, union_all
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.table import DataScan, FileScanTask
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
    StringType,
    StructType,
    TimestampType,
    TimestamptzType,
    TimeType,
    UUIDType,
)

from phlo_iceberg.nested import refuse_moved

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa
    from phlo.values import TableName
    from pyiceberg.io import FileIO
    from pyiceberg.schema import Schema
    from pyiceberg.table.metadata import TableMetadata

FILE = "__phlo_file"
POSITION = "__phlo_pos"
_ROW_NUMBER = Identifier("file_row_number")
"""DuckDB's own column of where a row stands in its file."""

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


@dataclass(frozen=True)
class TableState:
    """A table as of one snapshot, published or staged.

    Attributes:
        name: The table.
        metadata: Its metadata; a stage's holds the snapshot that is not published yet.
        io: Reads its files.
        snapshot_id: The snapshot read; ``None``: the table is empty.
    """

    name: TableName
    metadata: TableMetadata
    io: FileIO = field(repr=False)
    snapshot_id: int | None

    @property
    def schema(self) -> Schema:
        """The current schema; also what an older snapshot is read with."""
        return self.metadata.schema()

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """The schema as Arrow."""
        return schema_to_pyarrow(self.schema, include_field_ids=False)

    def tasks(self, row_filter: BooleanExpression | None = None) -> list[FileScanTask]:
        """The data files that may hold rows of the filter, each with its delete files."""
        if self.snapshot_id is None:
            return []
        scan = DataScan(
            table_metadata=self.metadata,
            io=self.io,
            row_filter=row_filter or AlwaysTrue(),
            snapshot_id=self.snapshot_id,
        )
        return list(scan.plan_files())  # pyright: ignore[reportArgumentType]

    def relation(
        self,
        tasks: Sequence[FileScanTask],
        *,
        columns: Sequence[str] | None = None,
        with_position: bool = False,
    ) -> Sql:
        """A SELECT over the rows of data files, deletes applied.

        Args:
            tasks: The files; none gives no rows.
            columns: Names to select; ``None``: all of the table.
            with_position: Whether ``__phlo_file`` (path as DuckDB sees it) and ``__phlo_pos``
                come too.
        """
        names = list(columns) if columns is not None else [f.name for f in self.schema.fields]
        if not tasks:
            return self._no_rows(names, with_position=with_position)
        refuse_moved(self, names, tasks)
        selected = [self._by_id(name) for name in names]
        if with_position:
            position = sql("{n} AS {p}", n=_ROW_NUMBER, p=Identifier(POSITION))
            selected += [Identifier(FILE), position]
        # Rows of files without deletes, which are most, are looked up nowhere.
        marked = [task for task in tasks if task.delete_files]
        whole = [task for task in tasks if not task.delete_files]
        parts = [self._select(selected, group) for group in (whole, marked) if group]
        return union_all(parts)

    def _select(self, selected: Sequence[Sql], tasks: Sequence[FileScanTask]) -> Sql:
        deletes = {d.file_path for task in tasks for d in task.delete_files}
        return sql(
            "SELECT {columns} FROM {files} AS d{anti}",
            columns=selected or Sql("1"),
            files=self._read_parquet([t.file.file_path for t in tasks]),
            anti=_anti_join(sorted(deletes)) if deletes else Sql(""),
        )

    def _read_parquet(self, paths: Iterable[str]) -> Sql:
        return sql(
            "read_parquet([{paths}], schema=MAP {{{fields}}}, hive_partitioning=false, "
            "filename={file})",
            paths=[duckdb_pattern(p) for p in paths],
            fields=[self._field_entry(f.field_id) for f in self.schema.fields],
            file=FILE,
        )

    def _field_entry(self, field_id: int) -> Sql:
        column = self.schema.find_field(field_id)
        return sql(
            "{id}: {{name: {name}, type: {type}, default_value: NULL}}",
            id=field_id,
            name=_inner_name(field_id),
            type=_duckdb_type(column.field_type),
        )

    def _by_id(self, name: str) -> Sql:
        inner = _inner_name(self.schema.find_field(name).field_id)
        return sql("{inner} AS {name}", inner=Identifier(inner), name=Identifier(name))

    def _no_rows(self, names: Sequence[str], *, with_position: bool) -> Sql:
        columns = [self.typed_null(name) for name in names]
        if with_position:
            columns += [Sql(f"NULL::VARCHAR AS {FILE}"), Sql(f"NULL::BIGINT AS {POSITION}")]
        return sql("SELECT {columns} WHERE FALSE", columns=columns)

    def typed_null(self, name: str) -> Sql:
        """A null of a column's type, under its name."""
        return sql(
            "CAST(NULL AS {type}) AS {name}", type=self.duckdb_type(name), name=Identifier(name)
        )

    def duckdb_type(self, name: str) -> Sql:
        """DuckDB's name of a column's type."""
        return Sql(_duckdb_type(self.schema.find_field(name).field_type))


def _inner_name(field_id: int) -> str:
    """What a column is called while it is read: its own name could be one of DuckDB's."""
    return f"c{field_id}"


def _anti_join(deletes: Sequence[str]) -> Sql:
    """Leave out rows of ``d`` that are deleted; as NOT EXISTS it would cost three times as much."""
    return sql(
        " ANTI JOIN (SELECT regexp_replace(file_path, '^file://', '') AS f, pos "
        "FROM read_parquet([{paths}], hive_partitioning=false)) AS x "
        "ON x.f = d.{file} AND x.pos = d.{position}",
        paths=[duckdb_pattern(p) for p in deletes],
        file=Identifier(FILE),
        position=_ROW_NUMBER,
    )


def _duckdb_type(kind: IcebergType) -> str:
    """DuckDB's name of a type; columns are found by field id, fields of a struct by name."""
    match kind:
        case DecimalType():
            return f"DECIMAL({kind.precision}, {kind.scale})"
        case ListType():
            return f"{_duckdb_type(kind.element_type)}[]"
        case MapType():
            return f"MAP({_duckdb_type(kind.key_type)}, {_duckdb_type(kind.value_type)})"
        case StructType():
            fields = (
                f"{quote_identifier(f.name)} {_duckdb_type(f.field_type)}" for f in kind.fields
            )
            return f"STRUCT({', '.join(fields)})"
    return _DUCKDB_TYPES[type(kind)]


def duckdb_path(path: str) -> str:
    """A file's address as DuckDB opens it and reports it.

    >>> duckdb_path("file:///data/a.parquet"), duckdb_path("s3://lake/a.parquet")
    ('/data/a.parquet', 's3://lake/a.parquet')
    """
    return path.removeprefix("file://")


def duckdb_pattern(path: str) -> str:
    """The same as a pattern that matches just this file.

    >>> duckdb_pattern("file:///data/[x]/a.parquet")
    '/data/[[]x]/a.parquet'
    """
    return re.sub(r"([*?\[])", r"[\1]", duckdb_path(path))


def connect(*, temp_dir: str | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory that reads times in UTC and no Python variables."""
    config: dict[str, Any] = {"temp_directory": temp_dir} if temp_dir is not None else {}
    connection = duckdb.connect(":memory:", config=config)
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    return connection


def allow_only(connection: duckdb.DuckDBPyConnection, directories: Sequence[str]) -> None:
    """Shut a connection off from files outside some folders, and from the network (R73)."""
    connection.execute(
        sql("SET allowed_directories = [{dirs}]", dirs=[literal(d) for d in directories])
    )
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def use_object_store(connection: duckdb.DuckDBPyConnection, io: FileIO, path: str) -> None:
    """Let a connection read a table's object store through fsspec, needing no extension."""
    scheme = path.split("://", 1)[0] if "://" in path else "file"
    if scheme == "file" or scheme in connection.list_filesystems():
        return
    from pyiceberg.io.fsspec import FsspecFileIO

    connection.register_filesystem(FsspecFileIO(io.properties).get_fs(scheme))
