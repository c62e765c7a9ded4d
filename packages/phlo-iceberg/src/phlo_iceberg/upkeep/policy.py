"""What maintenance keeps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phlo_iceberg.settings import IcebergSettings


@dataclass(frozen=True)
class Policy:
    """What is kept, and what is worth rewriting.

    Attributes:
        keep_snapshots: Newest snapshots of the main line that stay, whatever their age.
        keep_age: Snapshots younger than this stay.
        audit_age: Kept audits younger than this stay.
        orphan_age: Files of no snapshot younger than this stay: a running stage may need them.
        small_file_bytes: Data files below this size are worth joining.
        min_small_files: Small files of one partition that make joining worth it.
        deleted_share: Share of rows of a partition's files that are marked deleted, from which
            on rewriting is worth it.
        few_rows: Rows of a partition's files with deletes up to which a reader spends as much on
            opening two delete files as on the rows, so that two make rewriting worth it.
    """

    keep_snapshots: int = 20
    keep_age: timedelta = timedelta(days=5)
    audit_age: timedelta = timedelta(days=14)
    orphan_age: timedelta = timedelta(hours=72)
    small_file_bytes: int = 32 * 1024 * 1024
    min_small_files: int = 5
    deleted_share: float = 0.1
    few_rows: int = 20_000

    @classmethod
    def of(cls, settings: IcebergSettings) -> Policy:
        """Return the policy that the settings describe."""
        return cls(
            keep_snapshots=settings.keep_snapshots,
            keep_age=timedelta(days=settings.keep_snapshot_days),
            audit_age=timedelta(days=settings.keep_audit_days),
            orphan_age=timedelta(hours=settings.orphan_hours),
        )
