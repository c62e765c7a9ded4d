"""`phlo report`: one page that shows the state of everything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from phlo_cli.output import counted, output_options

if TYPE_CHECKING:
    from phlo.config import Settings

    from phlo_cli.output import Output
    from phlo_cli.report.values import Report


@click.command(short_help="Write one HTML page that shows tables, checks, runs and lineage.")
@click.option("--open", "opens", is_flag=True, help="Open the page in the browser.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to write it; .phlo/report.html if not given.",
)
@output_options()
def report(opens: bool, out: Path | None, output: Output) -> None:
    """Write one HTML page that shows the state of everything.

    Tables with size, rows and freshness, rows by partition, checks over time, runs, lineage,
    quarantine and published marts. The page is one file that asks no network for anything; values
    of sensitive columns are masked in it. The project's code is imported only where it changed.
    """
    with output.busy("Gathering the report"):
        settings, gathered = _gather(output)
        file = _write(gathered, out or _default_file(settings))
    if output.as_json:
        output.json(
            {
                "file": str(file),
                "bytes": file.stat().st_size,
                "tables": len(gathered.tables),
                "runs": len(gathered.runs),
                "marts": len(gathered.marts),
            }
        )
    else:
        output.line(f"Wrote the report of {counted(len(gathered.tables), 'asset')} to {file}.")
    if opens:
        click.launch(file.as_uri())


def _gather(output: Output) -> tuple[Settings, Report]:
    from phlo_cli.known_project import read_project_with_warning
    from phlo_cli.project_settings import require_project

    index, warning = read_project_with_warning(output)
    from phlo.orchestration.instance import open_instance

    from phlo_cli.liveness import end_abandoned_runs
    from phlo_cli.report.gather import gather_report

    settings = require_project()
    with open_instance(settings) as instance:
        end_abandoned_runs(settings, instance)
        return settings, gather_report(settings, index, instance, warning)


def _default_file(settings: Settings) -> Path:
    from phlo.folders import REPORT

    return REPORT.path(settings.state_dir)


def _write(gathered: Report, file: Path) -> Path:
    from phlo.folders import make_folder
    from phlo.locks import write_whole

    from phlo_cli.report.page import draw_page

    make_folder(file.resolve().parent)
    write_whole(file.resolve(), draw_page(gathered))
    return file.resolve()
