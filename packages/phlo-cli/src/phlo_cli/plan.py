"""What a run will do, decided before it does anything; ``--dry-run`` prints it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from dagster import AssetKey, partition_loading_context
from phlo.errors import AssetNotFoundError, InvalidPartitionError
from phlo.names import Partition
from phlo.orchestration.dagster_private import PARTITION_TAG
from phlo.staged_runs import find_staged_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from phlo_cli.location import Location


@dataclass(frozen=True)
class PlannedAsset:
    """One asset of a run.

    Attributes:
        key: The asset's key, as text.
        table: The table it makes, if it makes one.
        group: Its group.
        partition: The partition made; ``None`` for unpartitioned assets.
        check_count: Checks that will judge it.
    """

    key: str
    table: str | None
    group: str
    partition: str | None
    check_count: int

    @property
    def label(self) -> str:
        """What to call it in front of people: its table, else its key."""
        return self.table or self.key


@dataclass(frozen=True)
class RunPlan:
    """One run.

    Attributes:
        assets: What is made, each after what it needs.
        partition: The run's partition; ``None`` where no asset is partitioned and none is asked.
    """

    assets: tuple[PlannedAsset, ...]
    partition: str | None

    @property
    def keys(self) -> frozenset[AssetKey]:
        """The keys of all assets."""
        return frozenset(AssetKey.from_user_string(asset.key) for asset in self.assets)

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return {"partition": self.partition, "assets": [asdict(asset) for asset in self.assets]}


def build_plan(
    location: Location, keys: Iterable[AssetKey], *, partition: str | None = None
) -> RunPlan:
    """Decide what a run of these assets does.

    Args:
        location: The project.
        keys: The assets.
        partition: The partition; ``None`` means the newest one of partitioned assets, which is
            today's for ingested tables.

    Raises:
        InvalidPartitionError: An asset has no such partition; names the range it has.
    """
    ordered = [key for key in location.graph.toposorted_asset_keys if key in set(keys)]
    partition = partition or _newest_partition(location, ordered)
    if partition is not None and not any(location.graph.get(k).is_partitioned for k in ordered):
        Partition.parse(partition)  # it still reaches dbt as a variable
    return RunPlan(tuple(_planned(location, key, partition) for key in ordered), partition)


def _planned(location: Location, key: AssetKey, partition: str | None) -> PlannedAsset:
    node = location.graph.get(key)
    if node.partitions_def is not None:
        require_partition(location, key, partition)
    return PlannedAsset(
        key=key.to_user_string(),
        table=location.table_of(key),
        group=node.group_name,
        partition=partition if node.partitions_def is not None else None,
        check_count=len(location.graph.get_check_keys_for_assets({key})),
    )


def _newest_partition(location: Location, keys: Sequence[AssetKey]) -> str | None:
    """Find the newest partition that all partitioned assets have."""
    definitions = [location.graph.get(key).partitions_def for key in keys]
    with partition_loading_context(dynamic_partitions_store=location.instance):
        newest = [d.get_last_partition_key() for d in definitions if d is not None]
    return min((key for key in newest if key is not None), default=None)


def require_partition(location: Location, key: AssetKey, partition: str | None) -> None:
    """Refuse a partition that an asset does not have.

    Raises:
        InvalidPartitionError: Names the asset and the range of its partitions.
    """
    definition = location.graph.get(key).partitions_def
    if definition is None:
        return
    with partition_loading_context(dynamic_partitions_store=location.instance):
        if partition is not None and definition.has_partition_key(partition):
            return
        first, last = definition.get_first_partition_key(), definition.get_last_partition_key()
    label = location.table_of(key) or key.to_user_string()
    if partition is None:
        raise InvalidPartitionError(
            f"{label} has no partition yet: the first begins later.",
            hint="Set an earlier start_date, or wait until it begins.",
            asset=key.to_user_string(),
        )
    raise InvalidPartitionError(
        f"{label} has no partition {partition!r}.",
        got=repr(partition),
        expected=f"one from {first} to {last}" if last else "a partition, of which it has none yet",
        hint=f"Choose one in that range, such as --partition {last}." if last else None,
        asset=key.to_user_string(),
        first=first,
        last=last,
    )


def require_ingestions(location: Location, keys: Iterable[AssetKey]) -> None:
    """Refuse a selection in which nothing is loaded from a source.

    Raises:
        AssetNotFoundError: There is no ingested table among the assets.
    """
    if not any("dlt" in location.graph.get(key).kinds for key in keys):
        names = ", ".join(sorted(location.table_of(k) or k.to_user_string() for k in keys))
        raise AssetNotFoundError(
            f"Nothing of {names} is loaded from a source, so no run has staged rows of it.",
            hint="Leave --from-staged away, or name an ingested table.",
        )


def partition_of_run(location: Location, run_id: str) -> str | None:
    """Find the partition of the run that kept rows under an id that begins so.

    Returns:
        Its key; ``None`` where the run had none, or the history does not know the run.

    Raises:
        ReplayError: No run that kept rows has such an id, or several have.
    """
    folder = find_staged_run(location.project.settings, run_id)
    run = location.instance.get_run_by_id(folder.name)
    return run.tags.get(PARTITION_TAG) if run is not None else None
