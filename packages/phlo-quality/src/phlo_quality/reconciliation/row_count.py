"""As many rows in the target as in the source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Unpack

from phlo.sql import sql
from phlo.words import counted

from phlo_quality.arguments import refuse
from phlo_quality.reconciliation.base import ReconciliationOptions, TwoTableCheck
from phlo_quality.results import QualityCheckResult

if TYPE_CHECKING:
    from phlo_quality.reconciliation.queries import Side
    from phlo_quality.rows import Reader

_TYPES = ("rowcount_parity", "rowcount_gte")


class ReconciliationCheck(TwoTableCheck):
    """The target has as many rows as the source, or at least as many.

    Args:
        source_table: Table to compare with, ``namespace.table``.
        check_type: ``rowcount_parity``: the counts are equal; ``rowcount_gte``: the target has no
            fewer rows. Both within the tolerances.
        **options: See :class:`ReconciliationOptions`.

    Raises:
        InvalidArgumentError: An unknown ``check_type``, or a tolerance out of range.

    Source: developer guide, "Reconciliation Checks (Cross-table)".
    """

    def __init__(
        self,
        source_table: str,
        check_type: Literal["rowcount_parity", "rowcount_gte"] = "rowcount_parity",
        **options: Unpack[ReconciliationOptions],
    ) -> None:
        super().__init__(source_table, options)
        if check_type not in _TYPES:
            refuse(self, "check_type", check_type, f"one of {list(_TYPES)}")
        self.check_type = check_type

    def compare(self, source: Side, target: Side, reader: Reader) -> QualityCheckResult:
        """Count both sides in one query."""
        query = sql(
            "SELECT (SELECT count(*) FROM {s}) AS source_rows,"
            " (SELECT count(*) FROM {t}) AS target_rows",
            s=source.rows.judged,
            t=target.rows.judged,
        )
        (counts,) = reader.rows(query)
        source_rows, target_rows = counts["source_rows"], counts["target_rows"]
        difference = target_rows - source_rows
        if self.check_type == "rowcount_gte":
            difference = min(difference, 0)
        return QualityCheckResult(
            passed=self.tolerance.allows(difference, source_rows),
            message=f"{target.rows.table} has {counted(target_rows, 'row')}, {source.rows.table} "
            f"{source_rows:,}; allowed difference: {self.tolerance}.",
            row_count=source_rows + target_rows,
            metrics={
                **self.judged_sides(source, target),
                **counts,
                "difference": target_rows - source_rows,
            },
            sql=query,
        )
