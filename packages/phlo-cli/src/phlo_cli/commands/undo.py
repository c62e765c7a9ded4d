"""`phlo undo`: return the tables that a run published to what they were."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from phlo.words import counted

from phlo_cli.main import DONE, FAILED
from phlo_cli.output import output_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phlo.undo import Undo, UndoesRuns

    from phlo_cli.output import Output


@click.command(short_help="Return the tables that a run published to what they were.")
@click.argument("run")
@click.option("--dry-run", is_flag=True, help="Show what would be undone, and change nothing.")
@click.option("--with-later", is_flag=True, help="Take back later runs on the same tables too.")
@output_options()
@click.pass_context
def undo(ctx: click.Context, run: str, dry_run: bool, with_later: bool, output: Output) -> None:
    """Return every table that RUN published to what it was, with the cursor of its source.

    The first letters of the run's id are enough. All tables go back in one transaction, as new
    snapshots that their history shows; a table that the run made is dropped. Where later runs wrote
    the same tables they are listed, and --with-later takes them back as well. Marts that were
    published from these tables are published anew; that of a dropped table stays as it is. The
    partitions that RUN made count as missing, so a schedule or `phlo backfill --missing` loads them
    again.
    """
    store = _open_store()
    if not dry_run:
        undone = _undo(store, run, with_later, output)
        _show(undone, output, verb="undone")
        ctx.exit(DONE if _publish_marts(ctx, undone, output) else FAILED)
    planned = store.plan_undo(run)
    _show(planned, output, verb="would be undone")
    blocked = planned.obstacles or (planned.later_runs and not with_later)
    ctx.exit(FAILED if blocked else DONE)


def _undo(store: UndoesRuns, run: str, with_later: bool, output: Output) -> Undo:
    """Undo a run, and note it in the history of runs.

    It is noted before: if this process is killed in between, a partition counts as missing that is
    there, and is loaded again. The other way round it would be missing, and never loaded again.
    """
    from phlo.errors import PhloError, UnknownCommitError

    planned = store.plan_undo(run)
    runs = (planned.run_id, *planned.later_runs)
    _note(runs, output, is_undone=True)
    try:
        return store.undo(planned.run_id, with_later=with_later)
    except UnknownCommitError:
        raise
    except PhloError:
        _note(runs, output, is_undone=False)
        raise


def _note(runs: Sequence[str], output: Output, *, is_undone: bool) -> None:
    from phlo.config import get_settings
    from phlo.redaction import redact

    from phlo_cli.branch_history import mark_undone_on

    try:
        mark_undone_on(get_settings(), runs, is_undone=is_undone)
    except Exception as error:  # noqa: BLE001 - the undo itself needs no history
        word = "made" if is_undone else "undone"
        output.warn(
            f"The history of runs may count runs as {word} that are not: {redact(str(error))}"
        )


def _publish_marts(ctx: click.Context, undone: Undo, output: Output) -> bool:
    from phlo.config import get_settings

    from phlo_cli.published_marts import publish_moved_marts

    restored = [one.table for one in undone.tables if one.action == "restored"]
    return publish_moved_marts(ctx, restored, output, branch=get_settings().branch)


def _open_store() -> UndoesRuns:
    from phlo.lake import open_lake
    from phlo.undo import UndoesRuns

    from phlo_cli.project_settings import require_project
    from phlo_cli.store_abilities import require_ability

    require_project()
    return require_ability(open_lake().store, UndoesRuns, "cannot take runs back")


def _show(undone: Undo, output: Output, *, verb: str) -> None:
    if output.as_json:
        output.json(_as_dict(undone))
        return
    output.line(f"Run {undone.run_id[:8]}: {counted(len(undone.tables), 'table')} {verb}.\n")
    output.rows(
        [asdict(table) | {"table": str(table.table)} for table in undone.tables],
        columns=("table", "action", "rows_before", "rows_after"),
        right=("rows_before", "rows_after"),
        empty="Nothing.",
    )
    for obstacle in undone.obstacles:
        output.line(f"cannot be undone: {obstacle}", style="red")
    for later in undone.later_runs:
        output.line(f"later run on the same tables: {later}", style="yellow")


def _as_dict(undone: Undo) -> dict[str, Any]:
    tables = [asdict(table) | {"table": str(table.table)} for table in undone.tables]
    return asdict(undone) | {"tables": tables}
