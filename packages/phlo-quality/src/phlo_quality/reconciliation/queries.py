"""Queries that lay two tables side by side, group by group.

Both sides are aggregated, stacked with UNION ALL and grouped once more: other than a full outer
join this pairs NULL with NULL in every engine, and needs one pass over each table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phlo.sql import Identifier, Sql, all_of, quote_identifier, quote_table, sql

from phlo_quality.canonical import key_value
from phlo_quality.rows import JudgedRows
from phlo_quality.windows import within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phlo.names import Partition, TableName

    from phlo_quality.rows import Reader

SOURCE_ROWS, TARGET_ROWS = Identifier("source_rows"), Identifier("target_rows")


@dataclass(frozen=True)
class Side:
    """One of the two tables.

    Attributes:
        rows: Its rows that are compared.
        is_filtered: Whether the partition narrows them.
    """

    rows: JudgedRows
    is_filtered: bool

    @classmethod
    def read(
        cls,
        table: TableName,
        reader: Reader,
        *,
        partition: Partition | None,
        partition_column: str | None,
        where_clause: str | None,
    ) -> Side:
        """Return a table, narrowed by partition where it has the column, and by the clause."""
        whole = JudgedRows(table, reader.columns(table), quote_table(table))
        conditions: list[Sql] = []
        is_filtered = partition is not None and partition_column in whole.columns.names
        if partition is not None and partition_column is not None and is_filtered:
            conditions.append(within(whole, partition_column, partition))
        if where_clause is not None:
            conditions.append(Sql(where_clause))
        if not conditions:
            return cls(whole, is_filtered)
        rows = sql("(SELECT * FROM {t} WHERE {c})", t=table, c=all_of(conditions))
        return cls(JudgedRows(table, whole.columns, rows), is_filtered)


@dataclass(frozen=True)
class Pair:
    """A value of the source and the value of the target it must agree with.

    Attributes:
        name: For people; names the columns ``source <name>`` and ``target <name>``.
        source: Aggregate over the source's rows of a group.
        target: Aggregate over the target's rows of a group.
    """

    name: str
    source: Sql
    target: Sql

    @property
    def names(self) -> tuple[Identifier, Identifier]:
        """Columns of the two values in the paired rows."""
        return Identifier(f"source {self.name}"), Identifier(f"target {self.name}")


def paired(source: Side, target: Side, group_by: Sequence[str], pairs: Sequence[Pair]) -> Sql:
    """Build a query with a row per group: its columns, both sides' values and row counts.

    A group that a side lacks has NULL values and zero rows there. Without ``group_by`` there is
    one row for everything.
    """
    stacked = sql(
        "{source} UNION ALL {target}",
        source=_side(source, _keys(source, target, group_by), pairs, is_source=True),
        target=_side(target, _keys(target, source, group_by), pairs, is_source=False),
    )
    values = [name for pair in pairs for name in pair.names]
    return _grouped(
        [sql("max({v}) AS {v}", v=value) for value in values]
        + [sql("sum({n}) AS {n}", n=count) for count in (SOURCE_ROWS, TARGET_ROWS)],
        sql("({stacked})", stacked=stacked),
        _unchanged(group_by),
    )


Keys = Mapping[str, Sql]
"""What to group by: SQL by the name of the column."""


def _keys(side: Side, other: Side, names: Sequence[str]) -> Keys:
    return {name: key_value(side.rows, other.rows, name) for name in names}


def _unchanged(names: Sequence[str]) -> Keys:
    return {name: quote_identifier(name) for name in names}


def _side(side: Side, group_by: Keys, pairs: Sequence[Pair], *, is_source: bool) -> Sql:
    null, zero, count = Sql("NULL"), Sql("0"), Sql("count(*)")
    cells = [(p.source, null) if is_source else (null, p.target) for p in pairs]
    cells.append((count, zero) if is_source else (zero, count))
    names = [*(pair.names for pair in pairs), (SOURCE_ROWS, TARGET_ROWS)]
    values = [
        sql("{v} AS {n}", v=value, n=name)
        for two, both in zip(cells, names, strict=True)
        for value, name in zip(two, both, strict=True)
    ]
    return _grouped(values, side.rows.judged, group_by)


def _grouped(values: Sequence[Sql], rows: Sql, group_by: Keys) -> Sql:
    columns = _selected(group_by)
    query = sql("SELECT {v} FROM {rows}", v=[*columns, *values], rows=rows)
    return sql("{q} GROUP BY {g}", q=query, g=list(group_by.values())) if group_by else query


def _selected(keys: Keys) -> list[Sql]:
    return [
        value if value == quote_identifier(name) else sql("{v} AS {n}", v=value, n=Identifier(name))
        for name, value in keys.items()
    ]


def paired_by_hash(
    source: Side, target: Side, key: Sequence[str], hashes: tuple[Sql, Sql], differs: Identifier
) -> Sql:
    """Build a query with one row per key: its numbers of rows, and whether any row has no equal.

    Rows are equal when their hashes are; a key that occurs several times agrees when both sides
    have the same rows equally often.
    """
    digest = Identifier("__phlo_hash")
    sides = [
        sql(
            "SELECT {key}, {h} AS {digest}, {s} AS {source_rows}, {t} AS {target_rows} FROM {rows}",
            key=_selected(_keys(side, target if side is source else source, key)),
            h=value,
            digest=digest,
            s=1 if side is source else 0,
            t=0 if side is source else 1,
            source_rows=SOURCE_ROWS,
            target_rows=TARGET_ROWS,
            rows=side.rows.judged,
        )
        for side, value in zip((source, target), hashes, strict=True)
    ]
    counts = [sql("sum({n}) AS {n}", n=count) for count in (SOURCE_ROWS, TARGET_ROWS)]
    stacked = sql("({a} UNION ALL {b})", a=sides[0], b=sides[1])
    by_hash = _grouped(counts, stacked, _unchanged([*key, digest]))
    unequal = sql(
        "max(CASE WHEN {s} <> {t} THEN 1 ELSE 0 END) AS {d}",
        s=SOURCE_ROWS,
        t=TARGET_ROWS,
        d=differs,
    )
    return _grouped([*counts, unequal], sql("({q})", q=by_hash), _unchanged(key))
