"""`phlo plan`: run a selection on a branch of its own, and say what it would change."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from phlo_cli.branch_option import use_branch
from phlo_cli.commands.branch import open_branches, remove_branch
from phlo_cli.main import DONE, FAILED, NOTHING_TO_DO
from phlo_cli.output import counted, output_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phlo.config import Settings

    from phlo_cli.branch_plans import BranchPlan
    from phlo_cli.location import Location
    from phlo_cli.output import Output
    from phlo_cli.plan import RunPlan
    from phlo_cli.summary import RunSummary


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
    a check failed, so that it cannot be applied; 3: there is nothing to do.
    """
    wanted = [*names, *([select] if select else [])]
    if not wanted:
        raise click.UsageError("Name an asset, or give --select.")
    # The answer alone goes to standard output; progress goes beside it.
    quiet = replace(output, as_json=output.as_json or markdown)
    made, summary = _run_on_branch(ctx, wanted, partition, keep_hours, quiet)
    show_plan(made, output, markdown=markdown)
    if not summary.is_ok:
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
    from phlo_cli.project_settings import require_project

    settings = require_project()
    made = find_plan(settings, name)
    forget(settings, made)
    if output.as_json:
        output.json({"discarded": made.plan_id})
    else:
        output.line(f"Discarded the plan {made.plan_id}.")


def forget(settings: Settings, made: BranchPlan) -> None:
    """Delete a plan and its branch."""
    from phlo.errors import BranchNotFoundError

    from phlo_cli.branch_plans import forget_plan

    with contextlib.suppress(BranchNotFoundError):  # a killed apply or discard came so far
        remove_branch(open_branches(), made.branch)
    forget_plan(settings, made)


def _run_on_branch(
    ctx: click.Context,
    wanted: Sequence[str],
    partition: str | None,
    keep_hours: float,
    output: Output,
) -> tuple[BranchPlan, RunSummary]:
    """Run assets on a new branch; the branch stays only where there is something to apply."""
    from phlo_cli.branch_plans import BRANCH_PREFIX, new_plan_id, read_plans
    from phlo_cli.location import open_location
    from phlo_cli.names import select as select_assets
    from phlo_cli.plan import build_plan
    from phlo_cli.project_settings import require_project

    settings = require_project()
    for old in read_plans(settings):
        if old.is_expired:
            forget(settings, old)
    # Wrong names and partitions are found before a branch is made.
    location = open_location()
    build_plan(location, select_assets(location, wanted), partition=partition)
    plan_id = new_plan_id()
    branch = BRANCH_PREFIX + plan_id
    open_branches().create_branch(branch, settings.branch)
    keep = False
    try:
        use_branch(ctx, branch)
        made, summary = _run(plan_id, settings.branch, wanted, partition, keep_hours, output)
        keep = bool(summary.is_ok and made.tables)
    finally:
        if not keep:
            remove_branch(open_branches(), branch)
    return made, summary


def _run(
    plan_id: str,
    source: str,
    wanted: Sequence[str],
    partition: str | None,
    keep_hours: float,
    output: Output,
) -> tuple[BranchPlan, RunSummary]:
    from phlo_cli.branch_plans import BRANCH_PREFIX, BranchPlan, times, write_plan
    from phlo_cli.differences import compare_branch
    from phlo_cli.location import open_location
    from phlo_cli.names import select as select_assets
    from phlo_cli.plan import build_plan
    from phlo_cli.run_report import run_plan

    location = open_location()
    run = build_plan(location, select_assets(location, wanted), partition=partition)
    summary = run_plan(location, run, output)
    tables = compare_branch(open_branches(), BRANCH_PREFIX + plan_id, location.project.tables)
    created_at, expires_at = times(keep_hours)
    made = BranchPlan(
        plan_id,
        source,
        tuple(wanted),
        run.partition,
        summary.run_id,
        created_at,
        expires_at,
        tuple(table.as_dict() for table in tables),
        {asset.table: asset.rows for asset in summary.assets if asset.table and asset.rows},
        tuple(_check_row(check) for check in summary.checks if check.word not in _GOOD),
        _reads(location, run),
        _publishers(location, run, summary),
    )
    if summary.is_ok and made.tables:
        write_plan(location.project.settings, made)
    return made, summary


def _publishers(location: Location, run: RunPlan, summary: RunSummary) -> tuple[str, ...]:
    """Keys of the assets of a run that published marts."""
    from phlo_cli.published_marts import publishers_of

    sources = {event.source for event in summary.published}
    keys = {key.to_user_string() for key in run.keys}
    return tuple(sorted(keys & set(publishers_of(location.project.settings, sources))))


_GOOD = ("passed", "skipped")


def _check_row(check: Any) -> dict[str, Any]:
    return {"table": check.label, "check": check.name, "status": check.word, "why": check.message}


def _reads(location: Location, run: RunPlan) -> tuple[str, ...]:
    """Tables that the assets of a run need and do not make themselves."""
    needed = {p for key in run.keys for p in location.graph.get(key).parent_keys} - run.keys
    tables = (location.table_of(key) for key in needed if location.graph.has(key))
    return tuple(sorted({table for table in tables if table is not None}))


def show_plan(made: BranchPlan, output: Output, *, markdown: bool = False) -> None:
    """Print a plan."""
    from phlo_cli.differences import as_markdown, show_differences

    if output.as_json:
        output.json(made.as_dict())
        return
    if markdown:
        click.echo(as_markdown(made.tables, f"Plan {made.plan_id}: {' '.join(made.selection)}"))
        return
    output.line(f"\nPlan {made.plan_id}: {counted(len(made.tables), 'table')} would change.\n")
    show_differences(made.tables, output, empty="Nothing would change.")
    for table, rows in made.accounts.items():
        counts = ", ".join(f"{count:,} {name}" for name, count in rows.items() if count)
        output.line(f"{table}: {counts or 'no rows'}", style="dim")
    for check in made.checks:
        output.line(f"{check['status']}: {check['check']} of {check['table']}: {check['why']}")
    if made.tables:
        output.line(f"\nphlo apply {made.plan_id}", style="dim")
