"""Judge a stage by the blocking suites of its table before it is published.

Loads, dbt runs and Dagster's own checks judge tables through this module. An audit notes the
snapshot of every other table that its checks read; whoever publishes hands these snapshots to
:meth:`phlo.protocols.TableStore.publish`, which lands nothing where one of them has moved.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from phlo.events import ChecksEvent
from phlo.interrupts import run_interruptible
from phlo.plugins import notify
from phlo.work_catalogs import BranchTable, ReadsWorkTables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pyarrow as pa
    import pyarrow.dataset as ds
    from phlo.checks import CheckResult
    from phlo.lake import Lake
    from phlo.names import Partition, TableName
    from phlo.protocols import CheckSuite, QueryEngine, Staged, SuiteCheck

AUDIT_PREFIX = "audit/"
"""Branches on which stages that failed their audit are kept begin so."""


def audit_branch(asset: str, partition: Partition | None, attempt: str) -> str:
    """Return the branch that keeps a stage whose audit failed.

    Args:
        asset: Name of the asset, or of the dbt model.
        partition: The partition loaded; ``None`` gives ``table``.
        attempt: Tells the attempts of one partition apart, such as ``3f0c5a1e-0``.

    Example:
        >>> audit_branch("dlt_events", None, "3f0c5a1e-0")
        'audit/dlt_events/table/3f0c5a1e-0'
    """
    return f"{AUDIT_PREFIX}{asset}/{partition.key if partition else 'table'}/{attempt}"


@dataclass(frozen=True)
class Audit:
    """The judgement of one stage.

    Attributes:
        results: One per check that takes part in audits.
        reads: Snapshot of every other published table that a check read; ``None`` for a table
            without a snapshot.
        stages: Tables whose stages a check read beside the audited one: the verdict holds only
            if these stages are published together with it.
        holds_on_any_head: Whether the checks judged the delivered rows alone, so that the
            verdict stays true whatever else the table holds.
    """

    results: tuple[CheckResult, ...] = ()
    reads: Mapping[TableName, int | None] = field(default_factory=dict)
    stages: frozenset[TableName] = frozenset()
    holds_on_any_head: bool = True

    @property
    def blocking(self) -> list[CheckResult]:
        """The results that withhold the stage."""
        return [result for result in self.results if result.blocks]


def audit(
    suites: Sequence[CheckSuite],
    lake: Lake,
    staged: Staged | BranchTable,
    *,
    beside: Iterable[Staged | BranchTable] = (),
    partition: Partition | None = None,
    context: Any = None,
) -> Audit:
    """Judge a staged state by every blocking suite of its table.

    Args:
        suites: The blocking suites of the table.
        lake: Store and engine.
        staged: What a load or a model would make of the table: a stage, or a table of a branch.
        beside: Other stages to be published together with it; checks read them as if published.
        partition: The partition loaded, if there is one.
        context: Handed to custom checks.
    """
    if isinstance(staged, BranchTable):
        tables = {stage.table for stage in beside}
        return _audit_on_branch(suites, staged, tables, partition, context)
    at: dict[TableName, Any] = {s.table: s for s in beside} | {staged.table: staged}
    engine = PinningEngine(lake, staged.table)

    def evaluate() -> list[CheckResult]:
        return [
            result
            for suite in suites
            for result in suite.evaluate(
                engine, lake.store, partition=partition, at=at, context=context
            )
        ]

    results = run_interruptible(evaluate)
    return Audit(
        tuple(results), dict(engine.reads), frozenset(engine.stages), holds_on_any_head(suites)
    )


def _audit_on_branch(
    suites: Sequence[CheckSuite],
    made: BranchTable,
    beside: set[TableName],
    partition: Partition | None,
    context: Any,
) -> Audit:
    """Judge a table of a branch, on which nothing but the run changes anything."""
    is_load = made.delivered is not None
    engine: RecordingEngine = (
        LoadedBranchEngine(made) if is_load else RecordingEngine(made.lake.engine)
    )
    at: Any = {made.table: made} if is_load else {}

    def evaluate() -> list[CheckResult]:
        results: list[CheckResult] = []
        for suite in suites:
            if names := [check.name for check in suite.checks if check.audits]:
                results += suite.evaluate(
                    engine, made.lake.store, partition=partition, at=at, only=names, context=context
                )
        return results

    results = run_interruptible(evaluate)
    others = engine.read - {made.table}
    reads = dict.fromkeys(others - beside)
    return Audit(tuple(results), reads, frozenset(others & beside), holds_on_any_head=False)


def holds_on_any_head(suites: Iterable[CheckSuite]) -> bool:
    """Return whether a verdict of these suites stays true when the table's head moves.

    It does where every check judges nothing but the rows that were delivered.
    """
    return all(
        suite.scope == "partition" and all(c.is_row_rule or not c.audits for c in suite.checks)
        for suite in suites
    )


def judge_published(
    suites: Iterable[CheckSuite],
    lake: Lake,
    is_wanted: Callable[[SuiteCheck], bool],
    *,
    run_id: str,
    partition: Partition | None = None,
    context: Any = None,
) -> list[CheckResult]:
    """Judge a published table by the wanted checks of its suites, and notify the observers.

    Args:
        suites: Suites of one table.
        lake: Store and engine.
        is_wanted: Chooses among the checks; a suite without a wanted check is not evaluated.
        run_id: Dagster's run id, for the observers.
        partition: The partition to judge, if there is one.
        context: Handed to custom checks.
    """

    def evaluate() -> list[CheckResult]:
        results: list[CheckResult] = []
        for suite in suites:
            names = [check.name for check in suite.checks if is_wanted(check)]
            if names:
                results += suite.evaluate(
                    lake.engine, lake.store, partition=partition, only=names, context=context
                )
        return results

    results = run_interruptible(evaluate)
    notify_checks(results, run_id, staged=False)
    return results


def notify_checks(results: Sequence[CheckResult], run_id: str, *, staged: bool) -> None:
    """Notify the observers of the results of one table's checks; of none, nothing.

    Args:
        results: Results for one table.
        run_id: Dagster's run id.
        staged: Whether they judged a stage rather than the published table.
    """
    if results:
        notify(
            "phlo_on_checks",
            ChecksEvent(results[0].table, run_id, tuple(results), staged=staged),
        )


class RecordingEngine:
    """A query engine that records which tables were read.

    Attributes:
        read: The tables.
    """

    def __init__(self, engine: QueryEngine) -> None:
        self._engine = engine
        self.read: set[TableName] = set()

    @property
    def dialect(self) -> str:
        """The engine's own dialect."""
        return self._engine.dialect

    def query(self, sql: str, *, relations: Any = None, **options: Any) -> pa.RecordBatchReader:
        """Run one SELECT (see :class:`phlo.protocols.QueryEngine`)."""
        self.read |= self._engine.tables(sql, relations=relations or ())
        return self._engine.query(sql, relations=relations, **options)

    def columns(self, table: TableName, *, at: Staged | str | None = None) -> pa.Schema:
        """Return names and types of a table's columns, in order."""
        return self._engine.columns(table, at=at)

    def tables(self, sql: str, *, relations: Iterable[str] = ()) -> set[TableName]:
        """Return the tables that a SELECT reads."""
        return self._engine.tables(sql, relations=relations)


class LoadedBranchEngine(RecordingEngine):
    """A recording engine on the branch on which a load stands.

    The rows that the load delivered are put on the branch when a query first asks for them.

    Args:
        made: The table that was loaded.
    """

    def __init__(self, made: BranchTable) -> None:
        super().__init__(made.lake.engine)
        self._made, self._put = made, set[str]()

    def query(
        self,
        sql: str,
        *,
        relations: Any = None,
        parameters: Sequence[Any] | None = None,
        **_: Any,  # the branch has every table as it is to be read
    ) -> pa.RecordBatchReader:
        """Run one SELECT (see :class:`phlo.protocols.QueryEngine`)."""
        names = [name for name in relations or () if name in sql]
        self.read |= self.tables(sql, relations=names)
        for name in names:
            self._put_delivered(name)
        assert isinstance(self._engine, ReadsWorkTables)  # as the engine of every work catalog is
        return self._engine.query_with_work_tables(sql, names, parameters)

    def columns(self, table: TableName, *, at: Any = None) -> pa.Schema:
        """Return names and types of a table's columns, in order."""
        del at
        return self._engine.columns(table)

    def _put_delivered(self, name: str) -> None:
        if self._made.delivered is not None and name not in self._put:
            self._made.delivered(name)
            self._put.add(name)


class PinningEngine:
    """A query engine that reads every other table at one snapshot, and records which.

    A table is pinned to its head when it is first read, so all queries of one audit read the same
    snapshot, and the recorded snapshot is the one that was read. A table without a snapshot is
    recorded as ``None``. Tables that the caller reads at a stage, branch or snapshot of its own
    choice are not pinned; the stages among them are recorded.

    Tables that a check reads by other ways, such as :func:`phlo.lake.query`, are not seen.

    Args:
        lake: Its embedded engine answers the queries: others do not read stages.
        judged: The table judged; its commit asserts its own head.

    Attributes:
        reads: Snapshots read, by table.
        stages: Other tables that were read at a stage.
    """

    def __init__(self, lake: Lake, judged: TableName) -> None:
        self._store, self._engine, self._judged = lake.store, lake.embedded_engine, judged
        self.reads: dict[TableName, int | None] = {}
        self.stages: set[TableName] = set()

    @property
    def dialect(self) -> str:
        """The engine's own dialect."""
        return self._engine.dialect

    def query(
        self,
        sql: str,
        *,
        at: Mapping[TableName, Staged | str] | None = None,
        relations: Mapping[str, ds.Dataset] | None = None,
        parameters: Sequence[Any] | None = None,
    ) -> pa.RecordBatchReader:
        """Run one SELECT (see :class:`phlo.protocols.QueryEngine`)."""
        chosen = dict(at or {})
        others = self.tables(sql, relations=relations or ()) - {self._judged}
        self.stages |= {t for t in others & chosen.keys() if not isinstance(chosen[t], str)}
        pins = {t: pin for t in others - chosen.keys() if (pin := self._pin(t)) is not None}
        return self._engine.query(sql, at=pins | chosen, relations=relations, parameters=parameters)

    def columns(self, table: TableName, *, at: Staged | str | None = None) -> pa.Schema:
        """Return names and types of a table's columns, in order."""
        return self._engine.columns(table, at=at)

    def tables(self, sql: str, *, relations: Iterable[str] = ()) -> set[TableName]:
        """Return the tables that a SELECT reads."""
        return self._engine.tables(sql, relations=relations)

    def _pin(self, table: TableName) -> str | None:
        if table not in self.reads:
            self.reads[table] = self._store.load(table).snapshot_id
        snapshot_id = self.reads[table]
        return None if snapshot_id is None else str(snapshot_id)
