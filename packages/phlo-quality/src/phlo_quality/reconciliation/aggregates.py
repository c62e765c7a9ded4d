"""Aggregates stored in the target, computed anew from the source."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Unpack

from phlo.sql import Identifier, Sql, any_of, quote_identifier, sql

from phlo_quality.arguments import column_name, column_names, expression, refuse
from phlo_quality.reconciliation.base import (
    ReconciliationOptions,
    TwoTableCheck,
    count_differences,
    differing_rows,
)
from phlo_quality.reconciliation.compare import Tolerance
from phlo_quality.results import QualityCheckResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phlo.names import TableName

    from phlo_quality.reconciliation.queries import Pair, Side
    from phlo_quality.rows import Reader


@dataclass(frozen=True)
class AggregateSpec:
    """One aggregate to compare.

    Attributes:
        name: For people, and in results.
        expression: SQL aggregate over the source, such as ``SUM(amount)``.
        target_column: Column of the target that holds it.
    """

    name: str
    expression: str
    target_column: str


class MultiAggregateConsistencyCheck(TwoTableCheck):
    """Aggregates stored in the target equal those computed from the source, group by group.

    A group that one side lacks differs, whatever the tolerances. Where the target has several
    rows of one group their numbers are added up. Floating-point sums depend on the order of
    their terms: give them a tolerance.

    Args:
        source_table: Table to compute from, ``namespace.table``.
        aggregates: What to compare; names differ.
        group_by: Columns of both tables that form the groups; none compares totals.
        **options: See :class:`ReconciliationOptions`.

    Raises:
        InvalidArgumentError: No aggregates, two of one name, or an empty expression.

    Source: developer guide, "Reconciliation Checks (Cross-table)".
    """

    def __init__(
        self,
        source_table: str,
        aggregates: Sequence[AggregateSpec],
        group_by: Sequence[str] | None = None,
        **options: Unpack[ReconciliationOptions],
    ) -> None:
        super().__init__(source_table, options)
        self.aggregates = _checked(self, aggregates)
        self.group_by = column_names(self, "group_by", group_by) if group_by else ()

    @property
    def label(self) -> str:
        """The columns of the target that are compared."""
        return "_".join(spec.target_column for spec in self.aggregates)

    def compare(self, source: Side, target: Side, reader: Reader) -> QualityCheckResult:
        """Pair the groups of both sides, count those that differ, and show some."""
        query, differs = self._differences(source, target)
        any_differs = any_of(list(differs.values()))
        counted = {"groups": Sql("TRUE"), "failed": any_differs}
        counted |= {f"differs.{name}": condition for name, condition in differs.items()}
        counts = count_differences(reader, query, counted)
        differing = differing_rows(query, any_differs, self.group_by)
        by_name = {name: counts[f"differs.{name}"] for name in differs}
        failed = counts["failed"]
        told = ", ".join(f"{name} in {n:,}" for name, n in by_name.items() if n)
        return QualityCheckResult(
            passed=failed == 0,
            message=f"{failed:,} of {counts['groups']:,} groups differ between {source.rows.table} "
            f"and {target.rows.table}{f' ({told})' if told else ''}; "
            f"allowed difference: {self.tolerance}.",
            row_count=counts["source_rows"] + counts["target_rows"],
            failed_count=failed,
            columns=(*self.group_by, *(spec.target_column for spec in self.aggregates)),
            metrics={
                **self.judged_sides(source, target),
                "source_rows": counts["source_rows"],
                "target_rows": counts["target_rows"],
                "group_count": counts["groups"],
                "differing_by_aggregate": by_name,
            },
            sample=reader.sample(differing) if failed else (),
            sql=differing if failed else None,
        )

    def written_queries(self, table: TableName) -> Sequence[Sql]:
        """Return queries with the condition, and with each aggregate over the source."""
        source = self.source_table
        aggregates = [
            sql("SELECT {a} AS value FROM {t}", a=Sql(spec.expression), t=source)
            for spec in self.aggregates
        ]
        return [*super().written_queries(table), *aggregates]

    def _differences(self, source: Side, target: Side) -> tuple[Sql, dict[str, Sql]]:
        """Return the paired groups, and by aggregate the condition that it differs."""
        from phlo_quality.reconciliation.queries import SOURCE_ROWS, TARGET_ROWS, paired

        source.rows.require(self.group_by)
        target.rows.require([*self.group_by, *(spec.target_column for spec in self.aggregates)])
        pairs = [_pair(spec, target) for spec in self.aggregates]
        conditions = {
            pair.name: self._differs(spec, pair, target)
            for pair, spec in zip(pairs, self.aggregates, strict=True)
        }
        if self.group_by:
            is_missing = sql("{s} = 0 OR {t} = 0", s=SOURCE_ROWS, t=TARGET_ROWS)
            conditions = {n: any_of([is_missing, c]) for n, c in conditions.items()}
        return paired(source, target, self.group_by, pairs), conditions

    def _differs(self, spec: AggregateSpec, pair: Pair, target: Side) -> Sql:
        """Write the condition that a pair differs; tolerances are for numbers alone."""
        is_number = _is_number(spec, target)
        tolerance = self.tolerance if is_number else Tolerance()
        kind = target.rows.columns.field(spec.target_column).type
        return tolerance.differs(
            *map(quote_identifier, pair.names),
            is_number=is_number,
            scale=max(getattr(kind, "scale", 0), 0),
        )


def _pair(spec: AggregateSpec, target: Side) -> Pair:
    from phlo_quality.reconciliation.queries import Pair  # loads pyarrow

    aggregate = "sum({c})" if _is_number(spec, target) else "max({c})"
    stored = sql(aggregate, c=Identifier(spec.target_column))
    return Pair(spec.name, Sql(spec.expression), stored)


def _is_number(spec: AggregateSpec, target: Side) -> bool:
    return target.rows.family(spec.target_column) == "number"


class AggregateConsistencyCheck(MultiAggregateConsistencyCheck):
    """An aggregate stored in the target equals the one computed from the source.

    See :class:`MultiAggregateConsistencyCheck` for what counts as a difference.

    Args:
        source_table: Table to compute from, ``namespace.table``.
        aggregate_column: Column of the target that holds the aggregate.
        source_expression: SQL aggregate over the source, such as ``COUNT(*)``.
        group_by: Columns of both tables that form the groups; none compares totals.
        **options: See :class:`ReconciliationOptions`.

    Source: developer guide, "Reconciliation Checks (Cross-table)".
    """

    def __init__(
        self,
        source_table: str,
        aggregate_column: str,
        source_expression: str,
        group_by: Sequence[str] | None = None,
        **options: Unpack[ReconciliationOptions],
    ) -> None:
        column_name(self, "aggregate_column", aggregate_column)
        spec = AggregateSpec(aggregate_column, source_expression, aggregate_column)
        super().__init__(source_table, [spec], group_by, **options)


def _checked(
    check: MultiAggregateConsistencyCheck, aggregates: Sequence[AggregateSpec]
) -> tuple[AggregateSpec, ...]:
    specs = tuple(aggregates)
    if not specs or not all(isinstance(spec, AggregateSpec) for spec in specs):
        refuse(check, "aggregates", aggregates, "one or more AggregateSpec")
    if len({spec.name for spec in specs}) < len(specs):
        refuse(check, "aggregates", [spec.name for spec in specs], "of different names")
    for spec in specs:
        column_name(check, "target_column", spec.target_column)
    return tuple(
        replace(spec, expression=expression(check, "expression", spec.expression)) for spec in specs
    )
