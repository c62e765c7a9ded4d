"""Runs for ``phlo.lake``: what the commands do, called from Python."""

from __future__ import annotations

import importlib
import sys
from contextlib import ExitStack, nullcontext
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from phlo.branches import check_branch_name
from phlo.errors import ConfigurationError, RunFailedError
from phlo.names import FROM_STAGED_TAG, Partition

from phlo_cli.backfill import Backfill, BackfillStore, plan_backfill, run_backfill
from phlo_cli.branch_option import on_branch
from phlo_cli.location import open_location
from phlo_cli.missing import find_missing
from phlo_cli.names import select
from phlo_cli.output import Output
from phlo_cli.plan import build_plan, partition_of_run, require_ingestions
from phlo_cli.plan_making import make_plan
from phlo_cli.progress import BackfillProgress, show_progress
from phlo_cli.project_settings import require_project
from phlo_cli.run import materialize_assets
from phlo_cli.run_report import send_alerts
from phlo_cli.signals import watch_ending_signals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from phlo_cli.branch_plans import BranchPlan
    from phlo_cli.location import Location
    from phlo_cli.plan import RunPlan
    from phlo_cli.summary import RunSummary

R = TypeVar("R", "RunSummary", "Backfill")


class CommandRunner:
    """Implements :class:`phlo.protocols.ProjectRunner` by the functions of the commands."""

    def materialize(
        self,
        selection: Sequence[str],
        *,
        partition: str | None,
        from_staged: str | None,
        branch: str | None,
        progress: bool,
        raise_on_error: bool,
    ) -> RunSummary:
        """Make assets; see :func:`phlo.lake.materialize`."""
        with _on(branch), watch_ending_signals():
            location = _reopen()
            keys, tags = select(location, selection), {}
            if from_staged is not None:
                require_ingestions(location, keys)
                tags = {FROM_STAGED_TAG: from_staged}
                of_run = partition_of_run(location, from_staged)
                partition = partition or of_run
            run = build_plan(location, keys, partition=partition)
            summary = _run(location, run, progress=progress, tags=tags)
        return _checked(summary, raise_on_error=raise_on_error, is_interrupted=summary.interrupted)

    def backfill(
        self,
        selection: Sequence[str],
        *,
        start_date: str | None,
        end_date: str | None,
        partitions: Sequence[str],
        missing: bool,
        resume: bool,
        parallel: int,
        delay_seconds: float,
        branch: str | None,
        progress: bool,
        raise_on_error: bool,
    ) -> Backfill:
        """Make many partitions; see :func:`phlo.lake.backfill`."""
        days = (start_date, end_date)
        _require_one_way(selection, days, partitions, missing=missing, resume=resume)
        with _on(branch), watch_ending_signals() as first_signal:
            location = _reopen()
            if resume:
                planned = BackfillStore(location.project.settings).last()
            else:
                keys = select(location, selection)
                if missing:
                    since = Partition.parse(start_date).date if start_date else None
                    lacking = find_missing(location, keys, since)
                    partitions = sorted({one.partition for one in lacking})
                    if not partitions:
                        return Backfill("", tuple(key.to_user_string() for key in keys), ())
                planned = plan_backfill(
                    location, keys, start=start_date, end=end_date, partitions=partitions
                )
            ended = _run_backfill(location, planned, delay_seconds, parallel, progress=progress)
            is_interrupted = first_signal() is not None
        return _checked(ended, raise_on_error=raise_on_error, is_interrupted=is_interrupted)

    def plan(
        self,
        selection: Sequence[str],
        *,
        partition: str | None,
        keep_hours: float,
        progress: bool,
        raise_on_error: bool,
    ) -> BranchPlan:
        """Run assets on a branch; see :func:`phlo.lake.plan`."""
        with watch_ending_signals():
            forget_changed_workflows()
            made, summary = make_plan(
                selection,
                partial(_run, progress=progress),
                partition=partition,
                keep_hours=keep_hours,
            )
        _checked(summary, raise_on_error=raise_on_error, is_interrupted=summary.interrupted)
        return made


def _on(branch: str | None) -> AbstractContextManager[None]:
    return nullcontext() if branch is None else on_branch(check_branch_name(branch))


_read_files: dict[Path, tuple[int, int]] = {}
"""Files under ``workflows/`` as they were when this process last loaded the project."""


def _reopen() -> Location:
    """Open the project as its files are now."""
    forget_changed_workflows()
    return open_location()


def forget_changed_workflows() -> None:
    """Forget the project's modules where one of their files changed since the last call."""
    folder = require_project().workflows_dir
    files = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in folder.rglob("*.py")}
    if _read_files and files != _read_files:
        for name in [n for n in sys.modules if n.split(".")[0] == folder.name]:
            del sys.modules[name]
        importlib.invalidate_caches()
    _read_files.clear()
    _read_files.update(files)


def _run(
    location: Location,
    run: RunPlan,
    *,
    progress: bool,
    tags: Mapping[str, str] | None = None,
) -> RunSummary:
    with ExitStack() as stack:
        observer = stack.enter_context(show_progress(Output().console)) if progress else None
        summary = materialize_assets(location, run, observer, tags=tags)
    send_alerts(location)
    return summary


def _run_backfill(
    location: Location,
    planned: Backfill,
    delay_seconds: float,
    parallel: int,
    *,
    progress: bool,
) -> Backfill:
    store = BackfillStore(location.project.settings)
    with ExitStack() as stack:
        told: Callable[[Backfill, RunSummary], None] = lambda *_: None  # noqa: E731
        if progress:
            bar = BackfillProgress(Output().console, len(planned.pending))
            stack.enter_context(bar)
            told = lambda _backfill, summary: bar.ended(summary)  # noqa: E731
        ended = run_backfill(
            location, planned, store, delay_seconds=delay_seconds, parallel=parallel, told=told
        )
    send_alerts(location)
    return ended


def _require_one_way(
    selection: Sequence[str],
    days: tuple[str | None, str | None],
    partitions: Sequence[str],
    *,
    missing: bool,
    resume: bool,
) -> None:
    """Refuse arguments that name the partitions in no way, or in several.

    Raises:
        ConfigurationError: They do.
    """
    start, end = days
    is_range = end is not None or (start is not None and not missing)
    arguments = {
        "days": is_range,
        "partitions": bool(partitions),
        "missing": missing,
        "resume": resume,
    }
    ways = [name for name, is_given in arguments.items() if is_given]
    is_whole = not is_range or None not in days
    if len(ways) == 1 and is_whole and bool(selection) != resume:
        return
    raise ConfigurationError(
        "backfill() does not know which partitions of which assets to make.",
        got=f"{len(selection)} names, and {' and '.join(ways) or 'no partitions'}"
        f"{'' if is_whole else ' without both ends'}",
        expected="names with start_date and end_date, partitions or missing; or resume alone",
        hint='backfill("events", start_date="2025-01-01", end_date="2025-01-31")',
    )


def _checked(result: R, *, raise_on_error: bool, is_interrupted: bool) -> R:
    """Return a result that is ok, or that the caller wants to look at itself."""
    if result.is_ok:
        return result
    if is_interrupted:
        raise KeyboardInterrupt
    if raise_on_error:
        raise RunFailedError(repr(result), hint=_hint(result), result=result)
    return result


def _hint(result: RunSummary | Backfill) -> str:
    if isinstance(result, Backfill):
        return "Correct it, then backfill(resume=True) runs what is left."
    return f"phlo logs --run-id {result.run_id[:8]}"
