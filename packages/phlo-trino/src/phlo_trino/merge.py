"""Merge a load into a table of a work catalog, by the table store's own rules of precedence.

The load, and the keys that other loads deleted, stand on the branch as tables. What becomes of each
key that meets a stored row is written to another one, which the account is counted from and the
statement MERGE is made of: stored rows go by key, and rows of the load come as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from phlo import precedence
from phlo.errors import FatalRunError
from phlo.names import PARTITION_DATE_COLUMN, TableName
from phlo.sql import (
    Identifier,
    Sql,
    all_of,
    any_of,
    identifiers,
    qualified,
    same_values,
    sql,
    union_all,
)
from phlo.work_catalogs import DELETED, LOAD, WORK_NAMESPACE, MergeAccount

from phlo_trino.server import run_to_end

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from phlo.values import Merge

    from phlo_trino.settings import TrinoSettings

_VERDICTS = TableName(WORK_NAMESPACE, "verdicts")
_IS_NEW = Identifier("__phlo_is_new")
_DELETE = "delete"


@dataclass(frozen=True)
class BranchMerge:
    """One merge of the rows of :data:`phlo.work_catalogs.LOAD` into a table of their branch.

    Attributes:
        settings: Where Trino is, and the work catalog.
        table: The table that rows are merged into.
        how: The merge; ``how.deleted`` stands in :data:`phlo.work_catalogs.DELETED`.
        names: Columns of the table.
        given: Columns of the load.
    """

    settings: TrinoSettings
    table: TableName
    how: Merge
    names: Sequence[str]
    given: Sequence[str]

    def run(self) -> MergeAccount:
        """Merge the rows.

        Raises:
            FatalRunError: A key occurs twice in the load, or is null.
            PhloError: Trino refuses a statement, or cannot be reached.
        """
        self._check_keys()
        out_of_order = self._has_later_partition  # before rows of the load are in the table
        self._run(sql("CREATE TABLE {t} AS {s}", t=_VERDICTS, s=self._verdicts()))
        account = self._count(is_out_of_order=out_of_order)
        if account.written or account.removed:
            self._run(self._statement(is_append=not account.removed))
        return account

    def put_delivered(self, name: str) -> None:
        """Make the rows of the load that stand in the table now a table of the branch."""
        table, rows = TableName(WORK_NAMESPACE, name), self._loaded("NOT LIKE 'passed%'")
        columns = [qualified("l", n) for n in self._given_columns]
        self._run(sql("CREATE TABLE {t} AS SELECT {c} {r}", t=table, c=columns, r=rows))

    def deletes(self) -> Sql:
        """Build the query for the deletes that did not lose (see ``Staged.deleted``)."""
        columns = precedence.deleted_columns(self.how, self._given_columns)
        return sql(
            "SELECT {c} FROM {load} AS l LEFT JOIN {v} AS v ON {same} "
            "WHERE {d} AND coalesce(v.__phlo_verdict, '') <> 'passed_delete'",
            c=[qualified("l", n) for n in columns],
            load=LOAD,
            v=_VERDICTS,
            same=self._same_key("v", "l"),
            d=precedence.is_delete(self.how),
        )

    def returned_keys(self) -> Sql:
        """Build the query for the keys that other loads deleted and whose rows stand again."""
        return sql(
            "SELECT {k} {rows} AND EXISTS (SELECT 1 FROM {deleted} AS s WHERE {same})",
            k=[qualified("l", k) for k in self.how.key],
            rows=self._loaded("NOT LIKE 'passed%'"),
            deleted=DELETED,
            same=self._same_key("s", "l"),
        )

    # -- what becomes of each key

    def _verdicts(self) -> Sql:
        keys = identifiers(self.how.key)
        return sql(
            "SELECT {keys}, {verdict} AS __phlo_verdict, count_if(__phlo_is_stored) AS __phlo_rows "
            "FROM ({pairs}) GROUP BY {keys}",
            keys=keys,
            verdict=precedence.VERDICT,
            pairs=union_all([self._stored_pairs(), *self._deleted_pairs()]),
        )

    def _stored_pairs(self) -> Sql:
        """Pair rows of the load with stored ones."""
        compared = precedence.compared_columns(self.how, self.names, self.given)
        return sql(
            "SELECT {keys}, {same} AS __phlo_same, {loses} AS __phlo_loses, "
            "{delete} AS __phlo_is_delete, TRUE AS __phlo_is_stored "
            "FROM {t} AS s JOIN {load} AS l ON {join}",
            keys=[qualified("l", k) for k in self.how.key],
            same=same_values("s", "l", [n for n in compared if n not in self.how.key]),
            loses=precedence.stored_wins(self.how, self.names, self.given),
            delete=precedence.is_delete(self.how),
            t=self.table,
            load=LOAD,
            join=self._same_key("s", "l"),
        )

    def _deleted_pairs(self) -> Iterable[Sql]:
        """Pair rows of the load with later deletes by other loads."""
        if self.how.deleted is not None:
            yield sql(
                "SELECT {keys}, FALSE, TRUE, {delete}, FALSE FROM {deleted} AS s JOIN {load} AS l "
                "ON {join} WHERE {wins}",
                keys=[qualified("l", k) for k in self.how.key],
                delete=precedence.is_delete(self.how),
                deleted=DELETED,
                load=LOAD,
                join=self._same_key("s", "l"),
                wins=precedence.delete_wins(self.how, self.names, self.given),
            )

    def _count(self, *, is_out_of_order: bool) -> MergeAccount:
        rows = self._run(
            sql(
                "SELECT __phlo_verdict, count(*), sum(__phlo_rows) FROM {v} GROUP BY 1", v=_VERDICTS
            )
        )
        keys = {verdict: count for verdict, count, _ in rows}
        stored = {verdict: count for verdict, _, count in rows}
        select = sql(
            "SELECT count(*), count_if({d}) FROM {l} AS l",
            d=precedence.is_delete(self.how),
            l=LOAD,
        )
        ((loaded, deletes),) = self._run(select)
        passed, unchanged = keys.get("passed", 0), keys.get("unchanged", 0)
        updated, passed_deletes = keys.get("update", 0), keys.get("passed_delete", 0)
        written = loaded - deletes - passed - unchanged
        return MergeAccount(
            inserted=written - updated,
            updated=updated,
            unchanged=unchanged,
            passed_over=passed + passed_deletes,
            deletes=deletes - passed_deletes,
            deleted_rows=stored.get(_DELETE, 0),
            replaced_rows=stored.get("update", 0),
            out_of_order=updated if is_out_of_order else 0,
        )

    @cached_property
    def _has_later_partition(self) -> bool:
        """Whether the table has a row of a later partition than the load's."""
        partition = self.how.partition
        if partition is None or self.how.order_by or PARTITION_DATE_COLUMN not in self.names:
            return False
        select = sql(
            "SELECT count(*) FROM {t} WHERE {c} >= {end}",
            t=self.table,
            c=Identifier(PARTITION_DATE_COLUMN),
            end=partition.end,
        )
        return self._run(select)[0][0] > 0

    def _check_keys(self) -> None:
        keys = identifiers(self.how.key)
        null = any_of([sql("{k} IS NULL", k=k) for k in keys])
        select = sql(
            "SELECT {keys} FROM {l} GROUP BY {keys} HAVING count(*) > 1 OR {null} LIMIT 1",
            keys=keys,
            l=LOAD,
            null=null,
        )
        if broken := self._run(select):
            raise FatalRunError(
                f"Rows to merge into {self.table} need unique keys without nulls.",
                got=f"the key {tuple(broken[0])!r} twice, or a null in it",
                expected=f"one row per {', '.join(self.how.key)}",
            )

    # -- the statement

    def _statement(self, *, is_append: bool) -> Sql:
        columns = identifiers(self._given_columns)
        new = sql(
            "SELECT {c}, TRUE {rows}",
            c=[qualified("l", n) for n in self._given_columns],
            rows=self._loaded("= 'update'"),
        )
        if is_append:
            select = [qualified("l", n) for n in self._given_columns]
            return sql(
                "INSERT INTO {t} ({c}) SELECT {s} {rows}",
                t=self.table,
                c=columns,
                s=select,
                rows=self._loaded("= 'update'"),
            )
        return sql(
            "MERGE INTO {t} AS s USING ({old} UNION ALL {new}) AS n ({c}, {is_new}) "
            "ON NOT n.{is_new} AND {same} WHEN MATCHED THEN DELETE "
            "WHEN NOT MATCHED AND n.{is_new} THEN INSERT ({c}) VALUES ({values})",
            t=self.table,
            old=self._old_keys(),
            new=new,
            c=columns,
            is_new=_IS_NEW,
            same=self._same_key("s", "n"),
            values=[qualified("n", n) for n in self._given_columns],
        )

    def _old_keys(self) -> Sql:
        """Select the keys whose stored rows go, with nulls in all other columns."""
        columns = [
            qualified("v", n) if n in self.how.key else Sql("NULL") for n in self._given_columns
        ]
        return sql(
            "SELECT {c}, FALSE FROM {v} AS v WHERE v.__phlo_verdict IN ('update', 'delete')",
            c=columns,
            v=_VERDICTS,
        )

    def _loaded(self, verdict: str) -> Sql:
        """Build the part after SELECT for rows of the load that are no deletes.

        Args:
            verdict: A condition on the verdict of those that met a stored row; all others belong
                to the rows too.
        """
        return sql(
            "FROM {load} AS l LEFT JOIN {v} AS v ON {same} "
            "WHERE NOT ({d}) AND (v.__phlo_verdict IS NULL OR v.__phlo_verdict {verdict})",
            load=LOAD,
            v=_VERDICTS,
            same=self._same_key("v", "l"),
            d=precedence.is_delete(self.how),
            verdict=Sql(verdict),
        )

    @property
    def _given_columns(self) -> list[str]:
        return [name for name in self.names if name in self.given]

    def _same_key(self, left: str, right: str) -> Sql:
        """Build the condition that keys are equal: Trino hashes those alone, and none is null."""
        pairs = [(qualified(left, k), qualified(right, k)) for k in self.how.key]
        return all_of([sql("{a} = {b}", a=a, b=b) for a, b in pairs])

    def _run(self, statement: Sql) -> list[Sequence[Any]]:
        return run_to_end(self.settings, statement)
