"""Parts of Dagster that it does not publish, all that phlo-cli uses of them beyond phlo-core.

Each stands here with what it does, why no public way will do, and since which version of Dagster
it is so; a test of its name says what it must do, so that an upgrade that breaks it is seen.
"""

from __future__ import annotations

import json
import socket
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from dagster import RunsFilter
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph, AssetNode
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import create_execution_plan, execute_run_iterator
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.base import AssetEntry
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._utils.interrupts import check_captured_interrupt
from dagster_shared.error import SerializableErrorInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dagster import DagsterEvent, DagsterInstance, DagsterRun, JobDefinition

_SECONDS_TO_ANSWER = 2.0

WEB_SERVER, DAEMON = "web server", "daemon"
SERVICES = {
    WEB_SERVER: ("-m", "dagster_webserver"),
    DAEMON: ("-m", "dagster._daemon"),
    "code server's proxy": ("code-server", "start"),
    "code server": ("api", "grpc"),
}
"""What `dagster dev` starts, by arguments of their command lines; see ``name_service``."""

__all__ = [
    "SERVICES",
    "WEB_SERVER",
    "DAEMON",
    "AssetCheckExecutionRecordStatus",  # of the records that the event log returns. Since 1.5.
    "AssetEntry",  # what the event log keeps of an asset has no public name. Since 1.0.
    "AssetGraph",  # what RepositoryDefinition.asset_graph returns has no public name. Since 1.0.
    "SerializableErrorInfo",  # the error of an event, which has no public name. Since 1.0.
    # Whether Dagster holds a signal back until a step ends; it asks nobody else. Since 1.0.
    "check_captured_interrupt",
    "AssetNode",  # a node of that graph. Since 1.0.
    "execute_run",
    "free_slots_of_ended_runs",
    "freshness_seconds",
    "has_lost_its_server",
    "keeps_runs_in_files",
    "last_heartbeat",
    "name_service",
    "step_assets",
]


def execute_run(
    job: JobDefinition, run: DagsterRun, instance: DagsterInstance
) -> Iterator[DagsterEvent]:
    """Execute a run that an instance has recorded, in this process, event by event.

    Publicly a job makes a run of its own when it is executed, whose id, tags and selection nobody
    knows before, or it must be one that another process can import. Since 1.0.
    """
    return execute_run_iterator(InMemoryJob(job), run, instance)


def step_assets(job: JobDefinition, run_config: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the keys of the assets that each step of a job makes, in the order of the steps.

    A job publishes its nodes and not its steps, which its configuration decides. Since 1.0.
    """
    plan = create_execution_plan(job, run_config=run_config)
    return {
        step.key: tuple(
            output.properties.asset_key.to_user_string()
            for output in step.step_outputs
            if output.properties.asset_key is not None
        )
        for step in plan.get_all_steps_in_topo_order()
    }


def freshness_seconds(policy: object) -> tuple[float | None, float | None]:
    """Return the ages after which an asset is late and stale; ``None`` without such a limit.

    A policy is made by ``FreshnessPolicy.time_window``, whose class has no public name. Since 1.11.
    """
    if not isinstance(policy, TimeWindowFreshnessPolicy):
        return None, None
    warn = policy.warn_window.to_timedelta().total_seconds() if policy.warn_window else None
    return warn, policy.fail_window.to_timedelta().total_seconds()


def has_lost_its_server(run: DagsterRun) -> bool:
    """Return whether the code server that was asked to carry out a run is gone.

    The daemon notes the server's address in a tag without a public name, and its own watch over
    runs knows nothing of servers on this machine. Since 1.0.
    """
    if GRPC_INFO_TAG not in run.tags:
        return False
    server = json.loads(run.tags[GRPC_INFO_TAG])
    is_local = "socket" in server
    family = socket.AF_UNIX if is_local else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(_SECONDS_TO_ANSWER)
        try:
            probe.connect(server["socket"] if is_local else (server["host"], int(server["port"])))
        except (FileNotFoundError, ConnectionRefusedError):
            return True
        except OSError:  # a server that is busy, or on a machine that does not answer
            return False
    return False


def keeps_runs_in_files(instance: DagsterInstance) -> bool:
    """Return whether an instance keeps its runs in files of this machine.

    In a database they may be those of another machine, whose code servers are not seen from here.
    The storage of an instance, and its classes, have no public name. Since 1.0.
    """
    return isinstance(instance.run_storage, SqliteRunStorage)


def last_heartbeat(instance: DagsterInstance) -> float | None:
    """Return when a daemon last said that it lives, in seconds since 1970; ``None`` for never.

    The public `dagster-daemon liveness-check` is a command of seconds of work. Since 0.10.
    """
    beats = instance.get_daemon_heartbeats().values()
    return max((beat.timestamp for beat in beats), default=None)


def free_slots_of_ended_runs(instance: DagsterInstance) -> None:
    """Free slots of pools that runs hold which have ended or were deleted.

    A process that is killed frees none, and Dagster's daemon does so only where it is told to; the
    storage of events has no public name. Since 1.5.
    """
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return
    if run_ids := storage.get_concurrency_run_ids():
        runs = instance.get_runs(RunsFilter(run_ids=list(run_ids)))
        for run_id in run_ids - {run.run_id for run in runs if not run.is_finished}:
            storage.free_concurrency_slots_for_run(run_id)


def name_service(command_line: Sequence[str]) -> str | None:
    """Return which of Dagster's services a command line starts; ``None`` for none of them.

    `dagster dev` tells nobody which processes it starts, and its code server has no public health
    check behind the proxy. The proxy, and so these four, since 1.13.
    """
    pairs = set(pairwise(command_line))
    return next((name for name, pair in SERVICES.items() if pair in pairs), None)
