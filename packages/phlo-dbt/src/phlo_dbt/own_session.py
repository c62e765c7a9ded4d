"""The session of a run of dbt that phlo did not start: at a prompt, in an editor, by ``phlo dbt``.

It begins when dbt hands its manifest to the adapter and ends with dbt's command, whose exit code
it changes where something was withheld.
"""

from __future__ import annotations

import atexit
import sys
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import click
from dbt.cli.exceptions import ResultExit
from dbt_common.events.event_manager_client import add_callback_to_manager
from phlo.audit import audit, notify_checks
from phlo.config import get_settings
from phlo.errors import PhloError
from phlo.lake import open_lake
from phlo.project import load_project

from phlo_dbt.dbt_private import limit_statements
from phlo_dbt.environment import name_project_of
from phlo_dbt.folders import DbtWorkspace
from phlo_dbt.publishing import DbtOutcome, publish_stages
from phlo_dbt.run import scratch_folder
from phlo_dbt.run_results import record_unpublished
from phlo_dbt.running import session_in_progress
from phlo_dbt.session import DbtSession

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from phlo.audit import Audit
    from phlo.project import Project
    from phlo.protocols import Staged

_ENDED = "CommandCompleted"


def open_own_session(dbt_dir: Path, kind: type[DbtSession] = DbtSession) -> DbtSession:
    """Open a session that ends with the dbt command in progress.

    Args:
        dbt_dir: The dbt project, in a phlo project.
        kind: The session's class, which the adapter names.
    """
    name_project_of(dbt_dir)
    return _OwnRun().open(kind)


def _is_interrupted() -> bool:
    """Return whether dbt is ending by an interrupt, which it wraps: its models are but a part."""
    error = sys.exception()
    error = getattr(error, "exception", error)
    return error is not None and not isinstance(error, Exception)


class _OwnRun:
    """One command of dbt: its session, its results, and the project that says what blocks."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._outcome = DbtOutcome()

    @cached_property
    def project(self) -> Project:
        """The phlo project, whose workflows are imported when they are first needed."""
        return load_project()

    def open(self, kind: type[DbtSession]) -> DbtSession:
        workspace = DbtWorkspace.of(get_settings())
        name = f"command-{uuid4().hex[:8]}"
        self._session = kind(
            open_lake,
            workspace.runs_dir / name,
            lambda: self.project.tables,
            on_start=lambda: self._stack.enter_context(scratch_folder(workspace, name)),
        )
        limit = limit_statements(get_settings().query_timeout_seconds or None)
        self._stack.enter_context(limit)
        self._stack.enter_context(session_in_progress(self._session))
        add_callback_to_manager(self._on_message)
        atexit.register(self._stack.close)
        return self._session

    def _on_message(self, message: Any) -> None:
        self._outcome.collect(message)
        if message.info.name == _ENDED:
            with self._stack, ExitStack() as ending:
                ending.callback(record_unpublished, self._session, self._outcome)
                self._finish()

    def _finish(self) -> None:
        """Publish, and end the command as failed where something was not published."""
        if _is_interrupted():
            click.echo("Interrupted: nothing was published.", err=True)
            return
        try:
            publish_stages(self._session, self._outcome, self._audit)
        except PhloError as exc:
            click.echo(str(exc), err=True)
            raise ResultExit from exc
        for line in (*self._outcome.evidence, *self._lines()):
            click.echo(line, err=True)
        if self._lines():
            raise ResultExit

    def _lines(self) -> list[str]:
        if not self._session.is_started:
            return []
        return [*self._outcome.failures, *self._outcome.withheld_lines(self._session.nodes)]

    def _audit(self, unique_id: str, ready: Mapping[str, Staged]) -> Audit:
        stage = ready[unique_id]
        suites = [s for s in self.project.suites_for(stage.table) if s.blocking]
        audited = audit(suites, self._session.lake, stage, beside=ready.values())
        notify_checks(audited.results, self._session.folder.name, staged=True)
        return audited
