"""What a branch changes in the one it was made from, and what reads the changed tables."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from phlo.errors import ConfigurationError
from phlo.names import TableName
from phlo.values import TableAsset

from phlo_cli.differences import compare_branch
from phlo_cli.report.values import Comparison

if TYPE_CHECKING:
    from phlo.branches import KeepsBranches

    from phlo_cli.project_index import ProjectIndex
    from phlo_cli.report.values import Report


def with_comparison(
    report: Report, index: ProjectIndex, store: KeepsBranches, source: str, branch: str
) -> Report:
    """Return the report with what a branch changes.

    Rows of a table that no asset of the project makes are masked where anything is sensitive,
    since nothing tells what its columns are made of.

    Raises:
        ConfigurationError: The branch was made from another one.
        BranchNotFoundError: There is no such branch.
    """
    _require_source(store, source, branch)
    changed = compare_branch(store, branch, _assets(index))
    names = [str(one.change.table) for one in changed]
    without_lineage = [name for name in names if name not in report.lineage.nodes]
    unknown = dict.fromkeys(without_lineage) if report.sensitive else {}
    below = {name: report.lineage.below(name) for name in names}
    return replace(
        report,
        comparison=Comparison(source, branch, changed, below),
        sensitive={**report.sensitive, **unknown},
    )


def _require_source(store: KeepsBranches, source: str, branch: str) -> None:
    made_from = {one.name: one.source for one in store.branches()}
    if branch in made_from and made_from[branch] != source:
        actual = made_from[branch]
        raise ConfigurationError(
            f"The branch {branch} cannot be compared with {source}.",
            got=f"--diff {source} {branch}",
            expected=f"the branch that {branch} was made from: {actual or 'it was made from none'}",
            hint=f"--diff {actual} {branch}" if actual else f"--diff {branch} {source}",
        )


def _assets(index: ProjectIndex) -> dict[TableName, TableAsset]:
    made = [(TableName.parse(asset.table), asset) for asset in index.assets if asset.table]
    return {table: TableAsset(table, (asset.key,), key=asset.unique_key) for table, asset in made}
