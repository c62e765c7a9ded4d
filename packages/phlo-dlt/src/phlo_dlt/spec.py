"""The spec that ``@phlo_ingestion`` attaches to a function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from phlo.names import TableName
from phlo.values import Append, Merge, Replace

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from phlo.contract import Contract
    from phlo.names import Partition
    from phlo.values import DeduplicationMethod, How

InvalidRows = Literal["fail", "keep", "quarantine"]
MergeStrategy = Literal["merge", "append", "replace"]


@dataclass(frozen=True, slots=True)
class MergeConfig:
    """The checked ``merge_config`` of an ingestion.

    Attributes:
        deduplication_method: Which row of a key is kept.
        order_by: Column by which rows of a key compete.
        delete_column: Boolean column; rows true there delete their key.
        key_scope: ``partition``: a key never changes its partition.
        on_rerun: What an append does to what the same partition wrote before; ``None``:
            ``replace``, and ``append`` where the load carries a dlt cursor.
    """

    deduplication_method: DeduplicationMethod = "last"
    order_by: str | None = None
    delete_column: str | None = None
    key_scope: Literal["table", "partition"] = "table"
    on_rerun: Literal["replace", "append"] | None = None


@dataclass(frozen=True, eq=False)
class IngestionSpec:
    """The arguments of one ``@phlo_ingestion``, which explains them.

    Attributes beyond the decorator's arguments:
        function: The decorated function.
        contract: The contract of ``validation_schema``.
        defined_at: File and line.
    """

    function: Callable[..., Any]
    table: TableName
    unique_key: tuple[str, ...]
    contract: Contract
    group: str
    cron: str | None
    freshness_hours: tuple[float, float] | None
    merge_strategy: MergeStrategy
    merge_config: MergeConfig
    max_retries: int
    retry_delay_seconds: int
    max_runtime_seconds: int
    validate: bool
    invalid_rows: InvalidRows
    add_metadata_columns: bool
    partitions: Any
    partition_spec: tuple[tuple[str, str], ...] | None
    start_date: date | None
    on_schema_change: str
    description: str | None
    defined_at: str
    pool: str | None = None

    @property
    def asset_name(self) -> str:
        """Return ``dlt_<table>``, with the namespace where it is not ``bronze``."""
        if self.table.namespace == "bronze":
            return f"dlt_{self.table.name}"
        return f"dlt_{self.table.namespace}__{self.table.name}"

    @property
    def quarantine(self) -> TableName:
        """Return the table that invalid rows go to."""
        return TableName("quarantine", f"{self.table.namespace}__{self.table.name}")

    @property
    def tombstones(self) -> TableName:
        """Return the table that remembers deleted keys."""
        return TableName("tombstones", f"{self.table.namespace}__{self.table.name}")

    @property
    def keeps_tombstones(self) -> bool:
        """Return whether deletes are remembered, so that no older load brings a row back.

        ``first`` keeps the first row of a key, whatever deletes it later; without a partition's
        date or a column to compete by nothing tells which load is older.
        """
        config = self.merge_config
        return (
            self.merge_strategy == "merge"
            and config.delete_column is not None
            and config.deduplication_method != "first"
            and (self.add_metadata_columns or config.order_by is not None)
        )

    def on_rerun(self, *, has_cursor: bool) -> Literal["replace", "append"]:
        """Return what an append does to what its partition wrote before."""
        return self.merge_config.on_rerun or ("append" if has_cursor else "replace")

    def how(self, partition: Partition | None, *, has_cursor: bool = False) -> How:
        """Return how a load of a partition is written.

        Args:
            partition: The partition; ``None`` for unpartitioned assets.
            has_cursor: Whether the load hands over only what is new, so that an append takes
                nothing away.
        """
        config = self.merge_config
        if self.merge_strategy == "append":
            return Append(partition, on_rerun=self.on_rerun(has_cursor=has_cursor))
        if self.merge_strategy == "replace":
            return Replace(partition)
        return Merge(
            key=self.unique_key,
            partition=partition,
            method=config.deduplication_method,
            order_by=config.order_by,
            delete_column=config.delete_column,
            key_scope=config.key_scope,
        )
