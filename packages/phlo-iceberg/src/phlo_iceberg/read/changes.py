"""Read which rows of a table changed between two snapshots, from the files that changed.

A data file that both snapshots hold with the same delete files has the same rows in both, and is
not opened. Of one that only got further deletes, the rows at the new deletes' positions are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from phlo.sql import (
    Identifier,
    Sql,
    all_of,
    identifiers,
    qualified,
    same_values,
    sql,
    union_all,
)

from phlo_iceberg.read.connection import connect, duckdb_pattern, use_object_store
from phlo_iceberg.read.state import FILE, POSITION, allow_only_files_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from pyiceberg.table import FileScanTask

    from phlo_iceberg.read.state import TableState

_BATCH_ROWS = 100_000


@dataclass(frozen=True)
class SnapshotChanges:
    """The rows that differ between two snapshots of a table.

    Attributes:
        old: The earlier state.
        new: The later state, with the same schema.
    """

    old: TableState
    new: TableState

    @cached_property
    def _files(self) -> _ChangedFiles:
        return _find_changed_files(self.old.all_tasks, self.new.all_tasks)

    @property
    def row_bound(self) -> int:
        """Number of rows to read at most, by the files' own counts."""
        files = self._files
        deletes = {d.file_path: d.record_count for t in files.deleted_from for d in t.delete_files}
        rows = sum(t.file.record_count for t in (*files.added, *files.removed))
        return rows + sum(deletes.values())

    def upserts(self, key: Sequence[str]) -> pa.RecordBatchReader:
        """Read rows that are new or differ from the row of the same key before.

        Args:
            key: Columns that are unique in both states.
        """
        added, removed = self._rows(self.new, "added"), self._rows(self.old, "removed")
        columns = [field.name for field in self.new.schema.fields]
        return self._read(
            sql(
                "SELECT {columns} FROM ({added}) AS n LEFT JOIN (SELECT *, TRUE AS {was} "
                "FROM ({removed})) AS o ON {same_key} WHERE o.{was} IS NULL OR NOT ({same_row})",
                columns=[qualified("n", column) for column in columns],
                added=added,
                removed=removed,
                was=Identifier("__phlo_was"),
                same_key=same_values("n", "o", key),
                same_row=_same_rows(columns),
            )
        )

    def deleted_keys(self, key: Sequence[str]) -> pa.RecordBatchReader:
        """Read the keys of rows that are no longer there.

        Args:
            key: As for :meth:`upserts`.
        """
        removed = [self._rows(self.old, "removed", key), self.newly_deleted_rows(key)]
        return self._read(
            sql(
                "SELECT {key} FROM ({removed}) AS o ANTI JOIN ({added}) AS n ON {same_key}",
                key=[qualified("o", column) for column in key],
                removed=union_all(removed),
                added=self._rows(self.new, "added", key),
                same_key=same_values("n", "o", key),
            )
        )

    def added_rows(self, columns: Sequence[str]) -> Sql:
        """Select the rows in files that only the later state holds as they are."""
        return self._rows(self.new, "added", columns)

    def removed_rows(self, columns: Sequence[str]) -> Sql:
        """Select the rows in files that only the earlier state holds as they are."""
        return self._rows(self.old, "removed", columns)

    def _rows(self, state: TableState, group: str, columns: Sequence[str] | None = None) -> Sql:
        return state.relation(getattr(self._files, group), columns=columns)

    def newly_deleted_rows(self, columns: Sequence[str]) -> Sql:
        """Select the earlier state's rows that further delete files of the later one take away."""
        files = self._files
        if not files.new_deletes:
            return self.old.relation([], columns=columns)
        return sql(
            "SELECT {columns} FROM ({rows}) AS d SEMI JOIN (SELECT regexp_replace(file_path, "
            "'^file://', '') AS f, pos FROM read_parquet([{paths}], hive_partitioning=false)) AS x "
            "ON x.f = d.{file} AND x.pos = d.{position}",
            columns=identifiers(columns),
            rows=self.old.relation(files.deleted_from_before, columns=columns, with_position=True),
            paths=[duckdb_pattern(path) for path in files.new_deletes],
            file=Identifier(FILE),
            position=Identifier(POSITION),
        )

    def _read(self, query: Sql) -> pa.RecordBatchReader:
        connection = connect()
        states = (self.old, self.new)
        for state in states:
            use_object_store(connection, state.io, state.metadata.location)
        allow_only_files_of(connection, states)
        return connection.sql(query).to_arrow_reader(_BATCH_ROWS)


@dataclass(frozen=True)
class _ChangedFiles:
    """The data files of two states, by what became of them.

    Attributes:
        removed: Files of the earlier state that the later one does not hold as they were.
        added: Files of the later state that the earlier one does not hold so.
        deleted_from: Files of the later state that only got further delete files.
        deleted_from_before: The same files in the earlier state.
    """

    removed: list[FileScanTask]
    added: list[FileScanTask]
    deleted_from: list[FileScanTask]
    deleted_from_before: list[FileScanTask]

    @property
    def new_deletes(self) -> list[str]:
        """Addresses of the further delete files."""
        before = {d.file_path for task in self.deleted_from_before for d in task.delete_files}
        after = {d.file_path for task in self.deleted_from for d in task.delete_files}
        return sorted(after - before)


def _find_changed_files(
    old_tasks: Sequence[FileScanTask], new_tasks: Sequence[FileScanTask]
) -> _ChangedFiles:
    old_files = {task.file.file_path: task for task in old_tasks}
    changed = _ChangedFiles([], [], [], [])
    for task in new_tasks:
        before = old_files.pop(task.file.file_path, None)
        if before is None:
            changed.added.append(task)
        elif _deletes(before) < _deletes(task):
            changed.deleted_from.append(task)
            changed.deleted_from_before.append(before)
        elif _deletes(before) != _deletes(task):
            changed.added.append(task)
            changed.removed.append(before)
    changed.removed.extend(old_files.values())
    return changed


def _deletes(task: FileScanTask) -> set[str]:
    return {file.file_path for file in task.delete_files}


def _same_rows(columns: Sequence[str]) -> Sql:
    """Build a condition that two rows agree in every column; as text too, where -0.0 is not 0.0."""
    as_text = [
        sql(
            "CAST(n.{c} AS VARCHAR) IS NOT DISTINCT FROM CAST(o.{c} AS VARCHAR)",
            c=Identifier(column),
        )
        for column in columns
    ]
    return all_of([same_values("n", "o", columns), *as_text])
