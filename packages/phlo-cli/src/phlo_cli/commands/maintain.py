"""`phlo maintain`: keep tables small."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
from phlo.redaction import redact
from phlo.words import counted

from phlo_cli.main import FAILED
from phlo_cli.output import output_options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from phlo.names import TableName
    from phlo.orchestration.history import PurgedHistory
    from phlo.protocols import TableStore
    from phlo.values import MaintenanceReport

    from phlo_cli.output import Output


@click.command(short_help="Join small files, drop old states and runs, remove orphans.")
@click.argument("table", required=False)
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@output_options()
def maintain(table: str | None, dry_run: bool, output: Output) -> None:
    """Maintain TABLE, or all tables: a daily job does the same.

    Small files and deletes are joined into whole files, snapshots older than five days are dropped
    (the newest twenty stay), and files that no snapshot needs are removed once they are three days
    old. `phlo config show` names the settings. Where one table fails, the others are maintained all
    the same.

    Without TABLE, runs that ended 90 days ago and what they logged are removed too. The runs that
    made a partition or an asset last stay.
    """
    from phlo_cli.commands.catalog import open_store
    from phlo_cli.table_summaries import find_table

    store = open_store()
    names = [find_table(store, table)] if table else store.list_tables()
    reports, errors = _maintain(store, names, dry_run=dry_run)
    purged = None if table else _purge(errors, dry_run=dry_run)
    if errors and not reports:
        _tell(errors[:-1])
        raise errors[-1]
    output.rows(
        [_row(report) for report in reports if output.as_json or report.has_work],
        columns=("table", "snapshots_dropped", "files_joined", "files_removed", "megabytes"),
        spare=("files_joined",),
        right=("snapshots_dropped", "files_joined", "files_removed", "megabytes"),
        empty="Nothing to do.",
    )
    if dry_run and not output.as_json:
        for path in (path for report in reports for path in report.removed_files):
            output.line(f"would remove {path}")
    if purged and (purged.runs or purged.logs) and not output.as_json:
        verb = "Would remove" if dry_run else "Removed"
        output.line(
            f"{verb} {counted(purged.runs, 'old run')} and {counted(purged.logs, 'log')} of others."
        )
    _tell(errors)
    if errors:
        sys.exit(FAILED)


def _purge(errors: list[Exception], *, dry_run: bool) -> PurgedHistory | None:
    """Remove old runs; an error is noted, since the tables are maintained already."""
    from phlo.orchestration.history import purge_history
    from phlo.orchestration.instance import open_instance

    from phlo_cli.project_settings import require_project

    settings = require_project()
    try:
        with open_instance(settings) as instance:
            return purge_history(settings, instance, dry_run=dry_run)
    except Exception as error:  # noqa: BLE001 - raised once all is told
        errors.append(error)
        return None


def _tell(errors: Iterable[Exception]) -> None:
    for error in errors:
        click.echo(redact(f"Error: {error}"), err=True)


def _maintain(
    store: TableStore, names: Iterable[TableName], *, dry_run: bool
) -> tuple[list[MaintenanceReport], list[Exception]]:
    reports: list[MaintenanceReport] = []
    errors: list[Exception] = []
    for name in names:
        try:
            reports.append(store.maintain(name, dry_run=dry_run))
        except Exception as error:  # noqa: BLE001 - raised once all had their turn
            errors.append(error)
    return reports, errors


def _row(report: MaintenanceReport) -> dict[str, object]:
    return {
        "table": str(report.table),
        "snapshots_dropped": len(report.expired_snapshots),
        "branches_dropped": list(report.removed_branches),
        "files_joined": len(report.compacted_files),
        "files_written": report.written_files,
        "files_removed": len(report.removed_files),
        "removed": list(report.removed_files),
        "megabytes": round(report.removed_bytes / 1e6, 1),
        "dry_run": report.is_dry_run,
    }
