"""`phlo backfill`: many partitions, one run each."""

from __future__ import annotations

import contextlib
import math
import sys
from typing import TYPE_CHECKING

import click
from phlo.words import counted

from phlo_cli.main import DONE, FAILED
from phlo_cli.output import output_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from phlo_cli.backfill import Backfill
    from phlo_cli.location import Location
    from phlo_cli.output import Output
    from phlo_cli.summary import RunSummary


def _refuse_endless(_context: click.Context, _option: click.Parameter, seconds: float) -> float:
    if not math.isfinite(seconds):
        raise click.BadParameter(f"{seconds} is no number of seconds.")
    return seconds


@click.command(short_help="Make many partitions, one run each; can be resumed.")
@click.argument("names", nargs=-1)
@click.option("--start-date", metavar="DATE", help="First day, YYYY-MM-DD, included.")
@click.option("--end-date", metavar="DATE", help="Last day, included.")
@click.option("--partitions", metavar="DATES", help="The partitions themselves: a,b,c.")
@click.option(
    "--missing",
    is_flag=True,
    help="Partitions never made, or made before they ended; from --start-date, else from the "
    "first that was ever made.",
)
@click.option("--resume", is_flag=True, help="Run what the last backfill did not finish.")
@click.option(
    "--delay",
    default=0.0,
    type=click.FloatRange(min=0),
    callback=_refuse_endless,
    metavar="SECONDS",
    help="Pause between two partitions.",
)
@click.option(
    "--parallel",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Runs at once, each in a process of its own.",
)
@click.option("--dry-run", is_flag=True, help="Show what would run, and run nothing.")
@output_options()
@click.pass_context
def backfill(
    ctx: click.Context,
    names: tuple[str, ...],
    start_date: str | None,
    end_date: str | None,
    partitions: str | None,
    missing: bool,
    resume: bool,
    delay: float,
    parallel: int,
    dry_run: bool,
    output: Output,
) -> None:
    """Make many partitions of the assets NAMES, one run each.

    Ctrl-C, or a kill, loses nothing: `phlo backfill --resume` runs only what did not finish.

    \b
    phlo backfill events --start-date 2025-01-01 --end-date 2025-01-31
    phlo backfill events --partitions 2025-01-01,2025-01-15
    phlo backfill events --missing
    phlo backfill --resume
    """  # noqa: D301 - click reads the backspace
    _check_use(names, start_date, end_date, partitions, resume, missing)
    with output.busy("Loading the project"):
        from phlo_cli.backfill import BackfillStore, run_backfill
        from phlo_cli.location import open_location
        from phlo_cli.run_report import send_alerts

        location = open_location()
    store = BackfillStore(location.project.settings)
    if missing:
        partitions = ",".join(_missing(location, names, start_date))
        start_date = None
        if not partitions:
            output.json([]) if output.as_json else output.line("No partition is missing.")
            return
    planned = store.last() if resume else _plan(location, names, start_date, end_date, partitions)
    if dry_run:
        _show_plan(planned, output)
        return
    printed = contextlib.redirect_stdout(sys.stderr) if output.as_json else contextlib.nullcontext()
    with printed, _progress(planned, output) as told:
        ended = run_backfill(
            location, planned, store, delay_seconds=delay, parallel=parallel, told=told
        )
    _report(ended, output)
    send_alerts(location)
    ctx.exit(FAILED if ended.pending else DONE)


def _check_use(
    names: tuple[str, ...],
    start: str | None,
    end: str | None,
    partitions: str | None,
    resume: bool,
    missing: bool,
) -> None:
    if resume:
        if names or start or end or partitions or missing:
            raise click.UsageError("--resume stands alone: it continues the last backfill.")
        return
    if not names:
        raise click.UsageError("Name an asset, or give --resume.")
    if missing:
        if end or partitions:
            raise click.UsageError("--missing takes no --end-date and no --partitions.")
        return
    if bool(partitions) == bool(start or end):
        raise click.UsageError("Give --start-date and --end-date, or --partitions.")
    if not partitions and not (start and end):
        raise click.UsageError("Give both --start-date and --end-date.")


def _missing(location: Location, names: tuple[str, ...], start: str | None) -> list[str]:
    """List the partitions that one of the named assets lacks."""
    from phlo.names import Partition

    from phlo_cli.missing import find_missing
    from phlo_cli.names import select

    since = Partition.parse(start).date if start else None
    found = find_missing(location, select(location, names), since)
    return sorted({one.partition for one in found})


def _plan(
    location: Location,
    names: tuple[str, ...],
    start: str | None,
    end: str | None,
    partitions: str | None,
) -> Backfill:
    from phlo.config import split_names

    from phlo_cli.backfill import plan_backfill
    from phlo_cli.names import select

    return plan_backfill(
        location,
        select(location, names),
        start=start,
        end=end,
        partitions=split_names(partitions or ""),
    )


def _show_plan(planned: Backfill, output: Output) -> None:
    if output.as_json:
        output.json(planned.as_dict())
        return
    pending = planned.pending
    output.line(f"{counted(len(pending), 'partition')} would be made, one run each:\n")
    shown = pending if len(pending) <= 12 else (*pending[:6], "...", *pending[-5:])
    output.line("  " + "\n  ".join(shown))
    output.line(f"\nAssets of each run: {', '.join(planned.assets)}")


@contextlib.contextmanager
def _progress(
    planned: Backfill, output: Output
) -> Iterator[Callable[[Backfill, RunSummary], None]]:
    from phlo_cli.progress import BackfillProgress

    total = len(planned.pending)
    if not output.as_json:
        output.line(f"Backfill {planned.backfill_id}: {counted(total, 'partition')}")
    with BackfillProgress(output.console, total, verbose=output.verbose) as progress:
        yield lambda _backfill, summary: progress.ended(summary)


def _report(ended: Backfill, output: Output) -> None:
    from phlo_cli.backfill import ALIKE_BEFORE_STOP

    if output.as_json:
        output.json(ended.as_dict())
        return
    output.line()
    output.line(f"{len(ended.done)} of {counted(len(ended.partitions), 'partition')} made.")
    if ended.failed:
        output.line(f"{len(ended.failed)} failed: {', '.join(sorted(ended.failed))}", style="red")
    if ended.stopped_by:
        output.line(
            f"Stopped: the first {ALIKE_BEFORE_STOP} partitions failed alike, as the other "
            f"{len(ended.pending) - len(ended.failed)} would: {ended.stopped_by}",
            style="red",
        )
        output.line("Hint: Correct it, and try one partition: phlo materialize.")
    if ended.pending:
        output.line("Next: phlo backfill --resume", style="dim")
