"""`phlo superset`: show published marts in Superset."""

from __future__ import annotations

import json

import click


@click.group(short_help="Show published marts in Superset.")
def superset() -> None:
    """Show published marts in Superset."""


@superset.command(short_help="Bring Superset up to date with the published marts.")
@click.option("--dry-run", is_flag=True, help="Show what would be written, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")
def sync(dry_run: bool, as_json: bool) -> None:
    """Bring Superset up to date with the published marts.

    Makes the database, a dataset with descriptions and metrics for each mart, charts, and a
    dashboard of them. It can be run again at any time: what people changed or removed in Superset
    stays as it is, and is told. Nothing is deleted.

    \b
    phlo superset sync --dry-run
    phlo superset sync
    """  # noqa: D301 - click reads the backspace
    from phlo_superset.project_sync import sync_project

    report = sync_project(dry_run=dry_run)
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=2, ensure_ascii=False))
        return
    for change in report.changes:
        click.echo(change.line())
    click.echo(f"{'Would be at' if dry_run else 'See'} {report.dashboard_url}")
