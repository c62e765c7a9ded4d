"""What becomes of the stages of a run of dbt: audited, withheld, published in one step."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb
from dbt_common.events.functions import msg_to_dict
from phlo.audit import audit_branch
from phlo.errors import MovedHeadError, PhloError
from phlo.interrupts import run_interruptible, uninterrupted
from phlo.retry import retry_on_moved_head

from phlo_dbt.evidence import FailedTest, failed_tests
from phlo_dbt.withholding import withheld_models

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from phlo.audit import Audit
    from phlo.names import TableName
    from phlo.protocols import Staged
    from phlo.values import Published

    from phlo_dbt.session import DbtSession

    Judge = Callable[[str, Mapping[str, Staged]], Audit]

logger = logging.getLogger(__name__)

RESULT_EVENTS = ("LogModelResult", "LogTestResult", "LogSeedResult", "LogSnapshotResult")
_BUILT = ("model", "seed", "snapshot")
PUBLISH_ATTEMPTS = 10
"""How often stages are audited anew when a table that an audit read moved meanwhile."""


@dataclass
class DbtOutcome:
    """How a run of dbt ended.

    Attributes:
        events: The result of every node as dbt told it, in order.
        published: What was published, by unique id.
        withheld: Why a model was built and not published, by unique id.
        kept: Branches on which withheld models stand, by unique id.
        failures: One line for each node that failed, and for dbt itself.
        compiled: The SQL that dbt compiled, by unique id.
        audits: What the blocking suites said of the stages, by unique id.
        vetoes: Why what reads a node may not be published, by unique id: the node is in no stage.
        failed_tests: The rows that failed tests found.
        unkept_reason: Why a withheld model that is not in ``kept`` stands on no branch.
    """

    events: list[dict[str, Any]] = field(default_factory=list)
    published: dict[str, Published] = field(default_factory=dict)
    withheld: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    compiled: dict[str, str] = field(default_factory=dict)
    audits: dict[str, Audit] = field(default_factory=dict)
    vetoes: dict[str, str] = field(default_factory=dict)
    failed_tests: list[FailedTest] = field(default_factory=list)
    unkept_reason: str = ""

    def withheld_lines(self, nodes: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """Write one sentence for each model that was withheld."""
        return [
            f"{nodes[uid]['name']} was not published: {reason}."
            + (
                f" It is kept as branch {self.kept[uid]!r}."
                if uid in self.kept
                else f" No branch keeps it: {self.unkept_reason}."
            )
            for uid, reason in self.withheld.items()
        ]

    @property
    def evidence(self) -> list[str]:
        """What the failed tests found, one line for each row, and where their SQL stands."""
        return [line for test in self.failed_tests for line in test.lines]

    def collect(self, message: Any) -> dict[str, Any] | None:
        """Keep a message of dbt if it is the result of a node; returns what was kept."""
        if message.info.name not in RESULT_EVENTS:
            return None
        event = msg_to_dict(message)
        self.events.append(event)
        return event

    @property
    def statuses(self) -> dict[str, str]:
        """How each node ended, by unique id."""
        infos = [event["data"]["node_info"] for event in self.events]
        return {info["unique_id"]: info["node_status"] for info in infos}

    @property
    def seconds(self) -> dict[str, float]:
        """Wall time of each node, by unique id."""
        datas = [event["data"] for event in self.events]
        return {d["node_info"]["unique_id"]: float(d.get("execution_time") or 0) for d in datas}


def publish_stages(session: DbtSession, outcome: DbtOutcome, judge: Judge | None) -> None:
    """Publish what passed, and keep what did not as branches.

    Args:
        session: Holds the stages.
        outcome: How dbt ended; what becomes of the stages is written into it.
        judge: Audits the stage of a model by its unique id; its second argument holds all stages
            that may still be published, by unique id.

    Raises:
        MovedHeadError: Somebody else wrote a table meanwhile; nothing was published.
    """
    if not session.is_started:
        return  # dbt never connected
    outcome.vetoes = run_interruptible(
        lambda: _land_batched(session, outcome), stop=session.interrupt
    )
    outcome.failed_tests = run_interruptible(
        lambda: failed_tests(session, outcome.statuses), stop=session.interrupt
    )
    _publish(session, outcome, judge)


def _land_batched(session: DbtSession, outcome: DbtOutcome) -> dict[str, str]:
    """Stage what dbt built batch by batch; gives a reason for each node that is in no stage."""
    try:
        session.land_batched()
    except (PhloError, duckdb.Error) as exc:
        outcome.failures.append(str(exc))
    session.stage_built(outcome.statuses)
    unstaged = _unstaged(session, outcome)
    outcome.failures += [f"{session.nodes[uid]['name']}: {why}" for uid, why in unstaged.items()]
    return dict.fromkeys(unstaged, "it is in no stage")


def _unstaged(session: DbtSession, outcome: DbtOutcome) -> dict[str, str]:
    """List what dbt built by a way that does not land: it goes with the scratch database."""
    built = [uid for uid, status in outcome.statuses.items() if status == "success"]
    nodes = [session.nodes[uid] for uid in built if uid in session.nodes]
    return {
        node["unique_id"]: f"the materialization {node['config']['materialized']!r} does not land "
        "in Iceberg; use table, view, incremental or snapshot."
        for node in nodes
        if node["resource_type"] in _BUILT and node["unique_id"] not in session.staged
    }


def _publish(session: DbtSession, outcome: DbtOutcome, judge: Judge | None) -> None:
    try:
        if session.moved is not None:
            raise session.moved
        retry_on_moved_head(
            lambda: _audit_and_publish(session, outcome, judge),
            PUBLISH_ATTEMPTS,
            can_retry=lambda: not session.has_moved,
        )
    except MovedHeadError:
        session.discard(session.staged.values())
        raise
    _keep_withheld(session, outcome)


def _audit_and_publish(session: DbtSession, outcome: DbtOutcome, judge: Judge | None) -> None:
    """Audit the stages against the lake as it is now, and publish those that passed together."""
    outcome.audits = {}
    reads = _audit(session, outcome, judge)
    ready = {uid: s for uid, s in session.staged.items() if uid not in outcome.withheld}
    with uninterrupted():
        published = session.publish(list(ready.values()), reads)
        outcome.published = dict(zip(ready, published, strict=True))


def _audit(
    session: DbtSession, outcome: DbtOutcome, judge: Judge | None
) -> dict[TableName, int | None]:
    """Audit until no verdict rests on a stage that is withheld.

    Returns:
        The snapshots of published tables that the audits read, to be asserted by the publish.
    """
    while True:
        vetoes = outcome.vetoes | {
            uid: f"the check {audited.blocking[0].check} failed"
            for uid, audited in outcome.audits.items()
            if audited.blocking
        }
        outcome.withheld = withheld_models(
            list(session.staged), session.nodes, outcome.statuses, vetoes
        )
        ready = {uid: s for uid, s in session.staged.items() if uid not in outcome.withheld}
        unjudged = _unjudged(ready, outcome.audits)
        if judge is None or not unjudged:
            break
        session.forget({stage.table for stage in ready.values()})
        outcome.audits |= {uid: judge(uid, ready) for uid in unjudged}
    return {
        table: snapshot_id
        for uid in ready
        if uid in outcome.audits
        for table, snapshot_id in outcome.audits[uid].reads.items()
    }


def _unjudged(ready: Mapping[str, Staged], audits: Mapping[str, Audit]) -> list[str]:
    """Return stages without an audit, or whose audit read a stage that is no longer ready."""
    tables = {stage.table for stage in ready.values()}
    return [uid for uid in ready if uid not in audits or audits[uid].stages - tables]


def _keep_withheld(session: DbtSession, outcome: DbtOutcome) -> None:
    """Keep what was withheld as branches, to look into; where that cannot be, let it go."""
    outcome.unkept_reason = session.unkept_reason
    for unique_id in outcome.withheld:
        branch = audit_branch(session.nodes[unique_id]["name"], None, session.folder.name)
        try:
            if session.keep(session.staged[unique_id], branch):
                outcome.kept[unique_id] = branch
        except Exception:  # the others are published: nothing may fail any more
            logger.warning("%s could not be kept as a branch.", unique_id, exc_info=True)
