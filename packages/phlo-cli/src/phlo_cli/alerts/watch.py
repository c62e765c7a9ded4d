"""Find events worth an alert, in the run history, the index and the quarantine tables."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dagster import DagsterEventType, DagsterRunStatus, RunsFilter
from phlo.errors import ConfigurationError, PhloError
from phlo.folders import BACKFILLS
from phlo.lake import open_lake
from phlo.locks import locked
from phlo.orchestration.branch_runs import BRANCH_TAG
from phlo.redaction import redact
from phlo.words import counted

from phlo_cli.alerts.values import Alert
from phlo_cli.backfill import BACKFILL_TAG, BackfillStore
from phlo_cli.status import asset_states
from phlo_cli.step_errors import step_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagster import DagsterInstance, DagsterRun, RunRecord
    from phlo.config import Settings

    from phlo_cli.alerts.values import Journal
    from phlo_cli.project_index import ProjectIndex
    from phlo_cli.summary import StepError

logger = logging.getLogger(__name__)

FIRST_LOOK = timedelta(hours=1)
"""How far the first look of a project goes back: not to failures of long ago."""

_OVERLAP = timedelta(minutes=5)
_ROOT_RUN_TAG = "dagster/root_run_id"
_LONGEST_TEXT = 1_500


def find_alerts(
    settings: Settings,
    index: ProjectIndex | None,
    instance: DagsterInstance,
    journal: Journal,
    *,
    quarantine_rows: int,
) -> Iterator[Alert]:
    """Yield what happened since the journal's last look, and what is stale now.

    Args:
        settings: The project's.
        index: What it declares; without it no table can be judged stale.
        instance: Its run history.
        journal: What was seen before; the counts of quarantines in it are brought up to date.
        quarantine_rows: Rows by which a quarantine must have grown.
    """
    now = datetime.now(UTC)
    yield from _failed_runs(instance, journal, now)
    yield from _failed_backfill(settings, now)
    if index is not None:
        yield from _stale_tables(index, instance, now)
    yield from _growing_quarantines(journal, quarantine_rows, now)
    journal.looked_at = now.isoformat(timespec="seconds")


def _failed_runs(instance: DagsterInstance, journal: Journal, now: datetime) -> Iterator[Alert]:
    """Yield failed runs.

    Those of a backfill share the alert of the backfill, and those of a branch failed there.
    """
    looked = datetime.fromisoformat(journal.looked_at) if journal.looked_at else now - FIRST_LOOK
    failed = RunsFilter(statuses=[DagsterRunStatus.FAILURE], updated_after=looked - _OVERLAP)
    for record in reversed(instance.get_run_records(failed)):
        if not {BACKFILL_TAG, BRANCH_TAG} & record.dagster_run.tags.keys():
            yield _of_run(instance, record)


def _of_run(instance: DagsterInstance, record: RunRecord) -> Alert:
    run = record.dagster_run
    error = _first_error(instance, run)
    is_blocked = error is not None and error.kind == "AuditError"
    what = ", ".join(error.labels or (error.step,)) if error else _assets(run)
    partition = run.tags.get("dagster/partition")
    of_partition = f", partition {partition}" if partition else ""
    ended = datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), UTC)
    return Alert(
        # What retries a run is a run of its own; the event is the first one's.
        key=f"run:{run.tags.get(_ROOT_RUN_TAG, run.run_id)}",
        type="blocked_audit" if is_blocked else "failed_run",
        title=f"{what} {'was withheld by its checks' if is_blocked else 'failed'}{of_partition}",
        text=shorten(error.message if error else "The run ended before any step failed."),
        command=f"phlo logs --run-id {run.run_id[:8]}",
        at=ended.isoformat(timespec="seconds"),
    )


def _first_error(instance: DagsterInstance, run: DagsterRun) -> StepError | None:
    records = instance.get_records_for_run(run.run_id, of_type=DagsterEventType.STEP_FAILURE)
    event = next((r.event_log_entry.dagster_event for r in records.records), None)
    return step_error(event, ()) if event else None


def _assets(run: DagsterRun) -> str:
    keys = sorted(key.to_user_string() for key in run.asset_selection or ())
    return ", ".join(keys[:3]) + (" ..." if len(keys) > 3 else "") or run.job_name


def shorten(text: str) -> str:
    """Return a text without secrets, cut to what fits a message."""
    plain = redact(text)
    return plain if len(plain) <= _LONGEST_TEXT else f"{plain[:_LONGEST_TEXT]} ..."


def _failed_backfill(settings: Settings, now: datetime) -> Iterator[Alert]:
    """Yield the last backfill if it ended with failures; one that goes on is no event yet."""
    try:
        backfill = BackfillStore(settings).last()
        lock = BACKFILLS.path(settings.state_dir) / f"{backfill.backfill_id}.lock"
        with locked(lock, timeout_seconds=0):
            pass
    except (ConfigurationError, BlockingIOError, OSError, ValueError):
        return
    if not backfill.failed:
        return
    partition, message = next(iter(backfill.failed.items()))
    yield Alert(
        key=f"backfill:{backfill.backfill_id}",
        type="failed_backfill",
        title=f"A backfill of {', '.join(backfill.assets[:3])} failed for "
        f"{len(backfill.failed)} of {len(backfill.partitions)} partitions",
        text=shorten(f"{partition}: {message}"),
        command="phlo backfill --resume",
        at=now.isoformat(timespec="seconds"),
    )


def _stale_tables(index: ProjectIndex, instance: DagsterInstance, now: datetime) -> Iterator[Alert]:
    watched = tuple(asset for asset in index.assets if asset.fail_seconds is not None)
    for state in asset_states(replace(index, assets=watched), instance):
        if state.freshness == "stale":
            made = state.made_at.isoformat(timespec="seconds") if state.made_at else "never"
            newest = state.newest_partition
            yield Alert(
                key=f"stale:{state.key}:{made}:{newest}",
                type="stale_table",
                title=f"{state.table or state.key} is stale",
                text=f"It is older than its freshness policy allows. Last made: {made}"
                + (f", newest partition {newest}." if newest else "."),
                command="phlo status --stale",
                at=now.isoformat(timespec="seconds"),
            )


def _growing_quarantines(journal: Journal, most: int, now: datetime) -> Iterator[Alert]:
    """Yield quarantines that grew; one that shrank is judged by its new count from now on."""
    for table, rows in _quarantine_counts():
        before = journal.quarantined.get(table, 0)
        if rows < before:
            journal.quarantined[table] = rows
        elif rows - before >= most:
            journal.quarantined[table] = rows
            moment = now.isoformat(timespec="seconds")
            yield Alert(
                key=f"quarantine:{table}:{rows}:{moment}",
                type="growing_quarantine",
                title=f"The quarantine of {table} grew by {counted(rows - before, 'row')}",
                text=f"It has {counted(rows, 'row')} now, {before:,} before.",
                command=f"phlo quarantine show {table}",
                at=moment,
            )


def _quarantine_counts() -> Iterator[tuple[str, int]]:
    try:
        store = open_lake().store
        tables = [name for name in store.list_tables() if name.namespace == "quarantine"]
        for name in tables:
            namespace, _, table = name.name.partition("__")
            yield f"{namespace}.{table}", store.load(name).row_count
    except PhloError as error:
        logger.warning("The quarantine cannot be judged: %s", error)
