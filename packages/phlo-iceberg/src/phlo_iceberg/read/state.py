"""One state of a table, and its rows as DuckDB reads them.

Rows are read as the files hold them (`phlo_iceberg.read.projection`).
Position deletes are applied by an anti-join, so tables with deletes written by others read right.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from phlo.errors import InvalidNameError, UnreadableTableError, UnsupportedTableError
from phlo.sql import Identifier, Sql, sql, union_all
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.manifest import FileFormat
from pyiceberg.table import DataScan, FileScanTask

from phlo_iceberg.read.arrow_types import arrow_schema
from phlo_iceberg.read.connection import allow_only, duckdb_pattern
from phlo_iceberg.read.duckdb_types import duckdb_type, same_letters
from phlo_iceberg.read.projection import (
    Layout,
    TableFiles,
    held_in,
    may_hold_nan,
    read_columns,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb
    import pyarrow as pa

FILE = "__phlo_file"
POSITION = "__phlo_pos"
_UNDECODABLE = (ValueError, EOFError, FileNotFoundError, TypeError, KeyError, IndexError)
"""What planning raises for a manifest that is missing or cut short, and for unsupported deletes."""
_ROW_NUMBER = Identifier("file_row_number")
"""DuckDB's own column of where a row stands in its file."""


@dataclass(frozen=True)
class TableState(TableFiles):
    """A table as of one snapshot, published or staged.

    Attributes:
        snapshot_id: The snapshot read; ``None``: the table is empty.
    """

    snapshot_id: int | None

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """The schema as Arrow."""
        return arrow_schema(self.schema)

    @cached_property
    def all_tasks(self) -> list[FileScanTask]:
        """All its data files, each with its delete files."""
        return self.tasks()

    @property
    def files_elsewhere(self) -> set[str]:
        """Its files outside of its folder: others may add such."""
        folder = self.metadata.location.rstrip("/") + "/"
        files = (f.file_path for t in self.all_tasks for f in (t.file, *t.delete_files))
        return {path for path in files if not path.startswith(folder)}

    def tasks(self, row_filter: BooleanExpression | None = None) -> list[FileScanTask]:
        """Return the data files that may hold rows of the filter, each with its delete files.

        Raises:
            UnsupportedTableError: Rows are deleted by equality, or files are not Parquet.
        """
        if self.snapshot_id is None:
            return []
        scan = DataScan(
            table_metadata=self.metadata,
            io=self.io,
            row_filter=row_filter or AlwaysTrue(),
            snapshot_id=self.snapshot_id,
        )
        try:
            tasks = list(scan.plan_files())
        except _UNDECODABLE as error:
            if self._has_unreadable_manifest():
                raise UnreadableTableError(
                    f"A manifest of {self.name} is missing or cut short: {error}",
                    hint="`phlo doctor` names the file; `phlo doctor --fix` goes back to the "
                    "newest snapshot that is whole.",
                    table=self.name,
                ) from error
            raise self._unsupported(str(error)) from error
        for file in (file for t in tasks for file in (t.file, *t.delete_files)):
            if file.file_format != FileFormat.PARQUET:
                raise self._unsupported(f"{file.file_path} is {file.file_format.name}")
        return tasks  # pyright: ignore[reportReturnType]

    def _has_unreadable_manifest(self) -> bool:
        snapshot = self.metadata.snapshot_by_id(self.snapshot_id or -1)
        try:
            for manifest in snapshot.manifests(self.io) if snapshot else []:
                manifest.fetch_manifest_entry(self.io)
        except _UNDECODABLE:
            return True
        return False

    def _unsupported(self, reason: str) -> UnsupportedTableError:
        return UnsupportedTableError(
            f"{self.name} cannot be read: {reason}",
            expected="rows in Parquet files, and those deleted marked by position in such files",
            hint="Let the engine that wrote it compact it, and write so from then on.",
            table=self.name,
        )

    def refuse_same_letters(self, more: Sequence[str] = ()) -> None:
        """Refuse columns, or fields beside one another, that DuckDB takes for one and the same.

        Args:
            more: Names of columns that a load has besides.

        Raises:
            InvalidNameError: Their names differ in upper and lower case alone.
        """
        if alike := same_letters([*self.schema.column_names, *more]):
            raise InvalidNameError(
                f"{self.name} has columns that differ in upper and lower case alone.",
                got=str(alike),
                expected="names that differ in more: SQL takes these for the same",
                hint="Rename one of them.",
                table=self.name,
            )

    def relation(
        self,
        tasks: Sequence[FileScanTask],
        *,
        columns: Sequence[str] | None = None,
        with_position: bool = False,
    ) -> Sql:
        """Build a SELECT over the rows of data files, deletes applied.

        Args:
            tasks: The files; none gives no rows.
            columns: Names to select; ``None``: all of the table.
            with_position: Whether ``__phlo_file`` (path as DuckDB sees it) and ``__phlo_pos``
                come too.
        """
        self.refuse_same_letters()
        names = list(columns) if columns is not None else [f.name for f in self.schema.fields]
        if not tasks:
            return self._no_rows(names, with_position=with_position)
        return union_all(
            [
                self._select(names, layout, group, with_position=with_position)
                for layout, alike in held_in(self, names or self._any_column, tasks).items()
                # Rows of files without deletes, which are most, are looked up nowhere.
                for group in (
                    [task for task in alike if not task.delete_files],
                    [task for task in alike if task.delete_files],
                )
                if group
            ]
        )

    @property
    def _any_column(self) -> list[str]:
        """Where none is selected, and rows are counted alone, DuckDB must be told of one."""
        return [self.schema.fields[0].name]

    def _select(
        self,
        names: Sequence[str],
        layout: Layout,
        tasks: Sequence[FileScanTask],
        *,
        with_position: bool,
    ) -> Sql:
        columns = [self.schema.find_field(name) for name in names or self._any_column]
        with_nan = {c.field_id for c in columns if may_hold_nan(c, tasks)}
        held, selected = read_columns(layout, columns, with_nan)
        if not names:
            selected = []
        if with_position:
            position = sql("{n} AS {p}", n=_ROW_NUMBER, p=Identifier(POSITION))
            selected += [Identifier(FILE), position]
        deletes = {d.file_path for task in tasks for d in task.delete_files}
        return sql(
            "SELECT {columns} FROM read_parquet([{paths}], schema={held}, "
            "hive_partitioning=false, filename={file}) AS d{anti}",
            columns=selected or Sql("1"),
            paths=[duckdb_pattern(t.file.file_path) for t in tasks],
            held=held,
            file=FILE,
            anti=_anti_join(sorted(deletes)) if deletes else Sql(""),
        )

    def _no_rows(self, names: Sequence[str], *, with_position: bool) -> Sql:
        columns = [self.typed_null(name) for name in names]
        if with_position:
            columns += [Sql(f"NULL::VARCHAR AS {FILE}"), Sql(f"NULL::BIGINT AS {POSITION}")]
        return sql("SELECT {columns} WHERE FALSE", columns=columns)

    def typed_null(self, name: str) -> Sql:
        """Build a null of a column's type, under its name."""
        return sql(
            "CAST(NULL AS {type}) AS {name}", type=self.duckdb_type(name), name=Identifier(name)
        )

    def duckdb_type(self, name: str) -> Sql:
        """Return DuckDB's name of a column's type."""
        return Sql(duckdb_type(self.schema.find_field(name).field_type))


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


def allow_only_files_of(
    connection: duckdb.DuckDBPyConnection, states: Sequence[TableState]
) -> None:
    """Shut a connection off from the network and from all files but those of some tables."""
    allow_only(
        connection,
        folders=[s.metadata.location for s in states],
        files=[path for s in states for path in s.files_elsewhere],
    )
