"""Branches of the whole lake in an SQL catalog.

The branch ``dev`` of the catalog ``lake`` is the catalog ``lake@dev`` in the same database: a row
per table that names a metadata file of its own, which names the same data files. Every metadata
file is named by one branch alone, so that no writer's clean-up of old metadata reaches another's.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phlo_iceberg.branches.changes import find_changes
    from phlo_iceberg.branches.create import create_branch
    from phlo_iceberg.branches.delete import delete_branch
    from phlo_iceberg.branches.lease import lease_branch
    from phlo_iceberg.branches.publish import publish_branch
    from phlo_iceberg.branches.records import list_branches
    from phlo_iceberg.branches.undo import undo_run
    from phlo_iceberg.branches.undo_plan import plan_undo
    from phlo_iceberg.branches.update import update_branch

_MODULES = {
    "create_branch": "create",
    "delete_branch": "delete",
    "find_changes": "changes",
    "lease_branch": "lease",
    "list_branches": "records",
    "plan_undo": "undo_plan",
    "publish_branch": "publish",
    "undo_run": "undo",
    "update_branch": "update",
}

__all__ = [
    "create_branch",
    "delete_branch",
    "find_changes",
    "lease_branch",
    "list_branches",
    "plan_undo",
    "publish_branch",
    "undo_run",
    "update_branch",
]


def __getattr__(name: str) -> Any:
    # Loaded on first use: every command opens the lake, and few work with branches.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
