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

    from dagster import DagsterInstance

    from phlo_cli.location import Location
    from phlo_cli.project_index import IndexedAsset


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
    assets = [(key, location.table_of(key), location.graph.get(key).partitions_def) for key in keys]
    return _find(location.instance, assets, since)


def find_missing_in_index(
    assets: Iterable[IndexedAsset], instance: DagsterInstance, since: date | None = None
) -> list[MissingPartitionOfAsset]:
    """List the missing partitions of assets of the project's index, as :func:`find_missing`."""
    return _find(
        instance,
        [
            (AssetKey.from_user_string(one.key), one.table, one.partitions.definition())
            for one in assets
            if one.partitions is not None
        ],
        since,
    )


def _find(
    instance: DagsterInstance,
    assets: Iterable[tuple[AssetKey, str | None, object]],
    since: date | None,
) -> list[MissingPartitionOfAsset]:
    now = datetime.now(UTC)
    return [
        one
        for key, table, definition in sorted(assets, key=lambda asset: asset[0].to_user_string())
        if isinstance(definition, TimeWindowPartitionsDefinition)
        for one in _missing_of(instance, key, table, definition, since, now)
    ]


def _missing_of(
    instance: DagsterInstance,
    key: AssetKey,
    table: str | None,
    definition: TimeWindowPartitionsDefinition,
    since: date | None,
    now: datetime,
) -> list[MissingPartitionOfAsset]:
    made = last_made(instance, key)
    first = since or min(
        (window.start.date() for name, window in windows(definition, now) if name in made),
        default=None,
    )
    return [
        MissingPartitionOfAsset(key.to_user_string(), table, one.key, one.ended_at, one.made_at)
        for one in missing_partitions(definition, made, now)
        if first is None or one.ended_at.date() > first
    ]
