"""`phlo apply`: publish what a plan made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from phlo.words import counted

from phlo_cli.lake_branches import open_branches
from phlo_cli.main import DONE, FAILED
from phlo_cli.output import output_options

if TYPE_CHECKING:
    from phlo_cli.output import Output


@click.command(short_help="Publish exactly what a plan made.")
@click.argument("name", metavar="PLAN")
@output_options()
@click.pass_context
def apply(ctx: click.Context, name: str, output: Output) -> None:
    """Publish exactly what PLAN made, all of its tables in one transaction.

    No source is asked again. Where a table that the plan read or wrote has moved since, nothing is
    published, and the tables are named. Marts that are published from these tables follow.
    """
    from phlo.errors import PhloError

    from phlo_cli.branch_history import copy_runs_to_source
    from phlo_cli.branch_plans import find_plan, require_applicable
    from phlo_cli.differences import show_differences
    from phlo_cli.plan_making import delete_plan
    from phlo_cli.project_settings import require_project
    from phlo_cli.published_marts import publish_moved_marts

    settings = require_project()
    made = find_plan(settings, name)
    require_applicable(made)
    open_branches().publish_branch(made.branch, unmoved=made.read_tables)
    copy_runs_to_source(made.branch, made.source, output)
    try:
        delete_plan(settings, made)
    except PhloError as error:  # the tables are published: nothing may fail any more
        output.warn(f"The plan is applied, but its branch stays. {error}")
    if output.as_json:
        output.json(made.as_dict() | {"applied": True})
    else:
        show_differences(made.tables, output, empty="Nothing changed.")
        output.line(f"\nApplied the plan {made.plan_id}: {counted(len(made.tables), 'table')}.")
    is_followed = publish_moved_marts(
        ctx, made.moved_tables, output, branch=made.source, others=made.publishers
    )
    ctx.exit(DONE if is_followed else FAILED)
