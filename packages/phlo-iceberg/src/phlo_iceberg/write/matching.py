"""Which stored rows a load meets, and which of them it leaves as they are.

Keys are read first, of every file that may hold one; contents only of the files that do. Where
there are many files, one of them is looked at to find a column in which every row met differs. If
there is one it is read along with the keys, and all columns only of rows that it leaves undecided.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from phlo.sql import Identifier, Sql, identifiers, qualified, same_values, sql

from phlo_iceberg.read.connection import duckdb_path
from phlo_iceberg.read.state import FILE, POSITION, TableState

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
        columns = [name for name in self.content if name not in self.key]
        self._create_matches()
        telling = self._telling_column(candidates, columns)
        if telling is None:
            self._meet(candidates)
            self._compare(MET, self._files_of(MET, candidates), columns)
        else:
            self._insert([telling], self._by_key(candidates))
            self._take_undecided()
            self._compare(_UNDECIDED, self._files_of(_UNDECIDED, candidates), columns)
        return self._files_of(MATCHES, candidates)

    def _create_matches(self) -> None:
        self.connection.execute(
            sql(
                "CREATE TEMP TABLE {t} AS SELECT *, '' AS __phlo_file, 0::BIGINT AS __phlo_pos, "
                "TRUE AS __phlo_same, TRUE AS __phlo_loses, TRUE AS __phlo_is_delete "
                "FROM {keys} LIMIT 0",
                t=MATCHES,
                keys=KEYS,
            )
        )

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

    def _compare(
        self, rows: Identifier, tasks: Sequence[FileScanTask], columns: Sequence[str]
    ) -> None:
        if tasks:
            self._insert(columns, self._by_position(rows, tasks))

    def _insert(self, columns: Sequence[str], joined: Sql) -> None:
        judged = sql(
            "SELECT {keys}, s.{file}, s.{pos}, {same}, {loses}, {delete} FROM {joined}",
            keys=[qualified("l", k) for k in self.key],
            file=_FILE,
            pos=_POSITION,
            same=same_values("s", "l", columns),
            loses=self.loses,
            delete=self.is_delete,
            joined=joined,
        )
        self.connection.execute(sql("INSERT INTO {t} {rows}", t=MATCHES, rows=judged))

    def _by_key(self, tasks: Sequence[FileScanTask]) -> Sql:
        """Select the matched rows by key, ``s`` stored and ``l`` loaded."""
        return sql(
            "({stored}) AS s JOIN {load} AS l ON {same}",
            stored=self.state.relation(tasks, with_position=True),
            load=INCOMING,
            same=same_values("s", "l", self.key),
        )

    def _by_position(self, rows: Identifier, tasks: Sequence[FileScanTask]) -> Sql:
        """Select the matched rows by their known positions, without reading a stored key again."""
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

    def _telling_column(
        self, candidates: Sequence[FileScanTask], columns: Sequence[str]
    ) -> str | None:
        """Find the smallest column in which every matched row of one file differs, if it pays."""
        rows = sum(task.file.record_count for task in candidates)
        sample = candidates[len(candidates) // 2] if candidates else None
        if sample is None or rows < MIN_FILES_PER_SAMPLE * sample.file.record_count:
            return None
        small = self._small(sample, columns)
        return self._first_differing(sample, small) if small and self._is_met(sample) else None

    def _is_met(self, task: FileScanTask) -> bool:
        stored = self.state.relation([task], columns=self.key)
        same = same_values("s", "l", self.key)
        select = sql("SELECT 1 FROM ({s}) AS s JOIN {l} AS l ON {j}", s=stored, l=KEYS, j=same)
        return bool(self.connection.execute(sql("{q} LIMIT 1", q=select)).fetchall())

    def _first_differing(self, task: FileScanTask, columns: Sequence[str]) -> str | None:
        differs = [
            sql("bool_and({s} IS DISTINCT FROM {l})", s=qualified("s", c), l=qualified("l", c))
            for c in columns
        ]
        select = sql("SELECT {d} FROM {joined}", d=differs, joined=self._by_key([task]))
        ((*differing,),) = self.connection.execute(select).fetchall()
        return next((c for c, differs in zip(columns, differing, strict=True) if differs), None)

    def _small(self, sample: FileScanTask, columns: Sequence[str]) -> list[str]:
        """Return the columns worth reading alone, the smallest first."""
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
