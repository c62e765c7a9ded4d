"""What people see of a run: lines as things end, and on a terminal what is going on now."""

from __future__ import annotations

import logging
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from phlo.checks import CheckStatus
from phlo.words import counted
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from phlo_cli.run_events import RunObserver
from phlo_cli.summary import seconds_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.progress import TaskID

    from phlo_cli.plan import RunPlan
    from phlo_cli.summary import AssetOutcome, CheckOutcome, RunSummary, StepError

MARKS = {
    "materialized": "[green]✓[/]",
    "no_data": "[yellow]-[/]",
    "failed": "[red]✗[/]",
    "skipped": "[dim]-[/]",
    "canceled": "[yellow]-[/]",
    CheckStatus.PASSED: "[green]✓[/]",
    CheckStatus.FAILED: "[red]✗[/]",
    CheckStatus.SKIPPED: "[yellow]-[/]",
    CheckStatus.COULD_NOT_RUN: "[red]✗[/]",
}
_NOTES = {
    "no_data": "no data",
    "failed": "failed",
    "skipped": "not run: what it needs failed",
    "canceled": "not made: the run was stopped",
}
_WIDEST_LABEL = 44


class LineProgress(RunObserver):
    """Prints a line whenever something of a run ends.

    Args:
        console: Where to.
        verbose: Print every line that the run logs, else those from warnings up.
    """

    def __init__(self, console: Console, *, verbose: bool = False) -> None:
        self._console = console
        self._from_level = logging.DEBUG if verbose else logging.WARNING
        self._width = 0
        self._held: list[str] = []

    def started(self, run_id: str, plan: RunPlan) -> None:
        """Say what runs."""
        self._width = min(_WIDEST_LABEL, max(len(asset.label) for asset in plan.assets))
        self._print(
            f"Run [bold]{run_id[:8]}[/]: {counted(len(plan.assets), 'asset')}"
            + (f", partition [bold]{escape(plan.partition)}[/]" if plan.partition else "")
        )

    def asset_ended(self, outcome: AssetOutcome) -> None:
        """Print one line for the asset."""
        note = _NOTES.get(outcome.status) or outcome.account
        took = f"[dim]{seconds_text(outcome.seconds)}[/]" if outcome.seconds else ""
        label = f"{escape(outcome.label):<{self._width}}"
        self._print(f"  {MARKS[outcome.status]} {label}  {escape(note)}  {took}".rstrip())

    def check_ended(self, outcome: CheckOutcome) -> None:
        """Show a check that did not pass: others are not worth a line while the run goes on."""
        if outcome.status is not CheckStatus.PASSED:
            self._print(check_line(outcome))

    def step_retried(self, step: str, message: str) -> None:
        """Say that a step is tried again, and why."""
        first = message.splitlines()[0] if message else "it failed"
        self._print(f"  [yellow]↻[/] {escape(step)}: trying again: {escape(first)}")

    def logged(self, level: int, text: str) -> None:
        """Show a line that the run logs; warnings and errors when their step ends."""
        if level < logging.WARNING and level >= self._from_level:
            self._print(f"  [dim]{escape(text)}[/]")
        elif level >= self._from_level and not text.startswith("Dependencies for step"):
            self._held.append(text)

    def step_ended(self, step: str) -> None:
        """Show the step's warnings, held back so that a failure's own are not told twice."""
        for text in self._held:
            self._print(f"  [yellow]! {escape(text)}[/]")
        self._held.clear()

    def step_failed(self, error: StepError) -> None:
        """Print the error; drop the step's warnings that say the same."""
        self._held = [text for text in self._held if not error.message.startswith(text)]

    def _print(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)


class LiveProgress(LineProgress):
    """Shows on a terminal, below those lines, the steps that are going on and for how long."""

    def __init__(self, console: Console, *, verbose: bool = False) -> None:
        super().__init__(console, verbose=verbose)
        self._live = Progress(
            TextColumn(" "),
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> LiveProgress:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def step_started(self, step: str, labels: tuple[str, ...]) -> None:
        """Show a moving line until the step ends."""
        more = f" and {len(labels) - 2} more" if len(labels) > 2 else ""
        shown = escape(", ".join(labels[:2]) + more)
        self._tasks[step] = self._live.add_task(shown, total=None)

    def step_ended(self, step: str) -> None:
        """Remove the moving line."""
        super().step_ended(step)
        if step in self._tasks:
            self._live.remove_task(self._tasks.pop(step))


def check_line(check: CheckOutcome) -> str:
    """Format a check in one line, with markup."""
    mark = "[yellow]![/]" if check.word == "warned" else MARKS[check.status]
    text = f": {check.message}" if check.message else ""
    return f"    {mark} check {escape(check.name)} {check.word}{escape(text)}"


@contextmanager
def show_progress(console: Console, *, verbose: bool = False) -> Iterator[RunObserver]:
    """Choose an observer that shows a run as well as the console can."""
    if not console.is_terminal:
        yield LineProgress(console, verbose=verbose)
        return
    with LiveProgress(console, verbose=verbose) as live:
        yield live


def describe_error(error: StepError, *, verbose: bool) -> str:
    """Describe a step's error with its place, or by the whole traceback."""
    if verbose and error.traceback:
        return error.traceback
    return f"{error.message}\n\nAt {error.where}." if error.where else error.message


class BackfillProgress:
    """A line per partition, and on a terminal a bar with the rate and the time left.

    Args:
        console: Where to.
        total: Partitions to run.
        verbose: Show whole tracebacks of what failed.
    """

    def __init__(self, console: Console, total: int, *, verbose: bool = False) -> None:
        self._console, self._verbose = console, verbose
        self._bar = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total, rate="")
        self._began = time.monotonic()

    def __enter__(self) -> BackfillProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def ended(self, summary: RunSummary) -> None:
        """Print the end of one partition's run."""
        self._console.print(_run_line(summary), soft_wrap=True)
        for error in () if summary.interrupted else summary.errors:
            text = describe_error(error, verbose=self._verbose)
            self._console.print(Text(indented(text, 6)), soft_wrap=True)
        done = self._bar.tasks[0].completed + 1
        per_second = done / max(time.monotonic() - self._began, 0.001)
        rate = f"{per_second:.1f}/s" if per_second >= 1 else f"{1 / per_second:.1f} s each"
        self._bar.update(self._task, advance=1, rate=rate)


def _run_line(summary: RunSummary) -> str:
    rows: Counter[str] = Counter()
    for asset in summary.assets:
        rows.update({n: c for n, c in asset.rows.items() if c and n != "extracted"})
    mark = MARKS["materialized"] if summary.is_ok else MARKS["failed"]
    bad = [check.name for check in summary.checks if check.is_bad]
    words = [f"{count:,} {name}" for name, count in rows.items()]
    words += [f"check {name} failed" for name in bad]
    words += ["interrupted"] if summary.interrupted and not summary.is_ok else []
    text = escape(", ".join(words))
    return f"  {mark} {summary.partition}  {text}  [dim]{seconds_text(summary.seconds)}[/]"


def indented(text: str, width: int = 2) -> str:
    """Indent every line that is not empty."""
    return "\n".join(" " * width + line if line else "" for line in text.splitlines())
