"""Partitions of assets that were never made, or last made before they had ended."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dagster import AssetKey, TimeWindowPartitionsDefinition
from phlo.orchestration.missing import last_made, missing_partitions, windows

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from phlo_cli.location import Location


@dataclass(frozen=True)
class MissingPartitionOfAsset:
    """One partition that may lack rows.

    Attributes:
        asset: The asset's key, as text.
        table: The table it makes, if it makes one.
        partition: The partition key.
        ended_at: When the partition ended.
        made_at: When its last run began, before that end; ``None`` where it was never made.
    """

    asset: str
    table: str | None
    partition: str
    ended_at: datetime
    made_at: datetime | None

    def as_dict(self) -> dict[str, Any]:
        """Return the attributes, for JSON."""
        return asdict(self)


def find_missing(
    location: Location, keys: Iterable[AssetKey], since: date | None = None
) -> list[MissingPartitionOfAsset]:
    """List the missing partitions of assets, by asset and oldest first.

    Args:
        location: The project.
        keys: The assets; those without time windows as partitions have none missing.
        since: First day that counts; ``None``: the first partition of each asset that was ever
            made, or its very first where none was.
    """
    now = datetime.now(UTC)
    return [
        one
        for key in sorted(keys, key=AssetKey.to_user_string)
        for one in _missing_of(location, key, since, now)
    ]


def _missing_of(
    location: Location, key: AssetKey, since: date | None, now: datetime
) -> list[MissingPartitionOfAsset]:
    definition = location.graph.get(key).partitions_def
    if not isinstance(definition, TimeWindowPartitionsDefinition):
        return []
    made = last_made(location.instance, key)
    first = since or min(
        (window.start.date() for name, window in windows(definition, now) if name in made),
        default=None,
    )
    table = location.table_of(key)
    return [
        MissingPartitionOfAsset(key.to_user_string(), table, one.key, one.ended_at, one.made_at)
        for one in missing_partitions(definition, made, now)
        if first is None or one.ended_at.date() > first
    ]
