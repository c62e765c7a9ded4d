"""What a check is: a rule told in SQL, in queries of its own, or on a frame."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from phlo.checks import Severity
from phlo.sql import Sql, sql
from phlo.words import counted

from phlo_quality.arguments import fraction, refuse, share_of
from phlo_quality.results import QualityCheckResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from phlo.names import TableName
    from phlo.values import TableStatistics

    from phlo_quality.rows import JudgedRows, Reader


class CheckOptions(TypedDict, total=False):
    """Arguments that every check takes, all optional.

    Attributes:
        name: Its name in Dagster, instead of ``<function>__<check>__<columns>``.
        severity: ``error`` or ``warn``; ``None`` takes the suite's.
        description: One sentence for people.
    """

    name: str | None
    severity: Severity | str | None
    description: str | None


class QualityCheck:
    """A rule on one table. Subclass it and implement :meth:`execute` to judge a frame.

    A subclass may have an ``__init__`` of its own; calling this one is optional.

    Attributes:
        name: The class's name, unless the subclass or ``name=`` says otherwise.
        columns: Columns the rule is about. The table must have them; a frame check that names
            some is handed these alone, one that names none is handed all.
        severity: What a failure means; ``None`` takes the suite's.
        description: One sentence for people.
        audits: Whether it takes part in audits, before a load is visible.
        is_row_rule: Whether it judges nothing but the rows in scope, and reads no other rows of
            the table or of others: then a load need not be judged anew when another load was
            published meanwhile.

    Source: developer guide, "Advanced Quality Checks".
    """

    name: str = "QualityCheck"
    columns: tuple[str, ...] = ()
    severity: Severity | None = None
    description: str = ""
    audits: bool = True
    is_row_rule: bool = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "name" not in vars(cls):
            cls.name = cls.__name__

    def __init__(self, **options: Unpack[CheckOptions]) -> None:
        unknown = sorted(set(options) - set(CheckOptions.__annotations__))
        if unknown:
            raise TypeError(f"{type(self).__name__} takes no argument {unknown[0]!r}")
        name, severity = options.get("name"), options.get("severity")
        if name is not None:
            self.name = name
        if severity is not None and severity not in list(Severity):
            refuse(self, "severity", severity, "'error' or 'warn'")
        self.severity = None if severity is None else Severity(severity)
        self.description = options.get("description") or self.description

    @property
    def label(self) -> str:
        """What tells it from other checks of its class: the last part of its full name."""
        return "_".join(self.columns)

    @property
    def is_named(self) -> bool:
        """Whether somebody gave it a name of its own."""
        return self.name != type(self).__name__

    def execute(self, df: pd.DataFrame, context: Any) -> QualityCheckResult:
        """Judge a frame.

        Args:
            df: The rows in scope, with the columns in :attr:`columns` or all; zero rows allowed.
            context: Dagster's check context; ``None`` outside of Dagster.

        Returns:
            The verdict. ``row_count`` may be left out: it is the frame's length.
        """
        raise NotImplementedError(f"{type(self).__name__} implements no execute(df, context)")

    def written_queries(self, table: TableName) -> Sequence[Sql]:
        """Return queries with SQL that the check's author wrote, for ``phlo doctor``.

        Args:
            table: The suite's.
        """
        return ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.label})"


class SqlCheck(QualityCheck):
    """A rule told as SQL aggregates; all those of a suite are answered by one query.

    A subclass states :meth:`measures` and how to :meth:`judge` them, and, so that people see
    what is wrong, :meth:`failing_rows`. SQL is in Trino's dialect.
    """

    def measures(self, rows: JudgedRows) -> Mapping[str, Sql]:
        """Return aggregates, or scalar subqueries, over the judged rows.

        Args:
            rows: The judged rows; their columns stand unqualified in an aggregate.

        Returns:
            SQL by a name of your own. ``row_count`` need not be asked for.

        Raises:
            UnsupportedTypeError: A column's type is not one the rule can judge.
        """
        raise NotImplementedError

    def judge(self, measured: Mapping[str, Any]) -> QualityCheckResult:
        """Judge what was measured.

        Args:
            measured: A value per name of :meth:`measures`, and ``row_count``. An aggregate over
                zero rows is null where SQL says so.
        """
        raise NotImplementedError

    def failing_rows(self, rows: JudgedRows) -> Sql | None:
        """Build a query for the rows that break the rule; ``None``: it has no such rows."""
        return None

    def examine(
        self, measured: Mapping[str, Any], rows: JudgedRows, reader: Reader
    ) -> QualityCheckResult:
        """Judge what was measured and, where the rule is broken, fetch rows that break it."""
        result = self.judge(measured)
        failing = self.failing_rows(rows) if result.failed else None
        if failing is None:
            return result
        # What a person can run: the delivered rows of an audit are gone by then.
        reproducing = self.failing_rows(rows.of_table())
        return replace(result, sample=reader.sample(failing), sql=reproducing)

    def execute(self, df: pd.DataFrame, context: Any) -> QualityCheckResult:
        """Judge a frame by the project's query engine, as in notebooks and tests of suites."""
        from phlo_quality.frames import judge_frame  # loads pyarrow

        return judge_frame(self, df)

    def known(self, statistics: TableStatistics, rows: JudgedRows) -> Mapping[str, Any] | None:
        """Return what the table's metadata proves, by the names of :meth:`measures`.

        Asked only where the whole table is judged.

        Returns:
            A value for every measure, as a scan would give it, or ``None`` to have a scan.
        """
        return None


def count_where(condition: Sql) -> Sql:
    """Build an aggregate that counts the rows that meet a condition.

    Not ``count_if``, which DuckDB answers with null where the condition is null in every row.
    """
    return sql("count(*) FILTER (WHERE {c})", c=condition)


class RowCheck(SqlCheck):
    """A rule that each row keeps or breaks by itself, with a share that may break it.

    Attributes:
        allow_threshold: Share of the judged rows (0-1) that may break the rule.
    """

    allow_threshold: float = 0.0

    def __init__(self, *, allow_threshold: float = 0.0, **options: Unpack[CheckOptions]) -> None:
        super().__init__(**options)
        self.allow_threshold = fraction(self, "allow_threshold", allow_threshold)

    def violation(self, rows: JudgedRows) -> Sql:
        """Build a condition that a row breaks the rule; null counts as keeping it."""
        raise NotImplementedError

    def measures(self, rows: JudgedRows) -> Mapping[str, Sql]:
        """Return the number of rows that break the rule."""
        return {"failed_count": count_where(self.violation(rows))}

    def judge(self, measured: Mapping[str, Any]) -> QualityCheckResult:
        """Compare the share of failing rows with the threshold; zero rows are skipped."""
        row_count, failed_count = measured["row_count"], measured["failed_count"]
        if row_count == 0:
            return QualityCheckResult.skipped()
        return QualityCheckResult(
            passed=failed_count <= share_of(self.allow_threshold, row_count),
            message=self._sentence(failed_count, row_count),
            row_count=row_count,
            failed_count=failed_count,
            metrics=self.metrics(measured),
        )

    def metrics(self, measured: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the result shows beside the counts."""
        share = measured["failed_count"] / measured["row_count"]
        return {"failed_share": share, "allow_threshold": self.allow_threshold}

    def failing_rows(self, rows: JudgedRows) -> Sql:
        """Build a query for the rows that break the rule."""
        return rows.where(self.violation(rows))

    def _sentence(self, failed_count: int, row_count: int) -> str:
        allowed = f"; {self.allow_threshold:g} of them may" if self.allow_threshold else ""
        return f"{failed_count:,} of {counted(row_count, 'row')} {self.verb}{allowed}."

    verb: str = "break the rule"
    """What failing rows do, for messages."""


class QueryCheck(QualityCheck):
    """A rule that asks the engine queries of its own, over any tables."""

    def run(self, rows: JudgedRows, reader: Reader, context: Any) -> QualityCheckResult:
        """Ask and judge.

        Args:
            rows: The judged rows of the suite's table.
            reader: Answers SQL, reading stages where this is an audit.
            context: Dagster's; its partition is in ``rows``.
        """
        raise NotImplementedError
