"""The branches of the current project's lake, as commands and code open and delete them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Literal

from phlo.names import MAIN

if TYPE_CHECKING:
    from phlo.branches import KeepsBranches, TableChange
    from phlo.names import TableName


def remove_branch(store: KeepsBranches, name: str) -> None:
    """Delete a branch and the state of its runs, and tell observers."""
    from phlo.config import get_settings

    store.delete_branch(name)
    settings = get_settings().model_copy(update={"branch": name})
    shutil.rmtree(settings.state_dir, ignore_errors=True)
    notify_observers(name, "deleted")


def open_branches() -> KeepsBranches:
    """Open the current project's lake on main.

    Raises:
        UnsupportedCatalogError: The project's table store has no branches.
    """
    from phlo.branches import KeepsBranches
    from phlo.lake import open_branch

    from phlo_cli.store_abilities import require_ability

    return require_ability(open_branch(MAIN).store, KeepsBranches, "has no branches")


def notify_observers(
    name: str, action: Literal["created", "updated", "published", "deleted"]
) -> None:
    """Tell observers what became of a branch."""
    from phlo.events import BranchEvent
    from phlo.plugins import notify

    notify("phlo_on_branch", BranchEvent(name, action))


def commands_for_conflict(store: KeepsBranches, name: str, change: TableChange) -> list[str]:
    """Write the commands that make a table anew on a branch, on top of its source's state.

    Args:
        store: The lake.
        name: The branch.
        change: What the branch did to a table that both sides changed.
    """
    from phlo.project import load_project

    take = f"phlo branch update {name} --take {change.table}"
    if change.change == "dropped" or change.table not in load_project().tables:
        return [take]
    written = partitions_written(store, name, change.table, change.base_snapshot_id)
    partitions = [f" --partition {p}" for p in written]
    runs = [f"phlo materialize {change.table}{p} --branch {name}" for p in partitions or [""]]
    return [take, *runs]


def partitions_written(
    store: KeepsBranches, name: str, table: TableName, base_snapshot_id: int | None
) -> list[str]:
    """Return the partitions that runs loaded into a branch's table since a snapshot, in order."""
    partitions: list[str] = []
    for snapshot in store.on_branch(name).history(table):
        if snapshot.snapshot_id == base_snapshot_id:
            break
        partitions.append(snapshot.summary.get("phlo.partition", ""))
    return list(dict.fromkeys(p for p in reversed(partitions) if p))
