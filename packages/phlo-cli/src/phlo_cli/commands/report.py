"""`phlo report`: one page that shows the state of everything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from phlo.words import counted

from phlo_cli.output import output_options

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
@click.option(
    "--diff",
    nargs=2,
    metavar="OLD NEW",
    help="Begin with what changed: two branches, runs, snapshots or times, as in `phlo diff`.",
)
@output_options()
@click.pass_context
def report(
    ctx: click.Context, opens: bool, out: Path | None, diff: tuple[str, str] | None, output: Output
) -> None:
    """Write one HTML page that shows the state of everything.

    Tables with size, rows and freshness, rows by partition, checks over time, runs, lineage,
    quarantine and published marts. The page is one file that asks no network for anything; values
    of sensitive columns are masked in it. The project's code is imported only where it changed.

    \b
    phlo report --diff main dev            what the branch dev changes; the rest shows main
    phlo report --diff 4f2a91c0^ 4f2a91c0  what a run changed
    """  # noqa: D301 - click reads the backspace
    if diff is not None:
        _use_source(ctx, diff[0])
    with output.busy("Gathering the report"):
        settings, gathered = _gather(diff, output)
        file = _write(gathered, out or _default_file(settings))
    if output.as_json:
        output.json(
            {
                "file": str(file),
                "bytes": file.stat().st_size,
                "tables": len(gathered.tables),
                "runs": len(gathered.runs),
                "marts": len(gathered.marts),
                "changed_tables": _changed_tables(gathered),
            }
        )
    else:
        output.line(f"Wrote the report of {counted(len(gathered.tables), 'asset')} to {file}.")
    if opens:
        click.launch(file.as_uri())


def _use_source(ctx: click.Context, name: str) -> None:
    """Show the branch that is compared with, where the state is a branch."""
    from phlo.config import get_settings

    from phlo_cli.branch_option import use_branch
    from phlo_cli.lake_branches import open_branches

    is_branch = name in {one.name for one in open_branches().branches()}
    if is_branch and get_settings().branch != name:
        use_branch(ctx, name)


def _gather(diff: tuple[str, str] | None, output: Output) -> tuple[Settings, Report]:
    from phlo_cli.known_project import read_project_with_warning
    from phlo_cli.project_settings import require_project

    index, warning = read_project_with_warning(output)
    from phlo.orchestration.instance import open_instance

    from phlo_cli.liveness import end_abandoned_runs
    from phlo_cli.report.gather import gather_report

    settings = require_project()
    with open_instance(settings) as instance:
        end_abandoned_runs(settings, instance)
        gathered = gather_report(settings, index, instance, warning)
    if diff is None:
        return settings, gathered
    from phlo_cli.lake_branches import open_branches
    from phlo_cli.report.comparison import with_comparison

    return settings, with_comparison(gathered, index, open_branches(), *diff, settings.timezone)


def _changed_tables(gathered: Report) -> list[str] | None:
    changed = gathered.comparison
    return [str(one.change.table) for one in changed.tables] if changed else None


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
