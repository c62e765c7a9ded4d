"""Values that stand in another table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from phlo.names import TableName
from phlo.sql import Identifier, Sql, sql

from phlo_quality.arguments import column_name
from phlo_quality.checks.base import CheckOptions, RowCheck

if TYPE_CHECKING:
    from phlo_quality.rows import JudgedRows


class RelationshipCheck(RowCheck):
    """Every value stands in a column of another table; null and NaN pass.

    Args:
        column: The column judged.
        to_table: The other table, ``namespace.table``. In an audit that stages it too, its stage.
        to_column: The column there that must hold the value.
        allow_threshold: Share of rows (0-1) that may fail.
        **options: ``name``, ``severity``, ``description``.

    Raises:
        InvalidNameError: ``to_table`` is no table identifier.
    """

    verb = "have no partner in the other table"

    def __init__(
        self,
        column: str,
        to_table: str,
        to_column: str,
        allow_threshold: float = 0.0,
        **options: Unpack[CheckOptions],
    ) -> None:
        super().__init__(allow_threshold=allow_threshold, **options)
        self.column = column_name(self, "column", column)
        self.columns = (column,)
        self.to_table = TableName.parse(to_table)
        self.to_column = column_name(self, "to_column", to_column)

    def violation(self, rows: JudgedRows) -> Sql:
        """Hold where there is a value that the other table does not have.

        Raises:
            ColumnNotFoundError: The other table has no such column.
            UnsupportedTypeError: The columns hold values of different families, or nested ones.
        """
        from phlo_quality.canonical import key_value  # loads pyarrow
        from phlo_quality.families import Family

        others = rows.of_other(self.to_table)
        others.require([self.to_column])
        rows.family(self.column, *(f for f in Family if f is not Family.NESTED), by=self)
        return sql(
            "{has_value} AND {c} NOT IN"
            " (SELECT {to_value} FROM {to_table} WHERE {to_column} IS NOT NULL)",
            has_value=rows.has_values([self.column]),
            c=key_value(rows, others, self.column, self.to_column),
            to_value=key_value(others, rows, self.to_column, self.column),
            to_column=Identifier(self.to_column),
            to_table=self.to_table,
        )

    def metrics(self, measured: Any) -> dict[str, Any]:
        """Return where the values should stand, beside the counts."""
        target = {"to_table": str(self.to_table), "to_column": self.to_column}
        return {**target, **super().metrics(measured)}
