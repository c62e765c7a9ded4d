"""What changed between two states of the lake, and what reads the changed tables."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from phlo.errors import ConfigurationError
from phlo.names import TableName
from phlo.values import TableAsset

from phlo_cli.differences import SAMPLES, ChangedTable, compare_branch
from phlo_cli.lake_states import LakeHistory
from phlo_cli.report.values import Comparison

if TYPE_CHECKING:
    from phlo.branches import KeepsBranches

    from phlo_cli.project_index import ProjectIndex
    from phlo_cli.report.values import Report


def with_comparison(
    report: Report, index: ProjectIndex, store: KeepsBranches, old: str, new: str, timezone: str
) -> Report:
    """Return the report with what changed between two states.

    Of two branches it is what the new one changes in the old one, which it was made from; states
    are otherwise found and compared as `phlo diff` does.

    Rows of a table that no asset of the project makes are masked where anything is sensitive,
    since nothing tells what its columns are made of.

    Raises:
        ConfigurationError: The branch was made from another one.
        click.UsageError: Nothing is called so, or several things are.
    """
    changed = _compare(store, index, report.branch, old, new, timezone)
    names = [str(one.change.table) for one in changed]
    without_lineage = [name for name in names if name not in report.lineage.nodes]
    unknown = dict.fromkeys(without_lineage) if report.sensitive else {}
    below = {name: report.lineage.below(name) for name in names}
    return replace(
        report,
        comparison=Comparison(old, new, changed, below),
        sensitive={**report.sensitive, **unknown},
    )


def _compare(
    store: KeepsBranches, index: ProjectIndex, branch: str, old: str, new: str, timezone: str
) -> list[ChangedTable]:
    if {old, new} <= {one.name for one in store.branches()}:
        _require_source(store, old, new)
        return compare_branch(store, new, _assets(index))
    history = LakeHistory(store, branch, timezone)
    states = history.find(old), history.find(new)
    return list(history.compare(*states, _assets(index), samples=SAMPLES))


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
