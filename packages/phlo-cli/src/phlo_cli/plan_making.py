"""Carry out a selection on a branch of its own, and describe what it would change."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from phlo.errors import BranchNotFoundError, PhloError
from phlo.redaction import redact

from phlo_cli.branch_option import on_branch
from phlo_cli.branch_plans import (
    BRANCH_PREFIX,
    BranchPlan,
    forget_plan,
    new_plan_id,
    read_plans,
    times,
    write_plan,
)
from phlo_cli.differences import compare_branch
from phlo_cli.lake_branches import open_branches, remove_branch
from phlo_cli.location import open_location
from phlo_cli.names import select
from phlo_cli.plan import build_plan
from phlo_cli.planned_marts import plan_marts
from phlo_cli.project_settings import require_project
from phlo_cli.published_marts import publishers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from phlo.config import Settings

    from phlo_cli.location import Location
    from phlo_cli.plan import RunPlan
    from phlo_cli.summary import RunSummary

_GOOD = ("passed", "skipped")


def make_plan(
    selection: Sequence[str],
    run: Callable[[Location, RunPlan], RunSummary],
    *,
    partition: str | None = None,
    keep_hours: float = 72.0,
) -> tuple[BranchPlan, RunSummary]:
    """Run assets on a new branch; the branch stays only where there is something to apply.

    Plans that have expired are deleted first.

    Args:
        selection: Names and expressions, as for :func:`phlo_cli.names.select`.
        run: Carries out a run in the project as it is on the branch.
        partition: The run's partition; ``None`` means the newest.
        keep_hours: Hours for which the plan can be applied.

    Returns:
        The plan, and how its run ended; it is kept where the run went well and changed something.
    """
    settings = require_project()
    for old in read_plans(settings):
        if old.is_expired:
            delete_plan(settings, old)
    # Wrong names and partitions are found before a branch is made.
    location = open_location()
    build_plan(location, select(location, selection), partition=partition)
    plan_id = new_plan_id()
    branch = BRANCH_PREFIX + plan_id
    open_branches().create_branch(branch, settings.branch)
    keep = False
    try:
        with on_branch(branch):
            made, summary = _run_here(
                plan_id, settings.branch, selection, run, partition, keep_hours
            )
        keep = bool(summary.is_ok and made.tables)
        if keep:
            made = _with_marts(made)
            write_plan(settings, made)
    finally:
        if not keep:
            remove_branch(open_branches(), branch)
    return made, summary


def delete_plan(settings: Settings, made: BranchPlan) -> None:
    """Delete a plan and its branch."""
    with contextlib.suppress(BranchNotFoundError):  # a killed apply or discard came so far
        remove_branch(open_branches(), made.branch)
    forget_plan(settings, made)


def _run_here(
    plan_id: str,
    source: str,
    selection: Sequence[str],
    carry_out: Callable[[Location, RunPlan], RunSummary],
    partition: str | None,
    keep_hours: float,
) -> tuple[BranchPlan, RunSummary]:
    location = open_location()
    run = build_plan(location, select(location, selection), partition=partition)
    summary = carry_out(location, run)
    tables = compare_branch(open_branches(), BRANCH_PREFIX + plan_id, location.project.tables)
    created_at, expires_at = times(keep_hours)
    made = BranchPlan(
        plan_id,
        source,
        tuple(selection),
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
    return made, summary


def _with_marts(made: BranchPlan) -> BranchPlan:
    """Add what would become of published tables, which stand in the source's schemas."""
    from phlo.project import load_project

    project = load_project()
    publishers = {*made.publishers, *publishers_of(project.settings, made.moved_tables)}
    try:
        marts = plan_marts(open_branches(), project, made.source, made.branch, publishers)
    except PhloError as error:  # the plan is made, and says what it does not know
        return replace(made, marts_error=redact(str(error)))
    return replace(made, marts=marts)


def _publishers(location: Location, run: RunPlan, summary: RunSummary) -> tuple[str, ...]:
    """Return keys of the assets of a run that published marts."""
    sources = {event.source for event in summary.published}
    keys = {key.to_user_string() for key in run.keys}
    return tuple(sorted(keys & set(publishers_of(location.project.settings, sources))))


def _check_row(check: Any) -> dict[str, Any]:
    return {
        "table": check.label,
        "check": check.name,
        "status": check.word,
        "is_bad": check.is_bad,
        "why": check.message,
    }


def _reads(location: Location, run: RunPlan) -> tuple[str, ...]:
    """Return tables that the assets of a run need and do not make themselves."""
    needed = {p for key in run.keys for p in location.graph.get(key).parent_keys} - run.keys
    tables = (location.table_of(key) for key in needed if location.graph.has(key))
    return tuple(sorted({table for table in tables if table is not None}))
