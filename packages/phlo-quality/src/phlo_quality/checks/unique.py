"""No repeated keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from phlo.sql import Identifier, Sql, all_of, identifiers, qualified, sql

from phlo_quality.arguments import column_names
from phlo_quality.checks.base import CheckOptions, RowCheck

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from phlo_quality.rows import JudgedRows


class UniqueCheck(RowCheck):
    """No repeated keys: every row whose key occurs again fails.

    Partners are sought in the whole table, also where only a partition or a load is judged. Rows
    with a null or NaN in the columns are passed over.

    Args:
        columns: Columns of the key, together.
        allow_threshold: Share of rows (0-1) that may fail.
        **options: ``name``, ``severity``, ``description``.

    Raises:
        InvalidArgumentError: ``columns`` is no list of different names.

    Source: developer guide, "Built-in Checks".
    """

    verb = "share their key with another row"

    def __init__(
        self,
        columns: Sequence[str],
        allow_threshold: float = 0.0,
        **options: Unpack[CheckOptions],
    ) -> None:
        super().__init__(allow_threshold=allow_threshold, **options)
        self.columns = column_names(self, "columns", columns)

    def measures(self, rows: JudgedRows) -> Mapping[str, Sql]:
        """Return the number of judged rows of repeated keys, as a subquery."""
        if rows.is_whole:
            counts = "(SELECT coalesce(sum({n}), 0) FROM ({keys}))"
            return {"failed_count": sql(counts, n=_COUNT, keys=self._repeated(rows))}
        return {"failed_count": sql("(SELECT count(*) FROM ({f}))", f=self._failing(rows))}

    def failing_rows(self, rows: JudgedRows) -> Sql:
        """Build a query for the judged rows of repeated keys, partners beside one another."""
        order = [qualified("j", c) for c in self.columns]
        return sql("{failing} ORDER BY {order}", failing=self._failing(rows), order=order)

    def _failing(self, rows: JudgedRows) -> Sql:
        return sql(
            "SELECT j.* FROM {judged} AS j JOIN ({keys}) AS k ON {same}",
            judged=rows.judged,
            keys=self._repeated(rows),
            same=_equal("j", "k", self.columns),
        )

    def _repeated(self, rows: JudgedRows) -> Sql:
        """Select keys of the judged rows that occur more than once in the table."""
        return sql(
            "SELECT {key}, count(*) AS {n} FROM {whole} AS t WHERE {has} AND {judged}"
            " GROUP BY {key} HAVING count(*) > 1",
            key=identifiers(self.columns),
            n=_COUNT,
            whole=rows.whole,
            has=rows.has_values(self.columns),
            judged=self._has_judged_key(rows),
        )

    def _has_judged_key(self, rows: JudgedRows) -> Sql:
        if rows.is_whole:
            return Sql("TRUE")
        same = _equal("t", "d", self.columns)
        return sql("EXISTS (SELECT 1 FROM {j} AS d WHERE {same})", j=rows.judged, same=same)


_COUNT = Identifier("__phlo_count")


def _equal(left: str, right: str, columns: Sequence[str]) -> Sql:
    return all_of([f"{qualified(left, c)} = {qualified(right, c)}" for c in columns])
