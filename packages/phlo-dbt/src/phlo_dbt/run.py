"""One run of dbt in this process: build in a scratch database, audit, publish what passed."""

from __future__ import annotations

import shutil
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from phlo.config import get_settings
from phlo.locks import locked

from phlo_dbt.dbt_private import copy_manifest, limit_statements
from phlo_dbt.folders import TRINO_ADAPTER
from phlo_dbt.manifest import held_manifest, invoke_dbt
from phlo_dbt.publishing import DbtOutcome, publish_stages
from phlo_dbt.run_results import record_unpublished
from phlo_dbt.running import session_in_progress
from phlo_dbt.session import DbtSession

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from dbt.cli.main import dbtRunnerResult
    from dbt.contracts.graph.manifest import Manifest
    from phlo.lake import Lake
    from phlo.project import Project

    from phlo_dbt.folders import DbtWorkspace
    from phlo_dbt.publishing import Judge

_LOCK = ".lock"
_BROKEN = ("error", "fail", "runtime error")
# dbt keeps its flags, adapter and event handlers per process.
_ONE_AT_A_TIME = threading.Lock()


def run_dbt(
    workspace: DbtWorkspace,
    project: Project,
    lake: Lake,
    arguments: Sequence[str],
    *,
    run_name: str,
    run_id: str = "",
    chosen: Sequence[str],
    judge: Judge | None = None,
    on_event: Callable[[dict[str, Any]], None] | None = None,
    outcome: DbtOutcome | None = None,
) -> DbtOutcome:
    """Run a dbt command quietly, and publish what it built and passed its tests.

    Args:
        workspace: Folders of the dbt project.
        project: Tells which asset makes which table.
        lake: Where tables are read from and published to.
        arguments: The command and its options, without folders and profile.
        run_name: Names the scratch folder, which is removed at the end.
        run_id: Dagster's run, which the snapshots name.
        chosen: Unique ids of the models and tests that ``arguments`` select.
        judge: See :func:`~phlo_dbt.publishing.publish_stages`.
        on_event: Told each node's result as it comes.
        outcome: Filled on the way; whoever stops the run reads there what was published.

    Raises:
        MovedHeadError: Somebody else wrote a table meanwhile; nothing was published.
    """
    outcome = outcome or DbtOutcome()

    def collect(message: Any) -> None:
        event = outcome.collect(message)
        if event is not None and on_event is not None:
            on_event(event)

    limit = limit_statements(get_settings().query_timeout_seconds or None)
    with _ONE_AT_A_TIME, limit, scratch_folder(workspace, run_name) as folder:
        manifest = copy_manifest(held_manifest(workspace))
        session = _session_class(manifest)(
            lambda: lake, folder, lambda: project.tables, frozenset(chosen), run_id=run_id
        )
        with session_in_progress(session), ExitStack() as ending:
            ending.callback(record_unpublished, session, outcome)
            options = ["--log-level", "none", "--no-use-colors"]
            result = invoke_dbt(
                [*options, *arguments, *workspace.arguments()],
                manifest=manifest,
                callbacks=[collect],
                stop=session.interrupt,
            )
            outcome.failures = failures_of(result)
            outcome.compiled = session.compiled
            publish_stages(session, outcome, judge)
    return outcome


@contextmanager
def scratch_folder(workspace: DbtWorkspace, run_name: str) -> Iterator[Path]:
    """Make a folder for one run, locked while it lives, and remove what killed runs left."""
    folder = workspace.runs_dir / run_name
    with ExitStack() as stack:
        with workspace.lock():
            _remove_abandoned(workspace.runs_dir)
            stack.enter_context(locked(folder / _LOCK))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.callback(DuckDBConnectionManager.close_all_connections)
        yield folder


def _remove_abandoned(runs_dir: Path) -> None:
    for folder in runs_dir.iterdir() if runs_dir.exists() else ():
        with suppress(BlockingIOError), locked(folder / _LOCK, timeout_seconds=0):
            shutil.rmtree(folder, ignore_errors=True)


def _session_class(manifest: Manifest) -> type[DbtSession]:
    if manifest.metadata.adapter_type != TRINO_ADAPTER:
        return DbtSession
    from phlo_dbt.trino_session import TrinoSession

    return TrinoSession


def failures_of(result: dbtRunnerResult) -> list[str]:
    """Return one line for each node that failed, or for dbt itself."""
    if result.exception is not None:
        return [str(result.exception)]
    results = getattr(result.result, "results", [])
    return [
        f"{r.node.name}: {(r.message or str(r.status)).strip()}"
        for r in results
        if str(r.status) in _BROKEN
    ]
