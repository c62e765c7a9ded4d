"""Planning a load: which stored rows go, which rows come, and what becomes of each.

All work on rows is SQL in DuckDB over the load and the table's files; a plan is the table
``removed`` (file, position) and a SELECT of the new rows.
"""

# pyright: reportCallIssue=false
# pyiceberg's models take their fields by name; a type checker sees the aliases alone.

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phlo import precedence
from phlo.errors import FatalRunError, MovedHeadError
from phlo.names import INGESTED_AT_COLUMN, PARTITION_DATE_COLUMN
from phlo.sql import Identifier, Sql, all_of, identifiers, qualified, same_values, sql
from phlo.sql import partition_predicate as in_partition
from phlo.values import Append, LoadAccount, Merge, Replace
from pyiceberg.expressions import (
    And,
    BooleanExpression,
    GreaterThanOrEqual,
    LessThan,
    LessThanOrEqual,
)

from phlo_iceberg.read.state import FILE, POSITION, TableState
from phlo_iceberg.write.batches import stream
from phlo_iceberg.write.matching import INCOMING, KEYS, MATCHES, Matcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb
    import pyarrow as pa
    import pyarrow.dataset as ds
    from phlo.names import Partition
    from phlo.values import How
    from pyiceberg.table import FileScanTask

LOAD, DELETED = Identifier("load"), Identifier("deleted")
_FILE, _POSITION = Identifier(FILE), Identifier(POSITION)


class OvertakenError(FatalRunError):
    """A later extraction of the same partition has been published already."""


@dataclass(frozen=True)
class Plan:
    """What a load does to a table.

    Attributes:
        new_rows: A SELECT of the rows to write, in the order of the table's columns.
        new_row_count: How many these are.
        removed: Positions of the stored rows that go, by file, each list sorted.
        tasks: The files that hold them; for a merge all that hold a key of the load.
        account: Where the load's rows go.
        passed_over: A SELECT of the keys of rows that lost against the stored row, and of
            deletes; ``None`` where every row stands in the table.
        deleted: A SELECT of the deletes that did not lose: key, ``order_by`` and times; ``None``
            where the load has none.
    """

    new_rows: Sql
    new_row_count: int
    removed: dict[str, pa.Array]
    tasks: list[FileScanTask]
    account: LoadAccount
    passed_over: Sql | None = None
    deleted: Sql | None = None


class Planner:
    """Plans one load of one table.

    Args:
        connection: A DuckDB connection of its own; relations and temporary tables are made.
        state: The table as it is, schema changes of the same commit applied.
        rows: The load.
        account: What is counted already.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        state: TableState,
        rows: ds.Dataset,
        account: LoadAccount,
    ) -> None:
        self._db, self._state, self._account = connection, state, account
        self._names = [f.name for f in state.schema.fields]
        self._given = set(rows.schema.names)
        self._rows = rows
        # DuckDB guesses a thousand rows a file, and would hash the table instead of the load.
        connection.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
        connection.register(LOAD, rows)
        connection.execute(sql("CREATE TEMP VIEW {v} AS {s}", v=INCOMING, s=self._incoming(rows)))
        self._load_count = rows.count_rows()

    def plan(self, how: How) -> Plan:
        """Plan by the way the load is to be written."""
        match how:
            case Merge():
                return self._plan_merge(how)
            case Append(partition=partition, on_rerun="replace") if partition is not None:
                return self._plan_replace(Replace(partition))
            case Append():
                return self._plan_insert()
            case Replace():
                return self._plan_replace(how)

    def _incoming(self, rows: ds.Dataset) -> Sql:
        """Cast the load to the table's columns and types; extra columns stay for the plan."""
        extra = [n for n in rows.schema.names if n not in self._names]
        self._state.refuse_same_letters(extra)
        columns = [
            sql("CAST({c} AS {t}) AS {c}", c=Identifier(n), t=self._state.duckdb_type(n))
            if n in self._given
            else self._state.typed_null(n)
            for n in self._names
        ]
        return sql("SELECT {c} FROM {load}", c=[*columns, *identifiers(extra)], load=LOAD)

    # -- append and replace

    def _plan_insert(self) -> Plan:
        account = self._account.plus(inserted=self._load_count)
        self._db.register(LOAD, stream(self._rows))  # nothing else reads them
        return Plan(self._select_rows(), self._load_count, {}, [], account)

    def _plan_replace(self, how: Replace) -> Plan:
        partition = how.partition
        tasks = self._state.tasks(_partition_filter(self._state, partition))
        condition = (
            in_partition(partition) if self._has_partition_column and partition else Sql("TRUE")
        )
        if partition is not None and not self._has_partition_column:
            raise FatalRunError(
                f"{self._state.name} has no column {PARTITION_DATE_COLUMN!r}, so one partition of "
                "it cannot be replaced.",
                hint='Keep add_metadata_columns=True, or set merge_config={"on_rerun": "append"}.',
            )
        self._create_stored("stored", tasks, self._names)
        self._db.execute(
            sql(
                "CREATE TEMP TABLE removed AS SELECT {f} AS file, {p} AS pos FROM stored WHERE {c}",
                f=_FILE,
                p=_POSITION,
                c=condition,
            )
        )
        if how.revises is None and not how.compares_metadata:
            self._refuse_overtaken(condition)
        elif how.revises not in (None, self._state.snapshot_id):
            raise MovedHeadError(f"{self._state.name} was changed since its rows were read.")
        removed = self._count(Identifier("removed"))
        if removed == self._load_count and self._same_contents(condition, how):
            return Plan(
                self._select_rows(), 0, {}, [], self._account.plus(unchanged=self._load_count)
            )
        account = self._account.plus(inserted=self._load_count, removed=removed)
        return Plan(self._select_rows(), self._load_count, self._removed(), tasks, account)

    def _refuse_overtaken(self, condition: Sql) -> None:
        if INGESTED_AT_COLUMN not in self._names or INGESTED_AT_COLUMN not in self._given:
            return
        column = Identifier(INGESTED_AT_COLUMN)
        (stored,) = self._row(sql("SELECT max({c}) FROM stored WHERE {w}", c=column, w=condition))
        (loaded,) = self._row(sql("SELECT min({c}) FROM {l}", c=column, l=INCOMING))
        if stored is not None and loaded is not None and stored > loaded:
            raise OvertakenError(
                f"{self._state.name} holds rows that were extracted later than these; "
                "a later attempt has overtaken this one.",
                got=f"extracted at {loaded}",
                expected=f"later than {stored}",
                hint="Nothing is lost: the table has the later rows. Run the partition again.",
            )

    def _same_contents(self, condition: Sql, how: Replace) -> bool:
        """Return whether the load has the stored rows, of which there are as many."""
        names = precedence.compared_columns(how, self._names, self._given)
        load = sql("SELECT {c} FROM {l}", c=identifiers(names) or Sql("1"), l=INCOMING)
        stored = sql(
            "SELECT {c} FROM stored WHERE {w}", c=identifiers(names) or Sql("1"), w=condition
        )
        if names and not self._db.execute(_differs_in_order(load, stored, names)).fetchall():
            return True
        difference = sql("{l} EXCEPT ALL {s} LIMIT 1", l=load, s=stored)
        return not self._db.execute(difference).fetchall()

    # -- merge

    def _plan_merge(self, how: Merge) -> Plan:
        keys = sql("SELECT {k} FROM {l}", k=identifiers(how.key), l=INCOMING)
        self._db.execute(sql("CREATE TEMP TABLE {t} AS {k}", t=KEYS, k=keys))
        bounds = self._key_bounds(how)
        self._check_keys(how, bounds)
        matcher = Matcher(
            self._db,
            self._state,
            how.key,
            precedence.compared_columns(how, self._names, self._given),
            precedence.stored_wins(how, self._names, self._given),
            precedence.is_delete(how),
        )
        tasks = matcher.match(self._candidates(how, bounds))
        self._meet_deleted(how)
        counts = self._judge(how)
        # Where no stored row stands, as is most common, nothing has to be looked up by key again.
        stands = bool(counts.keys() - {"update", "delete"})
        self._create_removed(how, stands=stands)
        is_written = self._is_written(how, stands=stands)
        is_whole = not (stands or how.delete_column)
        new_count = self._load_count if is_whole else self._count_where(is_written)
        deletes = self._count_where(precedence.is_delete(how)) if how.delete_column else 0
        updated = counts.get("update", 0)
        account = self._account.plus(
            inserted=new_count - updated,
            updated=updated,
            unchanged=counts.get("unchanged", 0),
            deduplicated=counts.get("passed", 0),
            deleted=deletes - counts.get("passed_delete", 0),
            removed=self._count_deleted(how),
            out_of_order=self._out_of_order(how, updated),
        ).plus(deduplicated=counts.get("passed_delete", 0))
        new_rows = self._select_rows(where=is_written)
        return Plan(
            new_rows,
            new_count,
            self._removed(),
            tasks,
            account,
            self._passed_over(how),
            self._deleted(how),
        )

    def _create_removed(self, how: Merge, *, stands: bool) -> None:
        kind, chosen = Sql("VIEW"), Sql("matches")
        if stands:
            kind = Sql("TABLE")
            chosen = sql(
                "matches m JOIN verdicts v ON {same} "
                "WHERE v.__phlo_verdict IN ('update', 'delete')",
                same=same_values("m", "v", how.key),
            )
        select = sql("SELECT __phlo_file AS file, __phlo_pos AS pos FROM {c}", c=chosen)
        self._db.execute(sql("CREATE TEMP {k} removed AS {s}", k=kind, s=select))

    def _check_keys(self, how: Merge, bounds: Sequence[_Bounds]) -> None:
        repeated_keys = self._db.execute(
            sql(
                "SELECT {k} FROM {l} GROUP BY {k} HAVING count(*) > 1 LIMIT 1",
                k=identifiers(how.key),
                l=KEYS,
            )
        ).fetchall()
        if repeated_keys or any(b.count < self._load_count for b in bounds):
            raise FatalRunError(
                f"Rows to merge into {self._state.name} need unique keys without nulls.",
                got=f"the key {repeated_keys[0]!r} twice" if repeated_keys else "a null key",
                expected=f"one row per {', '.join(how.key)}",
            )

    def _key_bounds(self, how: Merge) -> list[_Bounds]:
        facts = [sql("count({k}), min({k}), max({k})", k=Identifier(column)) for column in how.key]
        row = self._row(sql("SELECT {f} FROM {l}", f=facts, l=KEYS))
        return [_Bounds(column, *row[3 * n : 3 * n + 3]) for n, column in enumerate(how.key)]

    def _candidates(self, how: Merge, bounds: Sequence[_Bounds]) -> list[FileScanTask]:
        """Find the files that may hold a key of the load; for confined keys, of its partition."""
        if not self._load_count:
            return []
        confined = _partition_filter(self._state, how.partition)
        conditions = [confined] if confined and how.key_scope == "partition" else []
        conditions += [condition for b in bounds if (condition := b.filter)]
        if len(conditions) < 2:
            return self._state.tasks(next(iter(conditions), None))
        return self._state.tasks(And(*conditions))

    def _judge(self, how: Merge) -> dict[str, int]:
        """Fill ``verdicts``, one per key met; returns how many there are of each."""
        self._db.execute(
            sql(
                "CREATE TEMP TABLE verdicts AS SELECT {keys}, {verdict} AS __phlo_verdict "
                "FROM matches GROUP BY {keys}",
                keys=identifiers(how.key),
                verdict=precedence.VERDICT,
            )
        )
        counts = "SELECT __phlo_verdict, count(*) FROM verdicts GROUP BY 1"
        return dict(self._db.execute(counts).fetchall())

    def _meet_deleted(self, how: Merge) -> None:
        """Add to ``matches`` the keys whose rows are older than a delete by another load."""
        if how.deleted is None:
            return
        self._db.register(DELETED, how.deleted)
        self._db.execute(
            sql(
                "INSERT INTO {matches} SELECT {keys}, '', 0, FALSE, TRUE, {is_delete} "
                "FROM {deleted} AS s JOIN {l} AS l ON {same} WHERE {wins}",
                matches=MATCHES,
                keys=[qualified("l", k) for k in how.key],
                is_delete=precedence.is_delete(how),
                deleted=DELETED,
                l=INCOMING,
                same=same_values("s", "l", how.key),
                wins=precedence.delete_wins(how, self._names, self._given),
            )
        )

    def _deleted(self, how: Merge) -> Sql | None:
        if not how.delete_column:
            return None
        return sql(
            "SELECT {c} FROM {l} AS l WHERE {d} AND NOT EXISTS (SELECT 1 FROM verdicts v "
            "WHERE v.__phlo_verdict = 'passed_delete' AND {same})",
            c=[qualified("l", name) for name in precedence.deleted_columns(how, self._names)],
            l=INCOMING,
            d=precedence.is_delete(how),
            same=same_values("l", "v", how.key),
        )

    def _is_written(self, how: Merge, *, stands: bool) -> Sql:
        """Build the condition that a row of the load is written: rows of deleted keys are not."""
        is_no_delete = sql("NOT ({d})", d=precedence.is_delete(how))
        if not stands:
            return is_no_delete
        kept = sql(
            "NOT EXISTS (SELECT 1 FROM verdicts v WHERE v.__phlo_verdict <> 'update' AND {same})",
            same=same_values("l", "v", how.key),
        )
        return all_of([kept, is_no_delete])

    def _count_deleted(self, how: Merge) -> int:
        """Count stored rows taken away for good; those updated come back."""
        if not how.delete_column:
            return 0
        (count,) = self._row(
            sql(
                "SELECT count(*) FROM matches m JOIN verdicts v ON {same} "
                "WHERE v.__phlo_verdict = 'delete'",
                same=same_values("m", "v", how.key),
            )
        )
        return count

    def _passed_over(self, how: Merge) -> Sql:
        return sql(
            "SELECT {k} FROM verdicts WHERE __phlo_verdict LIKE 'passed%' "
            "UNION ALL SELECT {lk} FROM {l} AS l WHERE {d}",
            k=identifiers(how.key),
            lk=[qualified("l", k) for k in how.key],
            l=INCOMING,
            d=precedence.is_delete(how),
        )

    def _out_of_order(self, how: Merge, updated: int) -> int:
        """Count updates by a load that is older than the newest partition of the table."""
        if not updated or how.order_by or how.partition is None or not self._has_partition_column:
            return 0
        after = GreaterThanOrEqual(PARTITION_DATE_COLUMN, how.partition.end)
        return updated if self._state.tasks(after) else 0

    # -- shared

    @property
    def _has_partition_column(self) -> bool:
        return PARTITION_DATE_COLUMN in self._names

    def _create_stored(
        self, name: str, tasks: Sequence[FileScanTask], columns: Sequence[str]
    ) -> None:
        rows = self._state.relation(tasks, columns=columns, with_position=True)
        self._db.execute(sql("CREATE TEMP VIEW {v} AS {r}", v=Identifier(name), r=rows))

    def _select_rows(self, where: Sql | None = None) -> Sql:
        return sql(
            "SELECT {c} FROM {l} AS l WHERE {w}",
            c=[qualified("l", n) for n in self._names],
            l=INCOMING,
            w=where or Sql("TRUE"),
        )

    def _removed(self) -> dict[str, pa.Array]:
        rows = self._db.sql(
            "SELECT file, list(pos ORDER BY pos) AS pos FROM removed GROUP BY file"
        ).to_arrow_table()
        return dict(
            zip(rows["file"].to_pylist(), (found.values for found in rows["pos"]), strict=True)
        )

    def _count(self, relation: Identifier) -> int:
        return self._row(sql("SELECT count(*) FROM {r}", r=relation))[0]

    def _count_where(self, condition: Sql) -> int:
        return self._row(sql("SELECT count(*) FROM {l} AS l WHERE {c}", l=INCOMING, c=condition))[0]

    def _row(self, statement: Sql) -> tuple[Any, ...]:
        (row,) = self._db.execute(statement).fetchall()
        return row


def _differs_in_order(left: Sql, right: Sql, names: Sequence[str]) -> Sql:
    """Build a query for one row that differs from that in its place: a third of EXCEPT's cost.

    Rows of a table that was written from the same query are most often in the same order.
    """
    same = same_values("l", "r", names)
    return sql(
        "SELECT 1 FROM ({l}) AS l POSITIONAL JOIN ({r}) AS r WHERE NOT ({same}) LIMIT 1",
        l=left,
        r=right,
        same=same,
    )


@dataclass(frozen=True)
class _Bounds:
    """What a load's key column holds.

    Attributes:
        column: Its name.
        count: Values that are not null.
        low: The least; ``None``: there is none.
        high: The greatest; NaN is greater than any number.
    """

    column: str
    count: int
    low: Any
    high: Any

    @property
    def filter(self) -> BooleanExpression | None:
        """The condition that a stored key may be one of these; ``None`` tells nothing."""
        if not (_is_bound(self.low) and _is_bound(self.high)):
            return None
        return And(
            GreaterThanOrEqual(self.column, self.low), LessThanOrEqual(self.column, self.high)
        )


def _is_bound(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _partition_filter(state: TableState, partition: Partition | None) -> BooleanExpression | None:
    if partition is None or PARTITION_DATE_COLUMN not in state.schema.column_names:
        return None
    column = PARTITION_DATE_COLUMN
    return And(GreaterThanOrEqual(column, partition.date), LessThan(column, partition.end))
