"""Detect runs whose process was killed.

A run of `phlo` holds a file lock while its process lives; a free lock means that the run is dead.
A run of Dagster's daemon is carried out by a code server; one that is gone has ended its runs. In
a database they may be runs of another machine, whose servers are not seen from here.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dagster import DagsterRunStatus, RunsFilter
from phlo.folders import RUNS
from phlo.locks import locked

from phlo_cli.dagster_private import (
    free_slots_of_ended_runs,
    has_lost_its_server,
    keeps_runs_in_files,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dagster import DagsterInstance, DagsterRun
    from phlo.config import Settings

logger = logging.getLogger(__name__)

_LAUNCHED = (
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
)
_GOING_ON = (DagsterRunStatus.NOT_STARTED, *_LAUNCHED)


@contextmanager
def marked_alive(settings: Settings, run_id: str) -> Iterator[None]:
    """Hold a lock from before this process creates the run until it has carried it out."""
    path = _folder(settings) / run_id
    with locked(path):
        yield
        path.unlink(missing_ok=True)


def end_abandoned_runs(
    settings: Settings, instance: DagsterInstance, *, was_stopped: bool = False
) -> list[str]:
    """Record runs as failed whose process is gone; without it they would go on forever.

    Slots of pools that they hold are free afterwards.

    Args:
        settings: The project's.
        instance: Where its runs are kept.
        was_stopped: Whether the code server was stopped, which cancels its runs.

    Returns:
        Ids of the runs.
    """
    marks = sorted(_folder(settings).glob("*"))
    lost = _runs_without_server(instance)
    for run in lost:
        if was_stopped:
            instance.report_run_canceled(run, "phlo dev was stopped.")
        else:
            _end(run, instance)
    ended = [path.name for path in marks if _end_if_abandoned(path, instance)]
    free_slots_of_ended_runs(instance)
    return [run.run_id for run in lost] + ended


def _runs_without_server(instance: DagsterInstance) -> list[DagsterRun]:
    if not keeps_runs_in_files(instance):
        return []
    launched = instance.get_runs(RunsFilter(statuses=list(_LAUNCHED)))
    return [run for run in launched if has_lost_its_server(run)]


def _end_if_abandoned(path: Path, instance: DagsterInstance) -> bool:
    try:
        with locked(path, timeout_seconds=0):
            run = instance.get_run_by_id(path.name)
            if run is None:
                return False  # its process is about to create it, and waits for this lock
            if run.status in _GOING_ON:
                _end(run, instance)
            path.unlink(missing_ok=True)
            return run.status in _GOING_ON
    except BlockingIOError:
        return False  # it is going on


def _end(run: DagsterRun, instance: DagsterInstance) -> None:
    logger.info("Run %s is recorded as failed: its process is gone.", run.run_id)
    instance.report_run_failed(run, "The process of this run was killed.")


def _folder(settings: Settings) -> Path:
    return RUNS.path(settings.state_dir)
