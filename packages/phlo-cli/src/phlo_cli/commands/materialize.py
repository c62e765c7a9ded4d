"""`phlo materialize`: make assets now, in this process."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from phlo.words import counted

from phlo_cli.main import DONE, FAILED
from phlo_cli.output import output_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phlo.values import ProjectProblem

    from phlo_cli.output import Output
    from phlo_cli.plan import RunPlan


@click.command(short_help="Make assets: load, check, model, publish.")
@click.argument("names", nargs=-1)
@click.option("--select", metavar="SELECTION", help='Dagster\'s selection syntax, e.g. "tag:dbt".')
@click.option(
    "--partition",
    metavar="DATE",
    help="Partition to make, YYYY-MM-DD; the newest where it is not given.",
)
@click.option(
    "--from-staged",
    "staged_run",
    metavar="RUN",
    help="Load what this failed run extracted, instead of asking the sources again.",
)
@click.option("--vars", "dbt_vars", metavar="YAML", help="Variables of dbt, as dbt's --vars.")
@click.option("--full-refresh", is_flag=True, help="Build incremental dbt models from scratch.")
@click.option("--dry-run", is_flag=True, help="Show what would run, and run nothing.")
@output_options()
@click.pass_context
def materialize(
    ctx: click.Context,
    names: tuple[str, ...],
    select: str | None,
    partition: str | None,
    staged_run: str | None,
    dbt_vars: str | None,
    full_refresh: bool,
    dry_run: bool,
    output: Output,
) -> None:
    """Make the assets NAMES, each after what it needs.

    A name is an asset's key, its table (bronze.events or events) or the name of the decorated
    function. NAME+ adds everything downstream, +NAME everything upstream; commas separate names.

    \b
    phlo materialize events
    phlo materialize events+ --partition 2025-01-15
    phlo materialize --select "tag:dbt"
    phlo materialize events --from-staged 4f2a91c0
    """  # noqa: D301 - click reads the backspace
    wanted = [*names, *([select] if select else [])]
    if not wanted:
        raise click.UsageError("Name an asset, or give --select.")
    _set_dbt_options(dbt_vars, full_refresh=full_refresh)
    with output.busy("Loading the project"):
        from phlo.names import FROM_STAGED_TAG

        from phlo_cli.location import open_location
        from phlo_cli.names import select as select_assets
        from phlo_cli.plan import build_plan, partition_of_run, require_ingestions

        location = open_location()
        chosen = select_assets(location, wanted)
        tags = {}
        if staged_run is not None:
            require_ingestions(location, chosen)
            tags = {FROM_STAGED_TAG: staged_run}
            of_run = partition_of_run(location, staged_run)
            partition = partition or of_run
        plan = build_plan(location, chosen, partition=partition)
    if dry_run:
        from phlo_cli.problems import find_problems

        tables = {asset.table for asset in plan.assets if asset.table}
        problems = find_problems(location.project, tables)
        show_plan(plan, problems, output)
        ctx.exit(FAILED if problems else DONE)
    from phlo_cli.run_report import run_plan

    summary = run_plan(location, plan, output, tags=tags)
    if output.as_json:
        output.json(summary.as_dict())
    ctx.exit(DONE if summary.is_ok else FAILED)


def _set_dbt_options(dbt_vars: str | None, *, full_refresh: bool) -> None:
    """Hand dbt's options to this run by the settings of phlo-dbt, which processes inherit."""
    if dbt_vars is not None:
        os.environ["PHLO_DBT_VARS"] = dbt_vars
    if full_refresh:
        os.environ["PHLO_DBT_FULL_REFRESH"] = "true"


def show_plan(plan: RunPlan, problems: Sequence[ProjectProblem], output: Output) -> None:
    """Print a plan, and what is known to fail in it."""
    if output.as_json:
        told = [asdict(problem) | {"table": str(problem.table)} for problem in problems]
        output.json(plan.as_dict() | {"problems": told})
        return
    rows = plan.as_dict()["assets"]
    output.line(f"{counted(len(rows), 'asset')} would be made, in this order:\n")
    output.rows(
        [row | {"checks": row["check_count"], "asset": row["key"]} for row in rows],
        columns=("asset", "table", "group", "partition", "checks"),
        spare=("group", "table"),
        right=("checks",),
        empty="Nothing.",
    )
    for problem in problems:
        output.line(f"\n✗ {problem.owner} of {problem.table} cannot run: {problem.message}", "red")
        if problem.hint:
            output.line(f"Hint: {problem.hint}")
