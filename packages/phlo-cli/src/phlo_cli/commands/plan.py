"""`phlo plan`: run a selection on a branch of its own, and say what it would change."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click
from phlo.words import counted

from phlo_cli.main import DONE, FAILED, NOTHING_TO_DO
from phlo_cli.output import output_options

if TYPE_CHECKING:
    from phlo_cli.branch_plans import BranchPlan
    from phlo_cli.output import Output


class _PlanGroup(click.Group):
    """A group whose first word is a selection unless it is a command: `phlo plan events`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "--help", "-h"):
            args = ["make", *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands:
            args = ["make", *args]
        return super().resolve_command(ctx, args)


@click.group(
    cls=_PlanGroup, short_help="Run a selection on a branch, and say what it would change."
)
def plan() -> None:
    """Run a selection on a branch of its own, and say what it would change.

    `phlo plan SELECTION...` makes a plan (`phlo plan make --help` says more), `phlo apply PLAN`
    publishes it.
    """


@plan.command()
@click.argument("names", nargs=-1)
@click.option("--select", metavar="SELECTION", help='Dagster\'s selection syntax, e.g. "tag:dbt".')
@click.option("--partition", metavar="DATE", help="Partition to make, YYYY-MM-DD.")
@click.option(
    "--keep-hours",
    default=72.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Hours for which the plan can be applied.",
)
@click.option("--markdown", is_flag=True, help="Print Markdown, for a pull request's comment.")
@output_options()
@click.pass_context
def make(
    ctx: click.Context,
    names: tuple[str, ...],
    select: str | None,
    partition: str | None,
    keep_hours: float,
    markdown: bool,
    output: Output,
) -> None:
    """Run the assets NAMES on a branch of their own, and say what that would change.

    Sources are asked, models built and checks judged as in `phlo materialize`, but on a branch:
    main stays as it is until `phlo apply`. Exit code 0: there is something to apply; 1: the run or
    a check failed, so that it cannot be applied, or a published table could not follow; 3: there is
    nothing to do.
    """
    wanted = [*names, *([select] if select else [])]
    if not wanted:
        raise click.UsageError("Name an asset, or give --select.")
    from phlo_cli.plan_making import make_plan
    from phlo_cli.run_report import run_plan

    # The answer alone goes to standard output; progress goes beside it.
    quiet = replace(output, as_json=output.as_json or markdown)
    made, summary = make_plan(
        wanted,
        lambda location, run: run_plan(location, run, quiet),
        partition=partition,
        keep_hours=keep_hours,
    )
    show_plan(made, output, markdown=markdown)
    if not (summary.is_ok and made.is_ok):
        ctx.exit(FAILED)
    ctx.exit(DONE if made.tables else NOTHING_TO_DO)


@plan.command(name="list")
@output_options()
def list_(output: Output) -> None:
    """List the plans that are not applied yet, the newest first."""
    from phlo_cli.branch_plans import read_plans
    from phlo_cli.project_settings import require_project

    plans = read_plans(require_project())
    output.rows(
        [made.as_dict() | {"plan": made.plan_id, "created_at": made.made_at} for made in plans],
        columns=("plan", "selection", "partition", "created_at", "is_expired"),
        headers=("plan", "selection", "partition", "created at", "expired"),
        empty="There is no plan. `phlo plan SELECTION` makes one.",
    )


@plan.command()
@click.argument("name", metavar="PLAN")
@click.option("--markdown", is_flag=True, help="Print Markdown, for a pull request's comment.")
@output_options()
def show(name: str, markdown: bool, output: Output) -> None:
    """Show what PLAN would change."""
    from phlo_cli.branch_plans import find_plan
    from phlo_cli.project_settings import require_project

    show_plan(find_plan(require_project(), name), output, markdown=markdown)


@plan.command()
@click.argument("name", metavar="PLAN")
@output_options()
def discard(name: str, output: Output) -> None:
    """Delete PLAN and its branch."""
    from phlo_cli.branch_plans import find_plan
    from phlo_cli.plan_making import delete_plan
    from phlo_cli.project_settings import require_project

    settings = require_project()
    made = find_plan(settings, name)
    delete_plan(settings, made)
    if output.as_json:
        output.json({"discarded": made.plan_id})
    else:
        output.line(f"Discarded the plan {made.plan_id}.")


def show_plan(made: BranchPlan, output: Output, *, markdown: bool = False) -> None:
    """Print a plan."""
    from phlo_cli.differences import as_markdown, show_differences
    from phlo_cli.planned_marts import marts_as_markdown, show_marts

    if output.as_json:
        output.json(made.as_dict())
        return
    if markdown:
        title = f"Plan {made.plan_id}: {' '.join(made.selection)}"
        click.echo(as_markdown(made.tables, title) + marts_as_markdown(made.marts))
        return
    output.line(f"\nPlan {made.plan_id}: {counted(len(made.tables), 'table')} would change.\n")
    show_differences(made.tables, output, empty="Nothing would change.")
    for table, rows in made.accounts.items():
        counts = ", ".join(f"{count:,} {name}" for name, count in rows.items() if count)
        output.line(f"{table}: {counts or 'no rows'}", style="dim")
    show_marts(made.marts, output)
    if made.marts_error:
        output.warn(f"What would change in published tables is not known: {made.marts_error}")
    for check in made.checks:
        output.line(f"{check['status']}: {check['check']} of {check['table']}: {check['why']}")
    if made.tables:
        output.line(f"\nphlo apply {made.plan_id}", style="dim")
