"""Runs a suite: what metadata proves, then one query for all SQL, then the rest."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from phlo.errors import PhloError, is_exit_or_panic
from phlo.names import STRATEGY_PROPERTY
from phlo.sql import Identifier, Sql, sql

from phlo_quality.checks.base import QueryCheck, SqlCheck
from phlo_quality.results import QualityCheckResult
from phlo_quality.rows import DELIVERED, Reader
from phlo_quality.scope import judged_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from phlo.checks import CheckResult
    from phlo.names import Partition, TableName
    from phlo.protocols import QueryEngine, Staged, TableStore
    from phlo.values import TableStatistics

    from phlo_quality.declared import DeclaredCheck, DeclaredSuite
    from phlo_quality.rows import JudgedRows

logger = logging.getLogger(__name__)

Results = dict[str, QualityCheckResult]


def evaluate(
    suite: DeclaredSuite,
    engine: QueryEngine,
    store: TableStore,
    *,
    partition: Partition | None,
    at: Mapping[TableName, Staged | str],
    only: Sequence[str] | None,
    context: Any,
) -> list[CheckResult]:
    """Judge a suite's table, or a stage of it; see :class:`phlo.protocols.CheckSuite`."""
    stage = at.get(suite.table)
    staged = None if isinstance(stage, str) else stage
    checks = [
        check
        for check in suite.checks
        if (only is None or check.name in only) and (staged is None or check.audits)
    ]
    try:
        run = _prepare(suite, engine, store, partition=partition, at=at, staged=staged)
    except Exception as exc:  # noqa: BLE001 - whatever keeps checks from running is their result
        answers, label = {c.name: _could_not_run(exc) for c in checks}, "none"
    else:
        answers, label = run.all(checks, context), run.rows.label
    results = {c.name: _about(c, answers[c.name], suite.table) for c in checks}
    return [
        results[c.name].to_check_result(
            name=c.name,
            table=suite.table,
            severity=c.severity,
            blocking=suite.blocking,
            scope=results[c.name].scope or label,
        )
        for c in checks
    ]


def _prepare(
    suite: DeclaredSuite,
    engine: QueryEngine,
    store: TableStore,
    *,
    partition: Partition | None,
    at: Mapping[TableName, Staged | str],
    staged: Staged | None,
) -> _Run:
    is_merged = False
    if suite.table not in at:
        stored = store.load(suite.table)
        is_merged = stored.properties.get(STRATEGY_PROPERTY) == "merge"
        if stored.snapshot_id is not None:  # every query of this run reads one state
            at = {**at, suite.table: str(stored.snapshot_id)}
    relations = {} if staged is None else {DELIVERED: staged.delivered}
    reader = Reader(engine, at, relations)
    rows = judged_rows(
        suite,
        reader.columns(suite.table),
        partition=partition,
        is_audit=staged is not None,
        is_merged=is_merged,
    )
    return _Run(replace(rows, columns_of=reader.columns), reader, store)


@dataclass(frozen=True)
class _Run:
    """One evaluation: the rows judged, and who answers."""

    rows: JudgedRows
    reader: Reader
    store: TableStore

    def all(self, checks: Sequence[DeclaredCheck], context: Any) -> Results:
        """Return a result for every check."""
        results = self._without_columns(checks)
        in_sql = [c for c in checks if isinstance(c.check, SqlCheck) and c.name not in results]
        results |= self._from_metadata(in_sql)
        results |= self._from_sql([c for c in in_sql if c.name not in results])
        for declared in checks:
            if declared.name not in results:
                results[declared.name] = _timed(partial(self._alone, declared, context))
        return results

    def _without_columns(self, checks: Sequence[DeclaredCheck]) -> Results:
        results: Results = {}
        for declared in checks:
            try:
                self.rows.require(declared.check.columns)
            except PhloError as exc:
                results[declared.name] = _could_not_run(exc)
        return results

    def _from_metadata(self, checks: Sequence[DeclaredCheck]) -> Results:
        """Return checks that the table's metadata proves; failures are left to the scan."""
        if not self.rows.is_whole or not checks:
            return {}
        columns = sorted({name for c in checks for name in c.check.columns})
        started = time.perf_counter()
        statistics = self._statistics(columns)
        if statistics is None or statistics.row_count is None:
            return {}
        values = {c.name: self._known(c.check, statistics) for c in checks}
        share = (time.perf_counter() - started) / len(checks)
        return {
            name: replace(result, execution_time_seconds=share)
            for name, result in values.items()
            if result is not None
        }

    def _statistics(self, columns: Sequence[str]) -> TableStatistics | None:
        at = self.reader.at.get(self.rows.table)
        try:
            return self.store.statistics(self.rows.table, columns, at=at)
        except Exception:
            logger.info("No statistics of %s; its checks scan it.", self.rows.table, exc_info=True)
            return None

    def _known(self, check: Any, statistics: TableStatistics) -> QualityCheckResult | None:
        measured = check.known(statistics, self.rows)
        if measured is None:
            return None
        result = check.judge({"row_count": statistics.row_count, **measured})
        return None if result.failed else result

    def _from_sql(self, checks: Sequence[DeclaredCheck]) -> Results:
        """Measure all checks in one query; if it fails, query each check alone."""
        if not checks:
            return {}
        started = time.perf_counter()
        try:
            measured = self._measure(checks)
        except Exception as exc:  # noqa: BLE001 - an engine may fail in any way
            if len(checks) == 1:
                return {checks[0].name: _could_not_run(exc)}
            return {k: r for c in checks for k, r in self._from_sql([c]).items()}
        share = (time.perf_counter() - started) / len(checks)
        return {
            c.name: _timed(
                partial(_sql(c).examine, measured[c.name], self.rows, self.reader), plus=share
            )
            for c in checks
        }

    def _measure(self, checks: Sequence[DeclaredCheck]) -> dict[str, dict[str, Any]]:
        plan: dict[str, tuple[str, str, Sql]] = {}
        for declared in checks:
            for name, aggregate in _sql(declared).measures(self.rows).items():
                plan[f"m{len(plan)}"] = (declared.name, name, aggregate)
        aggregates = [sql("{a} AS {n}", a=a, n=Identifier(n)) for n, (_, _, a) in plan.items()]
        row_count = sql("count(*) AS {n}", n=Identifier("row_count"))
        (values,) = self.reader.measured(
            sql("SELECT {a} FROM {rows}", a=[row_count, *aggregates], rows=self.rows.judged)
        )
        measured = {c.name: {"row_count": values["row_count"]} for c in checks}
        for alias, (check, name, _) in plan.items():
            measured[check][name] = values[alias]
        return measured

    def _alone(self, declared: DeclaredCheck, context: Any) -> QualityCheckResult:
        check = declared.check
        if isinstance(check, QueryCheck):
            return check.run(self.rows, self.reader, context)
        frame = self.reader.frame(self.rows, check.columns).to_pandas()
        row_count = len(frame)  # before a check that drops rows in place
        result = check.execute(frame, context)
        if not isinstance(result, QualityCheckResult):
            raise TypeError(
                f"{type(check).__name__}.execute returned {type(result).__name__}; "
                "expected a QualityCheckResult"
            )
        return result if result.row_count is not None else replace(result, row_count=row_count)


def _sql(declared: DeclaredCheck) -> SqlCheck:
    assert isinstance(declared.check, SqlCheck)
    return declared.check


def _timed(answer: Callable[[], QualityCheckResult], *, plus: float = 0.0) -> QualityCheckResult:
    """Time an answer; an exception, an attempt to exit or a panic becomes a result."""
    started = time.perf_counter()
    try:
        result = answer()
    except BaseException as exc:
        if not isinstance(exc, Exception) and not is_exit_or_panic(exc):
            raise
        result = _could_not_run(exc)
    return replace(result, execution_time_seconds=time.perf_counter() - started + plus)


def _could_not_run(exc: BaseException) -> QualityCheckResult:
    return QualityCheckResult.could_not_run(str(exc) if isinstance(exc, PhloError) else exc)


def _about(
    declared: DeclaredCheck, result: QualityCheckResult, table: TableName
) -> QualityCheckResult:
    return replace(
        result,
        check_name=type(declared.check).__name__,
        table=str(table),
        columns=tuple(result.columns) or declared.check.columns,
    )
