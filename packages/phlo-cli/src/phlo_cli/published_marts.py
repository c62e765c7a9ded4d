"""Publish marts anew whose tables moved without a run: by a branch, a plan or an undo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo_cli.branch_option import use_branch

if TYPE_CHECKING:
    from collections.abc import Collection

    import click
    from phlo.config import Settings
    from phlo.names import TableName

    from phlo_cli.output import Output
    from phlo_cli.summary import RunSummary


def publish_moved_marts(
    ctx: click.Context,
    tables: Collection[TableName],
    output: Output,
    *,
    branch: str,
    others: Collection[str] = (),
) -> bool:
    """Publish every mart anew that was published from one of the tables.

    The tables have moved already, so a failure is told as a warning and never raised.

    Args:
        ctx: The command's context.
        tables: Tables that have another state now.
        output: Where to report.
        branch: The branch whose tables they are; its marts follow.
        others: Keys of further assets that publish.

    Returns:
        Whether the marts are as the tables are.
    """
    from phlo.errors import PhloError
    from phlo.redaction import redact

    try:
        use_branch(ctx, branch)
        summary = _publish(tables, others, output)
    except Exception as error:  # noqa: BLE001 - the tables have moved, whatever fails now
        is_own = isinstance(error, PhloError)
        return _warn(output, redact(str(error) if is_own else f"{type(error).__name__}: {error}"))
    if summary is None or summary.is_ok:
        return True
    return _warn(output, "Hint: `phlo publish` brings them up to date.")


def _warn(output: Output, reason: str) -> bool:
    output.warn(f"The tables have moved, but not all of their published marts followed. {reason}")
    return False


def _publish(
    tables: Collection[TableName], others: Collection[str], output: Output
) -> RunSummary | None:
    from phlo_cli.project_settings import require_project

    names = sorted({*publishers_of(require_project(), tables), *others})
    if not names:
        return None
    from phlo_cli.location import open_location
    from phlo_cli.names import select
    from phlo_cli.plan import build_plan
    from phlo_cli.run_report import run_plan

    location = open_location()
    return run_plan(location, build_plan(location, select(location, names)), output)


def publishers_of(settings: Settings, tables: Collection[TableName]) -> list[str]:
    """Find the assets whose last publish read one of the tables, by key."""
    from phlo_cli.project_index import load_index

    index = load_index(settings)
    if index is None or not tables:
        return []
    from phlo.orchestration.instance import open_instance

    from phlo_cli.lineage import last_published

    moved = {str(table) for table in tables}
    with open_instance(settings) as instance:
        published = last_published(index, instance)
    return sorted({one.key for one in published if one.source in moved})
