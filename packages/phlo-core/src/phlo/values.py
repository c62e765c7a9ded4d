"""Values that packages exchange about loads, tables and assets: frozen, light, standard library."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from phlo.checks import CheckResult, CheckStatus, Severity
from phlo.names import Partition, TableName

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    import pyarrow as pa
    import pyarrow.dataset as ds

__all__ = [
    "Append",
    "CheckResult",
    "CheckStatus",
    "ColumnStatistics",
    "Damage",
    "DeduplicationMethod",
    "How",
    "LoadAccount",
    "MaintenanceReport",
    "Merge",
    "Partition",
    "ProjectTemplate",
    "PublishPlan",
    "Published",
    "Repair",
    "Replace",
    "Severity",
    "Snapshot",
    "TableAsset",
    "TableName",
    "TableStatistics",
]


@dataclass(frozen=True, slots=True)
class LoadAccount:
    """Where every row of a load went, in rows.

    ``extracted = inserted + updated + unchanged + deduplicated + quarantined + deleted``
    for a load that was published; ``rejected = extracted`` for one that failed.

    Attributes:
        extracted: Rows the source delivered.
        inserted: Rows new to the table.
        updated: Rows that replaced a stored row with other content.
        unchanged: Rows equal to what was stored; not rewritten.
        deduplicated: Rows passed over for another row of the load, or for the stored row.
        quarantined: Invalid rows that went to quarantine instead of the table.
        deleted: Rows that deleted their key (``delete_column``), found in the table or not.
        rejected: All rows of a load that failed; zero otherwise.
        removed: Stored rows that this load took away (deletes, replaced partitions). Not rows
            of the load, hence no part of the sum.
        out_of_order: Updates by a load of an earlier partition than the newest of the table. A
            part of ``updated``.
    """

    extracted: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    deduplicated: int = 0
    quarantined: int = 0
    deleted: int = 0
    rejected: int = 0
    removed: int = 0
    out_of_order: int = 0

    @classmethod
    def of_summary(cls, summary: Mapping[str, str]) -> LoadAccount | None:
        """Read the account that a load wrote into its snapshot; ``None`` for other writers.

        >>> LoadAccount.of_summary({"phlo.extracted": "2", "phlo.inserted": "2"}).is_balanced
        True
        """
        names = [field.name for field in fields(cls) if f"phlo.{field.name}" in summary]
        return cls(**{name: int(summary[f"phlo.{name}"]) for name in names}) if names else None

    @property
    def is_balanced(self) -> bool:
        """Whether every extracted row is accounted for."""
        return self.extracted == (
            self.inserted
            + self.updated
            + self.unchanged
            + self.deduplicated
            + self.quarantined
            + self.deleted
            + self.rejected
        )

    def plus(self, **counts: int) -> LoadAccount:
        """Return the account with these counts added.

        >>> LoadAccount(extracted=3).plus(inserted=2, quarantined=1).is_balanced
        True
        """
        return replace(self, **{name: getattr(self, name) + n for name, n in counts.items()})

    def as_rejected(self) -> LoadAccount:
        """Return the account of a run that failed: all of its rows are rejected."""
        return LoadAccount(extracted=self.extracted, rejected=self.extracted)

    def as_dict(self) -> dict[str, int]:
        """Return all counts by name, in the order of the attributes."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


DeduplicationMethod = Literal["last", "first", "hash"]


@dataclass(frozen=True, slots=True)
class Merge:
    """Upsert by key. Keys of the rows handed over are unique and not null.

    Attributes:
        key: Columns of the key.
        partition: The load's partition; ``None`` for unpartitioned assets.
        method: Which row wins against the stored one: ``last`` and ``hash`` the load's, unless
            the stored row is of a later partition or extraction; ``first`` the stored one.
        order_by: Column by which the stored row competes instead; nulls are lowest.
        delete_column: Boolean column; rows true there delete their key and are not stored.
        key_scope: ``partition`` promises that a key never changes its partition, which saves
            the probe of the other partitions.
        compares_metadata: Whether ``_dlt_*`` and ``_phlo_*`` columns are columns like any other:
            a row is equal only where they are equal too, and no stored row is of a later
            extraction. True for rows that a query made, such as a dbt model's.
        deleted: Keys that other loads deleted, once each: the columns of ``key``, ``order_by``
            and the times of the deleting load, ``_phlo_partition_date`` and
            ``_phlo_ingested_at``. A row of the load that is older than the delete of its key is
            passed over; a delete without a value in ``order_by`` competes by the times alone.
    """

    key: tuple[str, ...]
    partition: Partition | None = None
    method: DeduplicationMethod = "last"
    order_by: str | None = None
    delete_column: str | None = None
    key_scope: Literal["table", "partition"] = "table"
    compares_metadata: bool = False
    deleted: ds.Dataset | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Append:
    """Insert only, no key lookup.

    Attributes:
        partition: The load's partition.
        on_rerun: ``replace`` takes away what the same partition wrote before;
            ``append`` leaves it.
    """

    partition: Partition | None = None
    on_rerun: Literal["replace", "append"] = "replace"


@dataclass(frozen=True, slots=True)
class Replace:
    """The table, or one partition of it, becomes what the load delivers.

    Attributes:
        partition: The partition replaced, by ``_phlo_partition_date``; ``None``: the table.
        revises: Snapshot of the table whose rows were read, changed and handed over again; where
            the head is another one, they are refused. ``None``: the rows are a load of their own,
            refused where stored ones were extracted later.
        compares_metadata: As of :class:`Merge`.
    """

    partition: Partition | None = None
    revises: int | None = None
    compares_metadata: bool = False


How = Merge | Append | Replace


@dataclass(frozen=True, slots=True)
class Published:
    """What one table became by a publish.

    Attributes:
        table: The table.
        snapshot_id: The new snapshot; ``None`` when nothing changed, so none was made.
        account: Where the rows went.
        row_count: Rows of the table now.
        added_files: Data and delete files written.
        removed_files: Data files no longer part of the table.
        strategy: How the rows were written: ``append``, ``copy-on-write``, ``merge-on-read``,
            ``replace`` or ``none``.
    """

    table: TableName
    snapshot_id: int | None
    account: LoadAccount
    row_count: int
    added_files: int = 0
    removed_files: int = 0
    strategy: str = "none"


@dataclass(frozen=True, slots=True)
class TableSummary:
    """What a table's metadata tells of it.

    Attributes:
        row_count: Its rows, deletes applied; ``None`` where another system wrote them in a way that
            cannot be read.
        column_count: Its columns.
        snapshot_count: Snapshots of its main line that are kept.
        committed_at: When its newest snapshot was committed, in UTC; ``None`` without one.
        changed_at: When its rows changed last, in UTC; maintenance changes none.
    """

    row_count: int | None
    column_count: int
    snapshot_count: int
    committed_at: datetime | None
    changed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One committed state of a table.

    Attributes:
        snapshot_id: Iceberg's id.
        parent_id: The state before; ``None`` for the first.
        committed_at: When, in UTC.
        operation: ``append``, ``overwrite``, ``delete`` or ``replace``.
        summary: All entries of the snapshot's summary; those of phlo start with ``phlo.``.
    """

    snapshot_id: int
    parent_id: int | None
    committed_at: datetime
    operation: str
    summary: dict[str, str]


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """What a table's own metadata proves about a column; ``None`` where it proves nothing.

    Attributes:
        null_count: Exact number of nulls.
        nan_count: Exact number of NaN values.
        lower: Exact smallest value, nulls and NaN apart.
        upper: Exact largest value.
    """

    null_count: int | None = None
    nan_count: int | None = None
    lower: Any = None
    upper: Any = None


@dataclass(frozen=True, slots=True)
class TableStatistics:
    """What a table's own metadata proves, without reading rows.

    Attributes:
        row_count: Exact number of rows; ``None`` when delete files make it inexact.
        columns: By column name; a column that is not there has no statistics.
    """

    row_count: int | None
    columns: dict[str, ColumnStatistics] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TableAsset:
    """Which asset makes which table.

    Attributes:
        table: The table.
        asset_key: Path of the Dagster asset key.
        audits: Whether the asset judges blocking suites before it publishes, and so declares
            their Dagster checks itself.
        names: Other names people may use for it, such as the decorated function's.
        defined_at: File and line, for messages.
        key: Columns that are unique together and never null, by contract or by tests.
        meta: What the table's declaration says to other plugins, such as ``publish``.
        sensitive: Columns whose values no message, page or report shows.
        declared_schema: Gives the columns that the asset's code declares; ``None`` where the code
            does not say them.
    """

    table: TableName
    asset_key: tuple[str, ...]
    audits: bool = False
    names: tuple[str, ...] = ()
    defined_at: str = ""
    key: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)
    sensitive: tuple[str, ...] = ()
    declared_schema: Callable[[], pa.Schema] | None = field(
        default=None, hash=False, compare=False, repr=False
    )


@dataclass(frozen=True, slots=True)
class ProjectProblem:
    """What will fail when an asset is made, known without making it.

    Attributes:
        table: The table that will not be published.
        owner: What fails, for people: ``check daily_events__RangeCheck``.
        message: Why.
        hint: The edit that mends it; empty where the message says it.
    """

    table: TableName
    owner: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class PublishPlan:
    """What a publish would do to one table of a database, found without changing anything.

    Attributes:
        source: The mart in the lake.
        target: The published table, with its schema.
        action: ``skip``, ``merge``, ``replace`` or ``create``; ``refuse`` where it would fail.
        rows_before: Rows of the published table; ``None``: there is none.
        rows_after: Rows of the mart.
        published_snapshot_id: The mart's snapshot that the table holds; ``None``: not known.
        key: Columns that are unique in the mart.
        columns: Columns of the published table that come, go or change, each as a line of text.
        locks: Locks that the publish takes, and when.
        refused: Why the publish would fail.
    """

    source: TableName
    target: str
    action: str
    rows_before: int | None
    rows_after: int
    published_snapshot_id: int | None
    key: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProjectQuery:
    """A query that a project holds.

    Attributes:
        owner: What asks it, for people: ``check daily_events__CustomSQLCheck``.
        sql: Its text.
        dialect: sqlglot's name of the dialect it is written in: ``trino``, or that of the engine
            itself, as dbt models are.
    """

    owner: str
    sql: str
    dialect: str = "trino"


@dataclass(frozen=True, slots=True)
class SqlFinding:
    """A construct of a query that is not answered alike by every engine.

    Attributes:
        construct: As it is written.
        is_refused: Whether the query does not run at all; else its values may differ.
        message: What differs, or why it is refused.
        hint: What to write instead; empty where there is nothing.
    """

    construct: str
    is_refused: bool
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class ProjectTemplate:
    """A project that ``phlo init`` can write.

    Attributes:
        name: What ``--template`` takes.
        description: One line.
        folder: Absolute path of the folder whose files are copied.
        packages: Distributions that the project needs; ``phlo init`` tells which are missing.
        first_command: What ``phlo init`` proposes to type next.
    """

    name: str
    description: str
    folder: str
    packages: tuple[str, ...] = ()
    first_command: str = "phlo status"


@dataclass(frozen=True, slots=True)
class MaintenanceReport:
    """What maintenance did to a table, or would do.

    Attributes:
        table: The table.
        expired_snapshots: Ids of snapshots no longer kept.
        removed_branches: Kept audits that were older than their age.
        compacted_files: Data files that were written anew, with their deletes applied.
        written_files: Files that took their place.
        removed_files: Files deleted: what only expired snapshots held, and orphans.
        removed_bytes: Their size.
        is_dry_run: Whether nothing was changed.
    """

    table: TableName
    expired_snapshots: tuple[int, ...] = ()
    removed_branches: tuple[str, ...] = ()
    compacted_files: tuple[str, ...] = ()
    written_files: int = 0
    removed_files: tuple[str, ...] = ()
    removed_bytes: int = 0
    is_dry_run: bool = False

    @property
    def has_work(self) -> bool:
        """Whether there was anything to do."""
        return bool(
            self.expired_snapshots
            or self.removed_branches
            or self.compacted_files
            or self.removed_files
        )


@dataclass(frozen=True, slots=True)
class Damage:
    """A file of a table that cannot be read.

    Attributes:
        table: The table.
        path: Address of the file.
        problem: ``missing``, or ``cut``: it is empty or ends too early.
    """

    table: TableName
    path: str
    problem: Literal["missing", "cut"]


@dataclass(frozen=True, slots=True)
class Repair:
    """A table that the catalog could not open, and could be found again.

    Attributes:
        table: The table.
        problem: ``moved``: its folder stands elsewhere than its metadata says; ``lost``: the
            catalog does not know it; ``damaged``: a file of its newest snapshot cannot be read.
        restored_from: Address of the metadata file it is restored from.
        lost_snapshots: Ids of the snapshots that a damaged table loses by it, as far as its
            metadata can tell.
    """

    table: TableName
    problem: Literal["moved", "lost", "damaged"]
    restored_from: str
    lost_snapshots: tuple[int, ...] = ()
