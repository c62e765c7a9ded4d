"""Lines of real runs, read from Dagster's events."""

from __future__ import annotations

import itertools
import logging
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dagster import DagsterEventType, RunsFilter
from phlo.errors import AssetNotFoundError
from phlo.orchestration.dagster_private import PARTITION_TAG
from phlo.orchestration.history import has_log

from phlo_cli.run_events import as_level, check_outcome, row_facts
from phlo_cli.step_errors import step_error
from phlo_cli.summary import AssetOutcome, seconds_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dagster import AssetKey, DagsterEvent, DagsterInstance, DagsterRun, EventLogEntry

_PAGE = 50

# Dagster logs nearly all of its events as DEBUG; these tell what happened.
_LEVELS: Mapping[DagsterEventType, int] = {
    DagsterEventType.RUN_START: logging.INFO,
    DagsterEventType.RUN_SUCCESS: logging.INFO,
    DagsterEventType.RUN_CANCELED: logging.WARNING,
    DagsterEventType.RUN_FAILURE: logging.ERROR,
    DagsterEventType.STEP_START: logging.INFO,
    DagsterEventType.STEP_SUCCESS: logging.INFO,
    DagsterEventType.STEP_UP_FOR_RETRY: logging.WARNING,
    DagsterEventType.STEP_FAILURE: logging.ERROR,
    DagsterEventType.ASSET_MATERIALIZATION: logging.INFO,
    DagsterEventType.ASSET_CHECK_EVALUATION: logging.INFO,
}
_WORDS: Mapping[DagsterEventType, str] = {
    DagsterEventType.RUN_START: "The run started.",
    DagsterEventType.RUN_SUCCESS: "The run succeeded.",
    DagsterEventType.STEP_START: "Started.",
}
_PLANNED = {
    DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
}


@dataclass(frozen=True)
class LogLine:
    """One line of a run's log.

    Attributes:
        at: When, in UTC.
        level: Name of the level, such as ``WARNING``.
        run_id: Dagster's id of the run.
        job: Name of the job.
        partition: The run's partition, if it has one.
        step: Dagster's step key; ``None`` for lines of the whole run.
        event: Dagster's type of event; ``None`` for lines that code logged.
        message: What happened.
        detail: Tracebacks and the like; empty for most lines.
    """

    at: datetime
    level: str
    run_id: str
    job: str
    partition: str | None
    step: str | None
    event: str | None
    message: str
    detail: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class LogFilter:
    """Which lines are wanted.

    Attributes:
        level: Lowest level, as in :mod:`logging`.
        assets: Only steps that make or check these; empty: all.
        job: Only runs of this job.
        since: Only lines from this moment on.
        run_id: Only this run; the first letters of its id are enough.
    """

    level: int = logging.INFO
    assets: frozenset[AssetKey] = frozenset()
    job: str | None = None
    since: datetime | None = None
    run_id: str | None = None


def read_lines(instance: DagsterInstance, wanted: LogFilter, limit: int) -> list[LogLine]:
    """Read the newest lines that pass the filter, oldest first.

    Raises:
        AssetNotFoundError: No run has the id asked for.
    """
    return _Reader(instance, wanted).newest(limit)


def follow_lines(
    instance: DagsterInstance, wanted: LogFilter, limit: int, *, poll_seconds: float = 1.0
) -> Iterator[LogLine]:
    """Yield the newest lines, then new ones as they are written, without end."""
    reader = _Reader(instance, wanted)
    yield from reader.newest(limit)
    while True:
        yield from reader.more()
        time.sleep(poll_seconds)


class _Reader:
    """Reads runs, and remembers how far, so that no line is read twice or passed over."""

    def __init__(self, instance: DagsterInstance, wanted: LogFilter) -> None:
        self._instance, self._wanted = instance, wanted
        self._cursors: dict[str, str] = {}
        self._done: set[str] = set()

    def newest(self, limit: int) -> list[LogLine]:
        """Read the newest lines; runs further back count as read."""
        lines: list[LogLine] = []
        for run in _runs(self._instance, self._wanted):
            if len(lines) < limit or not run.is_finished:
                lines.extend(self._read(run))
            self._done |= {run.run_id} if run.is_finished else set()
        return sorted(lines, key=lambda line: line.at)[-limit:]

    def more(self) -> list[LogLine]:
        """Return lines that came since."""
        lines: list[LogLine] = []
        for run in itertools.islice(_runs(self._instance, self._wanted), _PAGE):
            if run.run_id not in self._done:
                lines.extend(self._read(run))
                # Its last line was there already when the run was seen to be finished.
                self._done |= {run.run_id} if run.is_finished else set()
        return sorted(lines, key=lambda line: line.at)

    def _read(self, run: DagsterRun) -> list[LogLine]:
        if not has_log(self._instance, run.run_id):
            return []
        steps = _steps(self._instance, run, self._wanted.assets)
        page = self._instance.get_records_for_run(run.run_id, self._cursors.get(run.run_id))
        self._cursors[run.run_id] = page.cursor
        lines = [as_line(record.event_log_entry, run) for record in page.records]
        return [line for line in lines if _is_wanted(line, self._wanted, steps)]


def _runs(instance: DagsterInstance, wanted: LogFilter) -> Iterator[DagsterRun]:
    """Yield runs that may have wanted lines, newest first.

    Raises:
        AssetNotFoundError: No run has the id asked for.
    """
    found = False
    for run in _all_runs(instance, RunsFilter(job_name=wanted.job)):
        if wanted.run_id is None or run.run_id.startswith(wanted.run_id):
            found = True
            yield run
    if wanted.run_id is not None and not found:
        raise AssetNotFoundError(
            f"No run has an id that begins with {wanted.run_id!r}.",
            hint="`phlo logs` shows the ids of the newest runs.",
            run_id=wanted.run_id,
        )


def _all_runs(instance: DagsterInstance, chosen: RunsFilter) -> Iterator[DagsterRun]:
    page = instance.get_runs(chosen, limit=_PAGE)
    while page:
        yield from page
        page = instance.get_runs(chosen, cursor=page[-1].run_id, limit=_PAGE)


def _steps(
    instance: DagsterInstance, run: DagsterRun, assets: frozenset[AssetKey]
) -> frozenset[str | None] | None:
    """Return steps that make or check the assets; ``None`` where all steps are wanted."""
    if not assets:
        return None
    planned = instance.get_records_for_run(run.run_id, of_type=_PLANNED).records
    events = [record.event_log_entry.dagster_event for record in planned]
    return frozenset(e.step_key for e in events if e is not None and _asset_of(e) in assets)


def _asset_of(event: DagsterEvent) -> AssetKey | None:
    if event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
        return event.asset_check_planned_data.asset_key
    return event.asset_key


def _is_wanted(line: LogLine, wanted: LogFilter, steps: frozenset[str | None] | None) -> bool:
    if logging.getLevelNamesMapping().get(line.level, logging.INFO) < wanted.level:
        return False
    if wanted.since is not None and line.at < wanted.since:
        return False
    return steps is None or line.step in steps


def as_line(entry: EventLogEntry, run: DagsterRun) -> LogLine:
    """Convert one entry of a run's log to a line for people."""
    event = entry.dagster_event
    level, message, detail = (
        _describe(event) if event else (as_level(entry.level), entry.user_message, "")
    )
    return LogLine(
        at=datetime.fromtimestamp(entry.timestamp, UTC),
        level=logging.getLevelName(level),
        run_id=run.run_id,
        job=run.job_name,
        partition=run.tags.get(PARTITION_TAG),
        step=entry.step_key,
        event=event.event_type.name if event else None,
        message=message or entry.user_message,
        detail=detail,
    )


def _describe(event: DagsterEvent) -> tuple[int, str, str]:
    """Return level, message and detail of an event."""
    level = _LEVELS.get(event.event_type, logging.DEBUG)
    if event.event_type in (DagsterEventType.STEP_FAILURE, DagsterEventType.STEP_UP_FOR_RETRY):
        error = step_error(event, ())
        return level, error.message, error.traceback
    if event.event_type is DagsterEventType.ASSET_MATERIALIZATION:
        return level, _materialized(event), ""
    if event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION:
        return _checked(event)
    if event.event_type is DagsterEventType.STEP_SUCCESS:
        return level, f"Finished in {seconds_text(event.step_success_data.duration_ms / 1000)}.", ""
    return level, _WORDS.get(event.event_type) or event.message or event.event_type_value, ""


def _materialized(event: DagsterEvent) -> str:
    materialization = event.step_materialization_data.materialization
    facts = {name: value.value for name, value in materialization.metadata.items()}
    key = materialization.asset_key.to_user_string()
    outcome = AssetOutcome(key, None, None, "materialized", **row_facts(facts))
    return f"Made {key}" + (f": {outcome.account}" if outcome.account else "")


def _checked(event: DagsterEvent) -> tuple[int, str, str]:
    check = check_outcome(event.asset_check_evaluation_data, str)
    bad = check.status not in ("passed", "skipped")
    level = logging.ERROR if check.is_bad else logging.WARNING if bad else logging.INFO
    text = f"Check {check.name} of {check.asset} {check.word}"
    return level, f"{text}: {check.message}" if check.message else text, ""
