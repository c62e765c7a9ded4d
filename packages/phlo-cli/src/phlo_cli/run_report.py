"""Run a plan, and report on it as text."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from typing import TYPE_CHECKING

from phlo.config import get_settings
from phlo.words import counted
from rich.markup import escape

from phlo_cli.progress import describe_error, indented, show_progress
from phlo_cli.summary import seconds_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phlo_cli.location import Location
    from phlo_cli.output import Output
    from phlo_cli.plan import RunPlan
    from phlo_cli.summary import AssetOutcome, RunSummary


def run_plan(
    location: Location, plan: RunPlan, output: Output, *, tags: Mapping[str, str] | None = None
) -> RunSummary:
    """Run a plan; progress and summary go to the terminal where no JSON is asked for."""
    from phlo_cli.run import materialize_assets

    # What the project's code prints is no part of the answer for programs.
    printed = contextlib.redirect_stdout(sys.stderr) if output.as_json else contextlib.nullcontext()
    with printed, show_progress(output.console, verbose=output.verbose) as observer:
        summary = materialize_assets(location, plan, observer, tags=tags)
    if not output.as_json:
        print_summary(summary, output)
    send_alerts(location)
    return summary


def send_alerts(location: Location) -> None:
    """Tell people of what failed, where alerts are configured; raises nothing."""
    from phlo_cli.alerts.settings import has_alerts

    if has_alerts():
        from phlo_cli.alerts.send import check_alerts
        from phlo_cli.project_index import load_index

        settings = location.project.settings
        check_alerts(settings, load_index(settings), location.instance)


def print_summary(summary: RunSummary, output: Output) -> None:
    """Print what failed, what was judged and published, and what to try next."""
    console = output.console
    for error in () if summary.interrupted else summary.errors:
        console.print(f"\n[red bold]{escape(', '.join(error.labels))} failed[/]")
        output.line(indented(describe_error(error, verbose=output.verbose)))
    console.print()
    for line in (*_published(summary), *_checks(summary), _ending(summary)):
        console.print(line, soft_wrap=True)
    hint = next_step(summary)
    if hint:
        console.print(f"[dim]Next: {escape(hint)}[/]", soft_wrap=True)


def next_step(summary: RunSummary) -> str:
    """Suggest one command that is worth running next, on the branch of the run."""
    settings = get_settings()
    branch = f" --branch {settings.branch}" if settings.is_on_branch else ""
    return _next_command(summary) + branch


def _next_command(summary: RunSummary) -> str:
    if summary.errors:
        return f"phlo logs --run-id {summary.run_id[:8]}"
    if any(asset.rows.get("quarantined") for asset in summary.assets):
        table = next(a.label for a in summary.assets if a.rows.get("quarantined"))
        return f"phlo quarantine show {table}"
    table = next((a.table for a in reversed(summary.assets) if a.table and _made(a)), None)
    return f'phlo query "SELECT * FROM {table} LIMIT 10"' if table else "phlo status"


def _made(asset: AssetOutcome) -> bool:
    return asset.status == "materialized"


def _published(summary: RunSummary) -> list[str]:
    return [
        f"Published {escape(e.target)}: {counted(e.row_count, 'row')} from {escape(str(e.source))}"
        for e in summary.published
    ]


def _checks(summary: RunSummary) -> list[str]:
    if not summary.checks:
        return []
    counts = Counter(check.word for check in summary.checks)
    return ["Checks: " + ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))]


def _ending(summary: RunSummary) -> str:
    made = sum(_made(asset) for asset in summary.assets)
    failed = sum(asset.status == "failed" for asset in summary.assets)
    parts = [f"{made} of {counted(len(summary.assets), 'asset')} made"]
    parts += [f"{failed} failed"] if failed else []
    bad = sum(check.is_bad for check in summary.checks)
    parts += [f"{counted(bad, 'check')} failed"] if bad else []
    wrong = _WORDS["canceled" if summary.interrupted else summary.status]
    word = "[green]Done[/]" if summary.is_ok else f"[red]{wrong}[/]"
    return f"{word} in {seconds_text(summary.seconds)}: {', '.join(parts)}."


_WORDS: dict[str, str] = {"success": "Checks failed", "failure": "Failed", "canceled": "Canceled"}
