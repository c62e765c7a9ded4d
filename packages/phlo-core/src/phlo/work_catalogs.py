"""Catalogs of a cluster's engine in which one run works, unseen until what it made is published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from phlo.branches import BranchLease
    from phlo.lake import Lake
    from phlo.names import TableName


@dataclass(frozen=True)
class WorkCatalog:
    """A branch of the lake that is leased to this run, and the engine's catalog of it.

    Attributes:
        name: The engine's name of the catalog.
        lease: The branch; it publishes what was made.
        connect: Opens a DB-API connection to the engine, in this catalog.
    """

    name: str
    lease: BranchLease
    connect: Callable[[], Any]


@dataclass(frozen=True)
class BranchTable:
    """A table that a run made on its branch: what a stage is in the process of the run.

    Attributes:
        table: The table.
        base_snapshot_id: The snapshot of main that the branch began from; ``None``: empty or new.
        lake: The lake on the branch.
    """

    table: TableName
    base_snapshot_id: int | None
    lake: Lake


@runtime_checkable
class LeasesWorkCatalogs(Protocol):
    """A query engine of a cluster that can work on branches of the lake."""

    def lease_work_catalog(self) -> AbstractContextManager[WorkCatalog]:
        """Lease a work catalog, filled with main's tables; its content goes at the end.

        Raises:
            ConfigurationError: No work catalog is set up.
            ServiceError: Other runs have all of them for too long.
            UnsupportedCatalogError: The table store's catalog cannot lease branches.
        """
        ...
