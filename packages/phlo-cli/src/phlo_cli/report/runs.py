"""The newest runs and the results of checks, from Dagster's event log."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dagster import AssetCheckKey, AssetKey, DagsterEventType, DagsterRunStatus, RunsFilter
from phlo.orchestration.dagster_private import PARTITION_TAG
from phlo.orchestration.history import has_log

from phlo_cli.report.values import CheckRun, RunRow
from phlo_cli.run_events import check_outcome
from phlo_cli.step_errors import step_error

if TYPE_CHECKING:
    from dagster import DagsterInstance, DagsterRun, RunRecord

    from phlo_cli.project_index import ProjectIndex

RUNS = 50
"""Runs on the page."""

CHECK_RUNS = 14
"""Results shown of each check."""

_PAGE = 500


def read_runs(instance: DagsterInstance, limit: int = RUNS) -> list[RunRow]:
    """Read the newest runs, newest first."""
    return [_run_row(instance, record) for record in instance.get_run_records(limit=limit)]


def _run_row(instance: DagsterInstance, record: RunRecord) -> RunRow:
    run, began, ended = record.dagster_run, record.start_time, record.end_time
    return RunRow(
        run_id=run.run_id,
        job="" if run.job_name.startswith("__") else run.job_name,
        status=run.status.value.lower().replace("_", " "),
        partition=run.tags.get(PARTITION_TAG),
        started_at=datetime.fromtimestamp(began, UTC) if began else None,
        seconds=ended - began if began and ended else None,
        assets=len(run.asset_selection or ()),
        error=read_error(instance, run) if run.status is DagsterRunStatus.FAILURE else "",
    )


def read_error(instance: DagsterInstance, run: DagsterRun) -> str:
    """Read why a run failed: the message of its first failed step, else of the run itself.

    Returns:
        An empty text where the log of an old run was removed.
    """
    if not has_log(instance, run.run_id):
        return ""
    records = instance.get_records_for_run(
        run.run_id, of_type={DagsterEventType.STEP_FAILURE, DagsterEventType.RUN_FAILURE}
    ).records
    events = [r.event_log_entry.dagster_event for r in records]
    steps = [e for e in events if e and e.event_type is DagsterEventType.STEP_FAILURE]
    if steps:
        return step_error(steps[0], ()).message
    return next((e.message or "" for e in events if e), "")


def read_check_runs(
    index: ProjectIndex, instance: DagsterInstance, limit: int = CHECK_RUNS
) -> dict[str, dict[str, list[CheckRun]]]:
    """Read the newest results of each check: by asset key and name of the check, newest first."""
    results = {
        asset.key: {name: _results(instance, asset.key, name, limit) for name in asset.checks}
        for asset in index.assets
    }
    run_ids = {r.run_id for checks in results.values() for runs in checks.values() for r in runs}
    partitions = _partitions_of_runs(instance, sorted(run_ids))
    return {
        key: {
            name: [replace(one, partition=partitions.get(one.run_id)) for one in runs]
            for name, runs in checks.items()
        }
        for key, checks in results.items()
    }


def _partitions_of_runs(instance: DagsterInstance, run_ids: list[str]) -> dict[str, str | None]:
    pages = (run_ids[i : i + _PAGE] for i in range(0, len(run_ids), _PAGE))
    return {
        run.run_id: run.tags.get(PARTITION_TAG)
        for page in pages
        for run in instance.get_runs(RunsFilter(run_ids=page))
    }


def _results(instance: DagsterInstance, asset: str, name: str, limit: int) -> list[CheckRun]:
    key = AssetCheckKey(AssetKey.from_user_string(asset), name)
    results: list[CheckRun] = []
    for record in instance.event_log_storage.get_asset_check_execution_history(key, limit):
        event = record.event.dagster_event if record.event else None
        if event is not None and event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION:
            outcome = check_outcome(event.asset_check_evaluation_data, str)
            at = datetime.fromtimestamp(record.create_timestamp, UTC)
            results.append(CheckRun(at, record.run_id, outcome.word, outcome.message))
    return results
