"""`phlo diff`: compare two states of the lake."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from phlo_cli.lake_branches import open_branches
from phlo_cli.output import output_options

if TYPE_CHECKING:
    from phlo_cli.output import Output


@click.command(short_help="Compare the tables of two branches, runs, snapshots or times.")
@click.argument("old")
@click.argument("new", required=False)
@click.option("--table", "tables", multiple=True, metavar="NAME", help="Compare this table alone.")
@click.option("--samples", default=5, show_default=True, help="Example rows of each kind.")
@click.option("--markdown", is_flag=True, help="Print Markdown, for a pull request's comment.")
@output_options()
def diff(
    old: str,
    new: str | None,
    tables: tuple[str, ...],
    samples: int,
    markdown: bool,
    output: Output,
) -> None:
    """Show by which columns and rows tables differ between the states OLD and NEW of the lake.

    A state is a branch, a time, or the id of a run or a snapshot, whose first letters are enough
    for a run; ^ behind an id means the state before. Without NEW, OLD is compared with now. A run
    or a snapshot is about the tables that it wrote.

    \b
    phlo diff 4f2a91c0^ 4f2a91c0          what a run changed
    phlo diff 2025-01-15                  what changed since that day began
    phlo diff main dev --table events     one table on two branches
    """  # noqa: D301 - click reads the backspace
    from phlo_cli.differences import as_markdown, show_differences
    from phlo_cli.known_project import read_tables
    from phlo_cli.lake_states import LakeHistory, LakeState
    from phlo_cli.project_settings import require_project
    from phlo_cli.table_summaries import find_table

    settings = require_project()
    lake = open_branches()
    history = LakeHistory(lake, settings.branch, settings.timezone)
    before = history.find(old)
    after = history.find(new) if new else LakeState(settings.branch)
    wanted = [find_table(lake.on_branch(after.branch), name) for name in tables]
    assets = read_tables(output)
    changed = history.compare(before, after, assets, wanted=wanted, samples=samples)
    rows = [one.as_dict() for one in changed]
    if markdown:
        click.echo(as_markdown(rows, f"{old} to {new or 'now'}"))
    else:
        show_differences(rows, output, empty="No table differs.")
