"""What applying a plan would change in published marts."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from phlo_cli.differences import COUNTS, SAMPLES, markdown_table, sample_lines

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from phlo.branches import KeepsBranches
    from phlo.project import Project
    from phlo.values import PublishPlan

    from phlo_cli.output import Output

COLUMNS = ("published", "action", *COUNTS, "columns")


def plan_marts(
    store: KeepsBranches, project: Project, source: str, branch: str, publishers: Collection[str]
) -> tuple[dict[str, Any], ...]:
    """Find out what the marts' published tables would become; the settings are the source's.

    Args:
        store: The lake.
        project: The project.
        source: The branch whose marts would be published anew.
        branch: The plan's branch.
        publishers: Keys of the assets that would publish.
    """
    if not publishers:
        return ()
    from phlo.lake import build_branch

    lake = build_branch(branch)
    handed_over = project.hooks.phlo_register_publish_plans(
        project=project, store=lake.store, engine=lake.engine, assets=publishers
    )
    plans = [plan for plans in handed_over for plan in plans if plan.action != "skip"]
    return tuple(_as_row(store, plan, source, branch) for plan in plans)


def _as_row(store: KeepsBranches, plan: PublishPlan, source: str, branch: str) -> dict[str, Any]:
    """Compare the mart with the snapshot of it that is published."""
    from phlo.branches import TableVersion

    published = plan.published_snapshot_id
    before = TableVersion(source, published) if published is not None else None
    head = store.on_branch(branch).load(plan.source).snapshot_id
    row = asdict(plan) | {"source": str(plan.source), "table": plan.target}
    if before is None and plan.rows_before is not None:
        return row | dict.fromkeys(COUNTS) | {"changed_columns": {}, "samples": {}}
    difference = store.compare_versions(
        plan.source, before, TableVersion(branch, head), key=plan.key, samples=SAMPLES
    )
    return row | {
        "added": difference.added,
        "removed": difference.removed,
        "changed": difference.changed,
        "changed_columns": dict(difference.changed_columns),
        "samples": dict(difference.samples),
    }


def show_marts(marts: Sequence[Mapping[str, Any]], output: Output) -> None:
    """Print what would become of published tables, and the locks that it takes."""
    if not marts:
        return
    output.line()
    output.rows(_with_names(marts), columns=COLUMNS, right=COUNTS, empty="")
    for mart in marts:
        for line in (*sample_lines(mart), *_lock_lines(mart)):
            output.line(line, style="dim")
        for reason in mart["refused"]:
            output.line(f"{mart['target']} cannot be published: {reason}", style="red")


def marts_as_markdown(marts: Sequence[Mapping[str, Any]]) -> str:
    """Format what would become of published tables as Markdown; empty where there are none."""
    if not marts:
        return ""
    lines = ["", "", *markdown_table(_with_names(marts), COLUMNS), ""]
    for mart in marts:
        lines += [f"-{line.removeprefix(' ')}" for line in _lock_lines(mart)]
        lines += [f"- **{mart['target']} cannot be published**: {r}" for r in mart["refused"]]
    return "\n".join(lines)


def _with_names(marts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{**mart, "published": mart["target"]} for mart in marts]


def _lock_lines(mart: Mapping[str, Any]) -> list[str]:
    return [f"  lock {lock}" for lock in mart["locks"]]
