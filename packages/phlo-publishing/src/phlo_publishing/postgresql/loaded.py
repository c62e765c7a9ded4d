"""A new table, between its load and its swap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phlo_publishing.marts import Mart
    from phlo_publishing.postgresql.records import PublishRecord
    from phlo_publishing.postgresql.relations import Relation
    from phlo_publishing.postgresql.structure import Structure


@dataclass(frozen=True, slots=True)
class LoadedTable:
    """A new table with the rows of a mart, and the one that it replaces.

    Attributes:
        mart: The mart.
        new: The new table, in the staging schema.
        old: The published table; ``None`` for a mart that was never published.
        structure: That of the old table.
        record: The record of the last publish.
        row_count: Rows loaded.
        columns: Name and type of the published columns.
        started_at: When the load began, by ``time.monotonic``.
    """

    mart: Mart
    new: Relation
    old: Relation | None
    structure: Structure | None
    record: PublishRecord | None
    row_count: int
    columns: list[list[str]]
    started_at: float
