"""From Dagster's events to what a person wants to know of a run."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from dagster import AssetKey, DagsterEventType
from phlo.checks import CheckStatus
from phlo.plugins import hookimpl
from phlo.signal_watch import did_signal_come

from phlo_cli.dagster_private import check_captured_interrupt
from phlo_cli.step_errors import step_error
from phlo_cli.summary import ACCOUNT_COUNTS, AssetOutcome, CheckOutcome, RunSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dagster import AssetCheckEvaluation, DagsterEvent, EventLogEntry
    from phlo.events import PublishEvent

    from phlo_cli.location import Location
    from phlo_cli.plan import PlannedAsset, RunPlan
    from phlo_cli.summary import AssetStatus, RunStatus, StepError


class RunObserver:
    """Is told of a run while it goes on; every method may be left as it is."""

    def started(self, run_id: str, plan: RunPlan) -> None:
        """Handle the start of the run."""

    def step_started(self, step: str, labels: tuple[str, ...]) -> None:
        """Handle the start of a step that makes the tables or assets ``labels``."""

    def step_ended(self, step: str) -> None:
        """Handle the end of a step, successful or not."""

    def asset_ended(self, outcome: AssetOutcome) -> None:
        """Handle an asset that was made, failed, or will not be made."""

    def check_ended(self, outcome: CheckOutcome) -> None:
        """Handle the result of a check."""

    def step_retried(self, step: str, message: str) -> None:
        """Handle a step that failed and will be tried again."""

    def step_failed(self, error: StepError) -> None:
        """Handle a step that failed for good; ``step_ended`` follows."""

    def logged(self, level: int, text: str) -> None:
        """Handle a line that code of the run logged (levels as in :mod:`logging`)."""


class EventCollector:
    """Listens to one run: builds its summary, and tells an observer on the way."""

    def __init__(
        self,
        location: Location,
        plan: RunPlan,
        run_id: str,
        steps: Mapping[str, tuple[str, ...]],
        observer: RunObserver,
    ) -> None:
        self._location, self._plan, self._run_id = location, plan, run_id
        self._steps, self._observer = steps, observer
        self._planned: dict[str, PlannedAsset] = {asset.key: asset for asset in plan.assets}
        self._assets: dict[str, AssetOutcome] = {}
        self._checks: list[CheckOutcome] = []
        self._errors: list[StepError] = []
        self._published: list[PublishEvent] = []
        self._since: dict[str, float] = {}
        self._interrupted = False
        self._handlers: dict[DagsterEventType, Callable[[DagsterEvent, float], None]] = {
            DagsterEventType.RUN_START: self._started,
            DagsterEventType.STEP_START: self._step_started,
            DagsterEventType.STEP_RESTARTED: self._step_started,
            DagsterEventType.ASSET_MATERIALIZATION: self._materialized,
            DagsterEventType.ASSET_CHECK_EVALUATION: self._checked,
            DagsterEventType.STEP_UP_FOR_RETRY: self._retried,
            DagsterEventType.STEP_SUCCESS: self._succeeded,
            DagsterEventType.STEP_SKIPPED: self._skipped,
            DagsterEventType.STEP_FAILURE: self._failed,
            DagsterEventType.RUN_SUCCESS: self._run_ended,
            DagsterEventType.RUN_FAILURE: self._run_ended,
            DagsterEventType.RUN_CANCELED: self._run_ended,
        }

    @hookimpl
    def phlo_on_publish(self, event: PublishEvent) -> None:
        """Note what is published to databases while the run goes on."""
        self._published.append(event)

    def receive(self, entry: EventLogEntry) -> None:
        """Take one entry of the run's log; Dagster calls this in the run's own thread."""
        event = entry.dagster_event
        if event is None:
            self._observer.logged(as_level(entry.level), entry.user_message)
        elif event.event_type in self._handlers:
            self._handlers[event.event_type](event, entry.timestamp)

    def summary(self, status: RunStatus, seconds: float) -> RunSummary:
        """Summarize the run at its end; what was not made is ``skipped`` or ``canceled``."""
        for key in self._planned:
            if key not in self._assets:
                self._end(key, "canceled" if self._interrupted else "skipped", 0.0)
        return RunSummary(
            run_id=self._run_id,
            status=status,
            partition=self._plan.partition,
            seconds=seconds,
            assets=tuple(self._assets[key] for key in self._planned),
            checks=tuple(self._checks),
            errors=tuple(self._errors),
            published=tuple(self._published),
            interrupted=self._interrupted,
        )

    def _started(self, event: DagsterEvent, at: float) -> None:
        self._observer.started(self._run_id, self._plan)

    def _step_started(self, event: DagsterEvent, at: float) -> None:
        step = event.step_key or ""
        self._since[step] = at
        self._observer.step_started(step, self._labels(step))

    def _materialized(self, event: DagsterEvent, at: float) -> None:
        materialization = event.step_materialization_data.materialization
        key = materialization.asset_key.to_user_string()
        facts = {name: value.value for name, value in materialization.metadata.items()}
        self._end(key, "materialized", self._elapsed(event, at), facts)

    def _checked(self, event: DagsterEvent, at: float) -> None:
        outcome = check_outcome(event.asset_check_evaluation_data, self._label)
        self._checks.append(outcome)
        self._observer.check_ended(outcome)

    def _retried(self, event: DagsterEvent, at: float) -> None:
        if did_signal_come():
            return  # the run is about to end
        error = step_error(event, self._labels(event.step_key or ""))
        self._observer.step_retried(event.step_key or "", error.message)

    def _succeeded(self, event: DagsterEvent, at: float) -> None:
        step = event.step_key or ""
        for key in self._steps.get(step, ()):
            if key in self._planned and key not in self._assets:
                self._end(key, "no_data", self._elapsed(event, at))
        self._observer.step_ended(step)

    def _skipped(self, event: DagsterEvent, at: float) -> None:
        """Tell assets below a failure, which are left for the summary, from those without data."""
        if any(self._is_below_failure(key) for key in self._steps.get(event.step_key or "", ())):
            self._observer.step_ended(event.step_key or "")
        else:
            self._succeeded(event, at)

    def _is_below_failure(self, key: str) -> bool:
        parents = self._location.graph.get(AssetKey.from_user_string(key)).parent_keys
        above = [parent.to_user_string() for parent in parents]
        return any(
            self._assets[name].status == "failed" if name in self._assets else True
            for name in above
            if name in self._planned
        )

    def _failed(self, event: DagsterEvent, at: float) -> None:
        step = event.step_key or ""
        missing = [k for k in self._steps.get(step, ()) if k in self._planned]
        missing = [key for key in missing if key not in self._assets]
        error = step_error(event, tuple(map(self._label, missing)) or self._labels(step))
        self._errors.append(error)
        for key in missing:
            self._end(key, "failed", self._elapsed(event, at))
        self._observer.step_failed(error)
        self._observer.step_ended(step)

    def _run_ended(self, event: DagsterEvent, at: float) -> None:
        """Note whether somebody wants to stop: Dagster forgets it when the run ends."""
        is_canceled = event.event_type is DagsterEventType.RUN_CANCELED
        self._interrupted = is_canceled or check_captured_interrupt()

    def _end(
        self,
        key: str,
        status: AssetStatus,
        seconds: float,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        planned = self._planned.get(key)
        if planned is None:
            return
        outcome = AssetOutcome(
            key, planned.table, planned.partition, status, seconds, **row_facts(facts or {})
        )
        self._assets[key] = outcome
        self._observer.asset_ended(outcome)

    def _elapsed(self, event: DagsterEvent, at: float) -> float:
        """Return seconds since the step began, or since its last asset."""
        since, self._since[event.step_key or ""] = self._since.get(event.step_key or "", at), at
        return max(0.0, at - since)

    def _labels(self, step: str) -> tuple[str, ...]:
        return tuple(map(self._label, self._steps.get(step, ()))) or (step,)

    def _label(self, key: str) -> str:
        planned = self._planned.get(key)
        return planned.label if planned else key


def row_facts(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Read the row counts of a materialization's metadata.

    Names may stand alone or begin with ``phlo/``.

    >>> row_facts({"inserted": 2, "phlo/updated": 1, "dagster/row_count": 5, "note": "x"})["rows"]
    {'inserted': 2, 'updated': 1}
    """
    facts = {name.removeprefix("phlo/"): value for name, value in metadata.items()}
    return {
        "rows": {name: facts[name] for name in ACCOUNT_COUNTS if name in facts},
        "row_count": metadata.get("dagster/row_count"),
        "snapshot_id": facts.get("snapshot_id"),
        "strategy": facts.get("strategy"),
    }


def check_outcome(evaluation: AssetCheckEvaluation, label: Callable[[str], str]) -> CheckOutcome:
    """Convert a check's evaluation; checks that are not phlo's say only whether they passed."""
    facts = {name: value.value for name, value in evaluation.metadata.items()}
    status, rows = facts.get("status"), facts.get("row_count")
    plain = CheckStatus.PASSED if evaluation.passed else CheckStatus.FAILED
    key = evaluation.asset_key.to_user_string()
    return CheckOutcome(
        asset=key,
        label=label(key),
        name=evaluation.check_name,
        status=CheckStatus(status) if status in set(CheckStatus) else plain,
        severity=evaluation.severity.value.lower(),
        message=evaluation.description or "",
        row_count=rows if isinstance(rows, int) else None,
    )


def as_level(level: str | int) -> int:
    """Convert a level to its number in :mod:`logging`."""
    return level if isinstance(level, int) else logging.getLevelNamesMapping().get(level, 20)
