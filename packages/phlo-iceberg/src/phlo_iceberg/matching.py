"""Which stored rows a load meets, and which of them it leaves as they are (R36-R38).

Keys are read first, of every file that may hold one; contents only of the files that do. Where the
load meets many files, one of them is looked at whole to find a column in which every row differs:
the others then need that column alone, and all columns only for rows that it does not tell apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from phlo.sql import Identifier, Sql, identifiers, qualified, same_values, sql

from phlo_iceberg.scan import FILE, POSITION, TableState, duckdb_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb
    from pyiceberg.table import FileScanTask

INCOMING, KEYS = Identifier("incoming"), Identifier("keys")
MET, MATCHES, _UNDECIDED = Identifier("met"), Identifier("matches"), Identifier("undecided")
_FILE, _POSITION = Identifier(FILE), Identifier(POSITION)

MIN_FILES_PER_SAMPLE = 10
"""How many times the rows of a sample the files must hold for it to be worth its cost."""

MAX_TELLING_SHARE = 0.5
"""Of the bytes of all columns; a larger one is not much cheaper to read than all."""


@dataclass(frozen=True)
class Matcher:
    """Fills ``matches``: key, file and position of every stored row met, and what is true of it.

    Columns of its own begin with ``__phlo_``, so that keys may have any name.

    Attributes:
        connection: Has the load as the view ``incoming``, its keys unique.
        state: The table.
        key: The columns by which rows meet.
        content: The columns in which they are compared.
        loses: Whether the load's row ``l`` loses against the stored row ``s``.
        is_delete: Whether the load's row deletes its key.
    """

    connection: duckdb.DuckDBPyConnection = field(repr=False)
    state: TableState
    key: Sequence[str]
    content: Sequence[str]
    loses: Sql
    is_delete: Sql

    def match(self, candidates: Sequence[FileScanTask]) -> list[FileScanTask]:
        """Fill the table; returns those files that hold rows it names."""
        self._meet(candidates)
        tasks = self._files_of(MET, candidates)
        self._create_matches()
        if tasks:
            self._compare_all(tasks)
        return tasks

    def _meet(self, candidates: Sequence[FileScanTask]) -> None:
        """Read the keys alone."""
        stored = self.state.relation(candidates, columns=self.key, with_position=True)
        select = sql(
            "SELECT {keys}, s.{file} AS __phlo_file, s.{pos} AS __phlo_pos "
            "FROM ({stored}) AS s JOIN {load} AS l ON {same}",
            keys=[qualified("l", k) for k in self.key],
            file=_FILE,
            pos=_POSITION,
            stored=stored,
            load=KEYS,
            same=same_values("s", "l", self.key),
        )
        self.connection.execute(sql("CREATE TEMP TABLE {t} AS {s}", t=MET, s=select))

    def _create_matches(self) -> None:
        self.connection.execute(
            sql(
                "CREATE TEMP TABLE {t} AS SELECT *, TRUE AS __phlo_same, TRUE AS __phlo_loses, "
                "TRUE AS __phlo_is_delete FROM {met} LIMIT 0",
                t=MATCHES,
                met=MET,
            )
        )

    def _compare_all(self, tasks: Sequence[FileScanTask]) -> None:
        columns = [name for name in self.content if name not in self.key]
        telling = self._telling_column(tasks, columns)
        if telling is None:
            self._compare(MET, tasks, columns)
            return
        self._compare(MET, tasks, [telling])
        self._take_undecided()
        undecided = self._files_of(_UNDECIDED, tasks)
        if undecided:
            self._compare(_UNDECIDED, undecided, columns)

    def _compare(
        self, rows: Identifier, tasks: Sequence[FileScanTask], columns: Sequence[str]
    ) -> None:
        judged = sql(
            "SELECT {keys}, m.__phlo_file, m.__phlo_pos, {same}, {loses}, {delete} FROM {joined}",
            keys=[qualified("m", k) for k in self.key],
            same=same_values("s", "l", columns),
            loses=self.loses,
            delete=self.is_delete,
            joined=self._stored_and_loaded(rows, tasks),
        )
        self.connection.execute(sql("INSERT INTO {t} {rows}", t=MATCHES, rows=judged))

    def _stored_and_loaded(self, rows: Identifier, tasks: Sequence[FileScanTask]) -> Sql:
        """The rows met, as ``s`` stored and as ``l`` loaded; found by position, no key is read."""
        return sql(
            "({stored}) AS s JOIN ({rows} AS m JOIN {load} AS l ON {same}) "
            "ON m.__phlo_file = s.{file} AND m.__phlo_pos = s.{pos}",
            stored=self.state.relation(tasks, with_position=True),
            rows=rows,
            file=_FILE,
            pos=_POSITION,
            load=INCOMING,
            same=same_values("m", "l", self.key),
        )

    def _telling_column(self, tasks: Sequence[FileScanTask], columns: Sequence[str]) -> str | None:
        """The smallest column in which every row met of one file differs, if it pays to look."""
        sample = min(tasks, key=lambda task: task.file.record_count)
        rows = sum(task.file.record_count for task in tasks)
        small = self._small(sample, columns)
        if not small or rows < MIN_FILES_PER_SAMPLE * sample.file.record_count:
            return None
        differs = [
            sql("bool_and({s} IS DISTINCT FROM {l})", s=qualified("s", c), l=qualified("l", c))
            for c in small
        ]
        joined = self._stored_and_loaded(MET, [sample])
        found = self.connection.execute(sql("SELECT {d} FROM {j}", d=differs, j=joined)).fetchone()
        telling = (c for c, tells in zip(small, found or (), strict=True) if tells)
        return next(telling, None)

    def _small(self, sample: FileScanTask, columns: Sequence[str]) -> list[str]:
        """The columns worth reading alone, the smallest first."""
        total = sum(self._bytes(sample, c) for c in columns)
        small = [c for c in columns if self._bytes(sample, c) <= MAX_TELLING_SHARE * total]
        return sorted(small, key=lambda c: self._bytes(sample, c))

    def _bytes(self, task: FileScanTask, column: str) -> int:
        field_id = self.state.schema.find_field(column).field_id
        return (task.file.column_sizes or {}).get(field_id, 0)

    def _take_undecided(self) -> None:
        """Put aside what one column did not tell apart."""
        select = sql(
            "SELECT {keys}, __phlo_file, __phlo_pos FROM {m} WHERE __phlo_same",
            keys=identifiers(self.key),
            m=MATCHES,
        )
        self.connection.execute(sql("CREATE TEMP TABLE {t} AS {s}", t=_UNDECIDED, s=select))
        self.connection.execute(sql("DELETE FROM {m} WHERE __phlo_same", m=MATCHES))

    def _files_of(self, rows: Identifier, tasks: Sequence[FileScanTask]) -> list[FileScanTask]:
        select = sql("SELECT DISTINCT __phlo_file FROM {r}", r=rows)
        paths = {path for (path,) in self.connection.execute(select).fetchall()}
        return [t for t in tasks if duckdb_path(t.file.file_path) in paths]
