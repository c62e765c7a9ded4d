"""The one function that commits: stages of one or several tables, all or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.errors import MovedHeadError
from phlo.interrupts import uninterrupted
from pyiceberg.catalog.sql import SqlCatalog

from phlo_iceberg.commit.plan import Commit, commit_of
from phlo_iceberg.commit.settle import REFUSALS
from phlo_iceberg.commit.sql import (
    commit_in_database,
    metadata_location,
    point_at,
    previous_location,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from phlo.names import TableName
    from pyiceberg.catalog import Catalog

__all__ = [
    "Commit",
    "commit_all",
    "commit_of",
    "metadata_location",
    "point_at",
    "previous_location",
]


def commit_all(
    catalog: Catalog, commits: Sequence[Commit], reads: Mapping[TableName, int | None]
) -> None:
    """Commit tables together, all or none.

    Args:
        catalog: An SQL catalog does it in one database transaction, a REST catalog in one of its
            own; a server that has none takes a single table, and ``reads`` are only compared
            right before: one of them may move in between.
        commits: One per table.
        reads: Snapshots of other tables that must still be their heads.

    Raises:
        MovedHeadError: Nothing landed: a table is no longer as planned, or one that was read has
            moved.
        UnknownCommitError: The catalog did not answer. All files of the commits must stay.
    """
    ordered = sorted(commits, key=lambda c: c.name)
    try:
        with uninterrupted():
            if isinstance(catalog, SqlCatalog):
                commit_in_database(catalog, ordered, reads)
            else:
                from phlo_iceberg.commit.rest import commit_over_rest  # imports requests

                commit_over_rest(catalog, ordered, reads)
    except REFUSALS as exc:
        raise MovedHeadError(
            f"{', '.join(str(c.name) for c in ordered)}: another writer was first. {exc}"
        ) from exc
