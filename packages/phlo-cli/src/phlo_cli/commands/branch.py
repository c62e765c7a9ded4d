"""`phlo branch`: branches of the whole lake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from phlo.names import MAIN
from phlo.words import counted

from phlo_cli.lake_branches import (
    commands_for_conflict,
    notify_observers,
    open_branches,
    remove_branch,
)
from phlo_cli.main import DONE, FAILED
from phlo_cli.output import output_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phlo.branches import BranchUpdate, KeepsBranches, TableChange
    from phlo.checks import CheckResult

    from phlo_cli.output import Output


@click.group(short_help="Try changes on a branch of the whole lake, and publish them together.")
def branch() -> None:
    """Try changes on a branch of the whole lake, and publish them together.

    A command reads and writes on a branch with --branch NAME, or where PHLO_BRANCH names it.
    """


@branch.command()
@click.argument("name")
@click.option("--from", "source", default="main", show_default=True, help="Branch to begin from.")
@output_options()
def create(name: str, source: str, output: Output) -> None:
    """Make the branch NAME with all tables as they are now; no data is copied."""
    made = open_branches().create_branch(name, source)
    notify_observers(name, "created")
    if output.as_json:
        output.json(_row(made))
        return
    output.line(f"Made the branch {name} from {source}.")
    output.line(f"phlo materialize ASSET --branch {name}", style="dim")


@branch.command(name="list")
@output_options()
def list_(output: Output) -> None:
    """List the branches, main first."""
    output.rows(
        [_row(one) for one in open_branches().branches()],
        columns=("branch", "source", "created_at"),
        empty="",
    )


@branch.command()
@click.argument("name")
@click.option("--samples", default=5, show_default=True, help="Example rows of each kind.")
@click.option("--markdown", is_flag=True, help="Print Markdown, for a pull request's comment.")
@output_options()
def diff(name: str, samples: int, markdown: bool, output: Output) -> None:
    """Show which tables the branch NAME changed, and by which columns and rows they differ.

    Rows are matched by the key of the table's asset, else compared as multisets. Columns that
    describe a load are no content. A table that the source changed too is compared with what the
    branch began from.
    """
    from phlo_cli.differences import as_markdown, compare_branch, show_differences
    from phlo_cli.known_project import read_tables

    changed = compare_branch(open_branches(), name, read_tables(output), samples=samples)
    rows = [one.as_dict() for one in changed]
    if markdown:
        click.echo(as_markdown(rows, f"Branch {name}"))
    else:
        show_differences(rows, output, empty=f"{name} changed nothing.")


@branch.command()
@click.argument("name")
@click.option("--delete", is_flag=True, help="Delete the branch afterwards.")
@click.option("--update", "is_updated", is_flag=True, help="Update the branch before.")
@output_options()
@click.pass_context
def publish(ctx: click.Context, name: str, delete: bool, is_updated: bool, output: Output) -> None:
    """Let main, or the branch that NAME was made from, have every table as NAME has it.

    All tables move in one transaction, or none: a table that was changed on both sides is a
    conflict, which is named; --update rebases it first where that is possible. Marts that were
    published from these tables are published anew.
    """
    from phlo_cli.branch_history import copy_runs_to_source
    from phlo_cli.published_marts import publish_moved_marts

    store = open_branches()
    sources = {one.name: one.source for one in store.branches()}
    if is_updated:
        updated, failed = _update_and_judge(store, name, ())
        if failed or not output.as_json:
            _show_update(store, name, updated, failed, output)
        if failed:
            ctx.exit(FAILED)
    changes = store.publish_branch(name)
    copy_runs_to_source(name, sources[name] or MAIN, output)
    notify_observers(name, "published")
    show_changes(changes, output, empty=f"{name} changed nothing: there is nothing to publish.")
    if changes and not output.as_json:
        output.line(f"\nPublished {counted(len(changes), 'table')}.")
    moved = [change.table for change in changes if change.change != "dropped"]
    is_followed = publish_moved_marts(ctx, moved, output, branch=sources[name] or MAIN)
    if delete:
        remove_branch(store, name)
    ctx.exit(DONE if is_followed else FAILED)


@branch.command()
@click.argument("name")
@click.option("--take", multiple=True, metavar="TABLE", help="Take this table from the source.")
@output_options()
@click.pass_context
def update(ctx: click.Context, name: str, take: tuple[str, ...], output: Output) -> None:
    """Bring the branch NAME to its source's state.

    Tables that the branch has not changed become as the source has them. Of a table that both sides
    changed, the branch's loads are written anew on top of the source's state, and judged by its
    blocking checks; where that is not possible it stays as it is, and the commands that make it
    anew are shown. Exit code 1: there are such tables, or a check failed.
    """
    store = open_branches()
    updated, failed = _update_and_judge(store, name, take)
    _show_update(store, name, updated, failed, output)
    ctx.exit(FAILED if updated.conflicts or failed else DONE)


def _update_and_judge(
    store: KeepsBranches, name: str, take: Sequence[str]
) -> tuple[BranchUpdate, list[CheckResult]]:
    """Update a branch; returns what became of it, and the checks that failed on rebased tables."""
    from phlo.project import load_project

    from phlo_cli.rebased_checks import find_failed_checks

    load_project()  # one that cannot be loaded is told before anything moves
    updated = _update(store, name, take)
    return updated, find_failed_checks(store, name, updated.rebased)


def _update(store: KeepsBranches, name: str, take: Sequence[str]) -> BranchUpdate:
    from phlo_cli.branch_history import forget_materializations
    from phlo_cli.table_summaries import find_table

    sources = {one.name: one.source for one in store.branches()}
    on_branch = store.on_branch(name)
    on_source = store.on_branch(sources[name] or MAIN)
    tables = [find_table(on_branch, table) for table in take]
    for table in tables:
        if not on_branch.exists(table):
            on_source.load(table)  # raises where there is none, and names the nearest
    forget_materializations(name, tables)  # after a kill in between, they are loaded again
    updated = store.update_branch(name, taken=tables)
    notify_observers(name, "updated")
    return updated


def _update_row(
    store: KeepsBranches, name: str, updated: BranchUpdate, failed: Sequence[CheckResult]
) -> dict[str, Any]:
    conflicts = [
        change_row(change)
        | {
            "obstacle": updated.obstacles[change.table],
            "commands": commands_for_conflict(store, name, change),
        }
        for change in updated.conflicts
    ]
    return {
        "taken": [str(table) for table in updated.taken],
        "rebased": [change_row(change) for change in updated.rebased],
        "conflicts": conflicts,
        "failed_checks": [
            {"table": str(one.table), "check": one.check, "why": one.message} for one in failed
        ],
    }


def _show_update(
    store: KeepsBranches,
    name: str,
    updated: BranchUpdate,
    failed: Sequence[CheckResult],
    output: Output,
) -> None:
    if output.as_json:
        output.json(_update_row(store, name, updated, failed))
        return
    for table in updated.taken:
        output.line(f"took {table}")
    for change in updated.rebased:
        runs = f" of run {', '.join(run[:8] for run in change.runs)}" if change.runs else ""
        output.line(f"rebased {change.table}: what the branch changed{runs} stands on top")
    for change in updated.conflicts:
        reason = updated.obstacles[change.table]
        output.line(f"kept {change.table}: it was changed on both sides, and {reason}", "yellow")
        for command in commands_for_conflict(store, name, change):
            output.line(f"  {command}", style="dim")
    for one in failed:
        output.line(f"check {one.check} of {one.table} failed: {one.message}", "red")
    if not (updated.taken or updated.rebased or updated.conflicts):
        output.line(f"{name} has everything already.")


@branch.command()
@click.argument("name")
@output_options()
def delete(name: str, output: Output) -> None:
    """Delete the branch NAME, with its run history, its marts and the files that only it needs."""
    remove_branch(open_branches(), name)
    if output.as_json:
        output.json({"deleted": name})
    else:
        output.line(f"Deleted the branch {name}.")


def show_changes(changes: Sequence[TableChange], output: Output, *, empty: str) -> None:
    """Print what a branch did to tables."""
    output.rows(
        [change_row(change) for change in changes],
        columns=("table", "change", "conflict", "runs", "source_runs"),
        empty=empty,
    )


def change_row(change: TableChange) -> dict[str, Any]:
    """Return what a branch did to a table, for output."""
    return {
        "table": str(change.table),
        "change": change.change,
        "conflict": change.is_conflict,
        "runs": [run[:8] for run in change.runs],
        "source_runs": [run[:8] for run in change.source_runs],
        "base_snapshot_id": change.base_snapshot_id,
        "snapshot_id": change.snapshot_id,
        "source_snapshot_id": change.source_snapshot_id,
    }


def _row(one: Any) -> dict[str, Any]:
    return {"branch": one.name, "source": one.source, "created_at": one.created_at}
