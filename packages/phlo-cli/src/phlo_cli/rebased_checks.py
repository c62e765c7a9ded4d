"""Judge tables that an update rebased: their checks saw the rows of each side alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.checks import CheckStatus
from phlo.names import Partition

from phlo_cli.branch_option import on_branch
from phlo_cli.lake_branches import partitions_written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phlo.branches import KeepsBranches, TableChange
    from phlo.checks import CheckResult
    from phlo.lake import Lake
    from phlo.project import Project

_BAD = (CheckStatus.FAILED, CheckStatus.COULD_NOT_RUN)


def find_failed_checks(
    store: KeepsBranches, name: str, rebased: Sequence[TableChange]
) -> list[CheckResult]:
    """Judge rebased tables by the blocking checks that judge loads, and return what blocks.

    Args:
        store: The lake.
        name: The branch, which was updated.
        rebased: What the branch did to these tables before.
    """
    if not rebased:
        return []
    from phlo.lake import open_lake
    from phlo.project import load_project

    with on_branch(name):
        project, lake = load_project(), open_lake()
        return [
            result
            for change in rebased
            for result in _judge(project, lake, change, _partitions(store, name, change))
            if result.blocking and result.status in _BAD
        ]


def _partitions(store: KeepsBranches, name: str, change: TableChange) -> list[Partition | None]:
    """Return the partitions that the branch loaded; ``None`` for a table that has none."""
    keys = partitions_written(store, name, change.table, change.source_snapshot_id)
    return [Partition.parse(key) for key in keys] or [None]


def _judge(
    project: Project, lake: Lake, change: TableChange, partitions: Sequence[Partition | None]
) -> list[CheckResult]:
    """Judge a table by its suites: those of a partition in each of these partitions."""
    results: list[CheckResult] = []
    for suite in project.suites_for(change.table):
        names = [check.name for check in suite.checks if check.audits]
        for partition in partitions if suite.scope == "partition" else partitions[-1:]:
            if suite.blocking and names:
                results += suite.evaluate(lake.engine, lake.store, partition=partition, only=names)
    return results
