"""Events that the ``phlo_on_*`` hooks receive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from phlo.checks import CheckResult
    from phlo.names import Partition, TableName
    from phlo.values import LoadAccount, Published


@dataclass(frozen=True, slots=True)
class LoadEvent:
    """One attempt of a load ended.

    Attributes:
        table: The table loaded.
        asset_key: The asset, its parts joined with ``/``.
        partition: The partition; ``None`` for unpartitioned assets.
        run_id: Dagster's run id.
        account: Where the rows went.
        published: What the table became; ``None`` when the load failed.
        error: Message of the failure; ``None`` when it succeeded.
        seconds: Wall time of the attempt.
    """

    table: TableName
    asset_key: str
    partition: Partition | None
    run_id: str
    account: LoadAccount
    published: Published | None
    error: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class ChecksEvent:
    """The checks of one table were judged.

    Attributes:
        table: The table.
        run_id: Dagster's run id.
        results: One per check.
        staged: Whether they judged a stage (an audit) rather than the published table.
    """

    table: TableName
    run_id: str
    results: tuple[CheckResult, ...]
    staged: bool


@dataclass(frozen=True, slots=True)
class PublishEvent:
    """A mart was published to a database for readers of reports.

    Attributes:
        source: The table read.
        target: Name of the published table, with its schema.
        row_count: Rows published.
        snapshot_id: Snapshot of the source.
        seconds: Wall time.
    """

    source: TableName
    target: str
    row_count: int
    snapshot_id: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class RunEvent:
    """A run started by phlo ended.

    Attributes:
        run_id: Dagster's run id.
        status: How it ended.
        started_at: In UTC.
        seconds: Wall time.
        assets: Keys of the assets asked for.
    """

    run_id: str
    status: Literal["success", "failure", "canceled"]
    started_at: datetime
    seconds: float
    assets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BranchEvent:
    """A branch of the lake was made, updated, published or deleted.

    Attributes:
        branch: Its name.
        action: What was done.
    """

    branch: str
    action: Literal["created", "updated", "published", "deleted"]
