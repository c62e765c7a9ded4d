"""Runs in this process, on the project's own Dagster instance."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from dagster import DagsterRunStatus, colored_console_logger
from phlo.events import RunEvent
from phlo.orchestration.dagster_private import PARTITION_TAG
from phlo.plugins import notify, plugin_manager

from phlo_cli.dagster_private import execute_run, step_assets
from phlo_cli.liveness import marked_alive
from phlo_cli.run_events import EventCollector, RunObserver

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dagster import DagsterRun, JobDefinition

    from phlo_cli.location import Location
    from phlo_cli.plan import RunPlan
    from phlo_cli.summary import RunStatus, RunSummary


def materialize_assets(
    location: Location,
    plan: RunPlan,
    observer: RunObserver | None = None,
    *,
    tags: Mapping[str, str] | None = None,
) -> RunSummary:
    """Run a plan to its end.

    A failing asset fails the run, not this function: the summary tells what happened. Several
    plans may be run one after the other on one location, which loads the project once.

    Args:
        location: The project.
        plan: What to make (see :func:`phlo_cli.plan.build_plan`).
        observer: Told of every step while it runs.
        tags: More tags for Dagster's run.

    Returns:
        What was made, judged and published, and what failed.
    """
    started_at, clock = datetime.now(UTC), time.monotonic()
    job, run_id = _job(location, plan), str(uuid4())
    steps = step_assets(job, _run_config(job))
    collector = EventCollector(location, plan, run_id, steps, observer or RunObserver())
    with marked_alive(location.project.settings, run_id), _record_early_cancel(location, run_id):
        _execute(location, job, _create_run(location, job, plan, run_id, tags or {}), collector)
    summary = collector.summary(_status(location, run_id), time.monotonic() - clock)
    notify(
        "phlo_on_run",
        RunEvent(run_id, summary.status, started_at, summary.seconds, _keys(plan)),
    )
    return summary


@contextmanager
def _record_early_cancel(location: Location, run_id: str) -> Iterator[None]:
    """Record a run as canceled which a signal ended before Dagster began it."""
    try:
        yield
    except Exception:
        raise
    except BaseException:
        run = location.instance.get_run_by_id(run_id)
        if run is not None and run.status is DagsterRunStatus.NOT_STARTED:
            location.instance.report_run_canceled(run, "A signal ended the run before it began.")
        raise


def _job(location: Location, plan: RunPlan) -> JobDefinition:
    whole = location.repository.get_implicit_global_asset_job_def()
    return whole.get_subset(asset_selection=plan.keys)


def _create_run(
    location: Location, job: JobDefinition, plan: RunPlan, run_id: str, tags: Mapping[str, str]
) -> DagsterRun:
    partition = {PARTITION_TAG: plan.partition} if plan.partition else {}
    return location.instance.create_run_for_job(
        job_def=job,
        run_id=run_id,
        asset_selection=plan.keys,
        tags={**tags, **partition},
        run_config=_run_config(job),
    )


def _run_config(job: JobDefinition) -> dict[str, Any]:
    """Keep Dagster's own log off the terminal: progress is shown from the same events."""
    if job.loggers.get("console", colored_console_logger) is not colored_console_logger:
        return {}  # the project has a logger of its own, and wants to see it
    return {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def _execute(
    location: Location, job: JobDefinition, run: DagsterRun, collector: EventCollector
) -> None:
    plugins = plugin_manager()
    plugins.register(collector, name="phlo-cli run")
    try:
        location.instance.add_event_listener(run.run_id, collector.receive)
        for _ in execute_run(job, run, location.instance):
            pass  # the listener hears every event, and every line logged, as it is stored
    finally:
        plugins.unregister(collector)


def _status(location: Location, run_id: str) -> RunStatus:
    run = location.instance.get_run_by_id(run_id)
    if run is not None and run.status is DagsterRunStatus.SUCCESS:
        return "success"
    return "canceled" if run is not None and run.status is DagsterRunStatus.CANCELED else "failure"


def _keys(plan: RunPlan) -> tuple[str, ...]:
    return tuple(asset.key for asset in plan.assets)
