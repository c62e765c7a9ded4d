"""Find the rows and columns by which two states of a table differ, from the files that differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phlo.branches import ColumnChange, TableDifference
from phlo.names import is_metadata_column
from phlo.sql import Identifier, Sql, all_of, qualified, same_values, sql, union_all

from phlo_iceberg.read.changes import SnapshotChanges
from phlo_iceberg.read.connection import connect, use_object_store
from phlo_iceberg.read.state import TableState, allow_only_files_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import duckdb
    from phlo.names import TableName
    from pyiceberg.types import NestedField

_OLD, _NEW = Identifier("o"), Identifier("n")


def compare_states(
    table: TableName,
    old: TableState | None,
    new: TableState | None,
    *,
    key: Sequence[str],
    samples: int,
) -> TableDifference:
    """Compare two states of a table.

    Files that both states have with the same deletes are not read, so that the cost is that of what
    changed.

    Args:
        table: The table.
        old: The earlier state; ``None`` where there was no table.
        new: The later state; ``None`` where there is none any more.
        key: Columns that are unique in both; without them rows are compared as multisets.
        samples: Number of rows to give as examples of each kind.
    """
    columns = _column_changes(old, new)
    present = new or old
    if present is None:
        return TableDifference(table)
    empty = TableState(table, present.metadata, present.io, None)
    return _Comparison(old or empty, new or empty, key).run(table, columns, samples)


def _column_changes(old: TableState | None, new: TableState | None) -> tuple[ColumnChange, ...]:
    before = {f.field_id: f for f in old.schema.fields} if old else {}
    after = {f.field_id: f for f in new.schema.fields} if new else {}
    changes = [
        ColumnChange(
            (after.get(i) or before[i]).name,
            _type_of(before.get(i)),
            _type_of(after.get(i)),
            before[i].name if i in before and i in after else None,
        )
        for i in dict.fromkeys([*before, *after])
    ]
    content = (change for change in changes if not is_metadata_column(change.name))
    return tuple(c for c in content if c.before != c.after or c.is_renamed)


def _type_of(field: NestedField | None) -> str | None:
    return str(field.field_type) if field else None


@dataclass(frozen=True)
class _Comparison:
    """Two states that have been found to exist."""

    old: TableState
    new: TableState
    wanted_key: Sequence[str]

    @property
    def columns(self) -> dict[str, str]:
        """Content columns of both states: the old name by the new one."""
        before = {f.field_id: f.name for f in self.old.schema.fields}
        return {
            field.name: before[field.field_id]
            for field in self.new.schema.fields
            if field.field_id in before and not is_metadata_column(field.name)
        }

    @property
    def key(self) -> list[str]:
        """The key, where both states have all of its columns."""
        return list(self.wanted_key) if set(self.wanted_key) <= set(self.columns) else []

    def run(
        self, table: TableName, columns: tuple[ColumnChange, ...], samples: int
    ) -> TableDifference:
        connection = connect()
        try:
            self._read_changed_rows(connection)
            measured = self._by_key(connection) if self.key else self._as_multisets(connection)
            added, removed, changed, by_column = measured
            return TableDifference(
                table,
                columns=columns,
                key=tuple(self.key),
                added=added,
                removed=removed,
                changed=changed,
                changed_columns=by_column,
                samples=dict(self._samples(connection, samples)) if samples else {},
            )
        finally:
            connection.close()

    def _read_changed_rows(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make the tables ``n`` and ``o`` of the rows in files that differ."""
        for state in (self.old, self.new):
            use_object_store(connection, state.io, state.metadata.location)
        allow_only_files_of(connection, [self.old, self.new])
        changes = SnapshotChanges(self.old, self.new)
        names = list(self.columns.values())
        removed = union_all([changes.removed_rows(names), changes.newly_deleted_rows(names)])
        new_names = [
            sql("{old} AS {new}", old=Identifier(old), new=Identifier(new))
            for new, old in self.columns.items()
        ]
        for name, columns, rows in (
            (_NEW, [Identifier(c) for c in self.columns], changes.added_rows(list(self.columns))),
            (_OLD, new_names, removed),
        ):
            connection.execute(
                sql(
                    "CREATE TEMP TABLE {t} AS SELECT {columns} FROM ({rows})",
                    t=name,
                    columns=columns or Sql("1 AS one"),
                    rows=rows,
                )
            )

    def _by_key(
        self, connection: duckdb.DuckDBPyConnection
    ) -> tuple[int, int, int, dict[str, int]]:
        others = [column for column in self.columns if column not in self.key]
        counts = [sql("count(*) FILTER (WHERE NOT ({s}))", s=_same(c)) for c in others]
        row = connection.execute(
            sql(
                "SELECT {counts} FROM {changed}",
                counts=[Sql("count(*)"), *counts],
                changed=self._changed,
            )
        ).fetchall()[0]
        by_column = {c: n for c, n in zip(others, row[1:], strict=True) if n}
        added, removed = (_count(connection, rows) for rows in (self._added, self._removed))
        return added, removed, row[0], dict(sorted(by_column.items(), key=lambda kv: -kv[1]))

    def _as_multisets(
        self, connection: duckdb.DuckDBPyConnection
    ) -> tuple[int, int, int, dict[str, int]]:
        return _count(connection, self._added), _count(connection, self._removed), 0, {}

    @property
    def _added(self) -> Sql:
        return self._only_in("n", "o")

    @property
    def _removed(self) -> Sql:
        return self._only_in("o", "n")

    def _only_in(self, one: str, other: str) -> Sql:
        left, right = Identifier(one), Identifier(other)
        if not self.key:
            return sql("(SELECT * FROM {l} EXCEPT ALL SELECT * FROM {r}) AS d", l=left, r=right)
        return sql(
            "(SELECT {l}.* FROM {l} ANTI JOIN {r} ON {same}) AS d",
            l=left,
            r=right,
            same=same_values(one, other, self.key),
        )

    @property
    def _changed(self) -> Sql:
        others = [column for column in self.columns if column not in self.key]
        same = all_of([_same(column) for column in others]) if others else Sql("TRUE")
        return sql(
            "{n} JOIN {o} ON {key} AND NOT ({same})",
            n=_NEW,
            o=_OLD,
            key=same_values("n", "o", self.key),
            same=same,
        )

    def _samples(
        self, connection: duckdb.DuckDBPyConnection, limit: int
    ) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        order = sql(" ORDER BY {k}", k=[Identifier(c) for c in self.key]) if self.key else Sql("")
        for name, rows in (("added", self._added), ("removed", self._removed)):
            yield (
                name,
                _rows(
                    connection,
                    sql("SELECT * FROM {r}{o} LIMIT {l}", r=rows, o=order, l=limit),
                ),
            )
        if self.key:
            columns = [
                *(sql("{c} AS {k}", c=qualified("n", k), k=Identifier(k)) for k in self.key),
                *(
                    sql("{c} AS {a}", c=qualified(side, c), a=Identifier(f"{c} {when}"))
                    for c in self.columns
                    if c not in self.key
                    for side, when in (("o", "before"), ("n", "after"))
                ),
            ]
            keys = [qualified("n", k) for k in self.key]
            yield (
                "changed",
                _rows(
                    connection,
                    sql(
                        "SELECT {c} FROM {r} ORDER BY {k} LIMIT {l}",
                        c=columns,
                        r=self._changed,
                        k=keys,
                        l=limit,
                    ),
                ),
            )


def _same(column: str) -> Sql:
    """Build a condition that both rows have one value; as text too, where -0.0 is not 0.0."""
    return sql(
        "CAST(n.{c} AS VARCHAR) IS NOT DISTINCT FROM CAST(o.{c} AS VARCHAR)",
        c=Identifier(column),
    )


def _count(connection: duckdb.DuckDBPyConnection, rows: Sql) -> int:
    return connection.execute(sql("SELECT count(*) FROM {r}", r=rows)).fetchall()[0][0]


def _rows(connection: duckdb.DuckDBPyConnection, query: Sql) -> list[dict[str, Any]]:
    return connection.sql(query).to_arrow_table().to_pylist()
