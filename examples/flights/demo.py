"""The main job, start to end: a week of New York flights into checked, modelled, published marts.

Run it with `make demo` from the repository, or `python demo.py` in this folder. It does what these
commands do, in one process:

    phlo materialize airlines airports planes
    phlo backfill flights weather --start-date 2013-01-01 --end-date 2013-01-07
    phlo materialize --select "tag:dbt,group:publishing"
"""

import os
import sys
import time
from collections import Counter
from pathlib import Path

from phlo.lake import open_lake
from phlo.names import TableName
from phlo_cli.backfill import BackfillStore, plan_backfill, run_backfill
from phlo_cli.location import Location, open_location
from phlo_cli.names import select
from phlo_cli.output import Output
from phlo_cli.plan import build_plan
from phlo_cli.progress import BackfillProgress, show_progress
from phlo_cli.run import materialize_assets
from phlo_cli.run_report import print_summary
from phlo_cli.summary import RunSummary

FIRST_DAY, LAST_DAY = "2013-01-01", "2013-01-07"
HERE = Path(__file__).parent


def main() -> int:
    """Run all of it; 0 when every run and every check of severity error went well."""
    os.environ.setdefault("PHLO_PROJECT_DIR", str(HERE))
    output, began = Output(), time.monotonic()
    output.console.print("[bold]Loading the project[/] examples/flights ...")
    location = open_location()
    parts = (
        lambda: materialize(location, output, "airlines", "airports", "planes"),
        lambda: backfill(location, output, "flights", "weather"),
        lambda: materialize(location, output, "tag:dbt,group:publishing"),
    )
    runs: list[RunSummary] = []
    for part in parts:
        runs += part()
        if not all(run.is_ok for run in runs):
            return stop(output, runs)
    report(output, runs, time.monotonic() - began)
    return 0


def materialize(location: Location, output: Output, *names: str) -> list[RunSummary]:
    """`phlo materialize`."""
    option = "--select " if ":" in names[0] else ""
    heading(output, f"phlo materialize {option}{' '.join(names)}")
    plan = build_plan(location, select(location, names), partition=LAST_DAY)
    with show_progress(output.console) as observer:
        run = materialize_assets(location, plan, observer)
    if not run.is_ok:
        print_summary(run, output)
    return [run]


def backfill(location: Location, output: Output, *names: str) -> list[RunSummary]:
    """`phlo backfill`."""
    dates = f"--start-date {FIRST_DAY} --end-date {LAST_DAY}"
    heading(output, f"phlo backfill {' '.join(names)} {dates}")
    planned = plan_backfill(location, select(location, names), start=FIRST_DAY, end=LAST_DAY)
    runs: list[RunSummary] = []

    with BackfillProgress(output.console, len(planned.partitions)) as progress:

        def told(_: object, run: RunSummary) -> None:
            runs.append(run)
            progress.ended(run)

        run_backfill(location, planned, BackfillStore(location.project.settings), told=told)
    return runs


def stop(output: Output, runs: list[RunSummary]) -> int:
    """Say at which run the demonstration ended; nothing after it was tried."""
    failed = next(run for run in runs if not run.is_ok)
    labels = ", ".join(asset.label for asset in failed.assets if asset.status == "failed")
    reason = failed.errors[0].message if failed.errors else "a check failed"
    output.line(f"\nStopped: {labels or 'a run'} failed: {reason}", style="red")
    output.line("The parts that follow were not tried.")
    return 1


def heading(output: Output, text: str) -> None:
    """A line that begins a part."""
    output.console.print(f"\n[bold cyan]{text}[/]")


def report(output: Output, runs: list[RunSummary], seconds: float) -> None:
    """What there is now, and what to try next."""
    heading(output, "What there is now")
    output.rows(
        tables(runs),
        columns=("table", "rows", "snapshot", "written"),
        right=("rows",),
        empty="No table.",
    )
    output.line()
    events = [event for run in runs for event in run.published]
    for event in events:
        output.line(f"Published {event.target}: {event.row_count:,} rows, in PostgreSQL")
    if not events:
        output.line("Published marts were up to date.")
    output.line(f"Checks: {', '.join(checks(runs))}")
    output.line(f"{len(runs)} runs in {seconds:.0f} s")
    output.line("\nTry next, in examples/flights (phlo is in .venv/bin of the repository):")
    for command in (
        'phlo query "SELECT * FROM marts.mrt_daily_carrier_punctuality LIMIT 10"',
        "phlo catalog history bronze.flights",
        "phlo materialize flights --partition 2013-01-08",
        "phlo dev",
    ):
        output.line(f"  {command}")


def checks(runs: list[RunSummary]) -> list[str]:
    """Checks by outcome; failed ones of severity warn apart, since they do not block."""
    found = Counter(
        "warned" if c.status.value == "failed" and c.severity == "warn" else c.status.value
        for run in runs
        for c in run.checks
    )
    return [f"{count} {status.replace('_', ' ')}" for status, count in found.most_common()]


def tables(runs: list[RunSummary]) -> list[dict]:
    """Every table made, with its rows now and what this run did to it."""
    lake = open_lake()
    written: dict[str, Counter] = {}
    for asset in (a for run in runs for a in run.assets if a.table):
        counts = {n: c for n, c in asset.rows.items() if n in ("inserted", "updated", "unchanged")}
        written.setdefault(asset.table, Counter()).update(counts)
    found = []
    for name, counts in written.items():
        if not lake.store.exists(TableName.parse(name)):
            continue
        table = lake.store.load(TableName.parse(name))
        found.append(
            {
                "table": name,
                "rows": f"{table.row_count:,}",
                "snapshot": str(table.snapshot_id),
                "written": ", ".join(f"{c:,} {n}" for n, c in counts.items() if c),
            }
        )
    return found


if __name__ == "__main__":
    sys.exit(main())
