"""Values from a list."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Unpack

from phlo.sql import Identifier, Sql, sql

from phlo_quality.arguments import column_name, refuse
from phlo_quality.checks.base import CheckOptions, RowCheck

if TYPE_CHECKING:
    from collections.abc import Iterable

    from phlo_quality.rows import JudgedRows

_FAMILIES = {
    bool: "boolean",
    str: "text",
    int: "number",
    float: "number",
    Decimal: "number",
    date: "time",
}


class AcceptedValuesCheck(RowCheck):
    """Every value is one of a list; null and NaN pass.

    Args:
        column: A column of text, numbers, booleans, dates or timestamps.
        values: The values allowed, all of one kind. ``None`` among them changes nothing.
        allow_threshold: Share of rows (0-1) that may fail.
        **options: ``name``, ``severity``, ``description``.

    Raises:
        InvalidArgumentError: No values, a bare text, or values of several kinds.
    """

    is_row_rule = True

    verb = "have a value that is not accepted"

    def __init__(
        self,
        column: str,
        values: Iterable[Any],
        allow_threshold: float = 0.0,
        **options: Unpack[CheckOptions],
    ) -> None:
        super().__init__(allow_threshold=allow_threshold, **options)
        self.column = column_name(self, "column", column)
        self.columns = (column,)
        if isinstance(values, str | bytes):
            refuse(self, "values", values, "a list of values", f"Write values=[{values!r}].")
        self.values = tuple(dict.fromkeys(v for v in values if v is not None))
        families = {_family(value) for value in self.values}
        if len(families) != 1 or None in families:
            refuse(self, "values", list(self.values), "one or more values of one kind")
        self._family = str(families.pop())

    def violation(self, rows: JudgedRows) -> Sql:
        """Hold where there is a value, and it is not in the list."""
        rows.family(self.column, self._family, by=self)
        return sql(
            "{has_value} AND {c} NOT IN ({values})",
            has_value=rows.has_values([self.column]),
            c=Identifier(self.column),
            values=[rows.comparable(value, self.column) for value in self.values],
        )

    def metrics(self, measured: Any) -> dict[str, Any]:
        """Return the list, beside the counts."""
        return {"accepted_values": list(self.values), **super().metrics(measured)}


def _family(value: object) -> str | None:
    if isinstance(value, float | Decimal) and value != value:
        return None
    return next((name for kind, name in _FAMILIES.items() if isinstance(value, kind)), None)
