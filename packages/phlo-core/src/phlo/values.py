"""The values that packages hand to one another.

All are frozen and light: this module imports the standard library alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, Self

from phlo.errors import InvalidNameError, InvalidPartitionError

METADATA_PREFIXES = ("_dlt_", "_phlo_")
"""Columns whose name starts so describe a load; they are never content of a row (R38)."""

LOAD_ID_COLUMN = "_dlt_load_id"
ROW_ID_COLUMN = "_dlt_id"
INGESTED_AT_COLUMN = "_phlo_ingested_at"
PARTITION_DATE_COLUMN = "_phlo_partition_date"
RUN_ID_COLUMN = "_phlo_run_id"

STRATEGY_PROPERTY = "phlo.strategy"
"""Table property: how the last load was written, ``merge``, ``append`` or ``replace``.

A merge may move a row to the loading partition, so in such a table ``_phlo_partition_date`` does
not tell to which day a row belongs (R70).
"""

FROM_STAGED_TAG = "phlo/from-staged"
"""Tag of a run that loads what an earlier run extracted: that run's id, or how it begins."""

FROM_QUARANTINE_TAG = "phlo/from-quarantine"
"""Tag of a run that loads rows out of quarantine again: the run that put them there."""

MAIN = "main"
"""The ref that readers see unless they name another."""


def is_metadata_column(name: str) -> bool:
    """Whether a column describes the load rather than the row (R38).

    >>> is_metadata_column("_phlo_run_id"), is_metadata_column("amount")
    (True, False)
    """
    return name.startswith(METADATA_PREFIXES)


@dataclass(frozen=True, order=True, slots=True)
class TableName:
    """A table's name in the catalog: ``namespace.name``.

    Raises:
        InvalidNameError: A part is empty or holds a dot, a slash or a control character.

    Example:
        >>> str(TableName.parse("bronze.events"))
        'bronze.events'
    """

    namespace: str
    name: str

    def __post_init__(self) -> None:
        for part in (self.namespace, self.name):
            if not part or re.search(r"[./\\\x00-\x1f]", part):
                raise InvalidNameError(
                    f"{part!r} cannot be part of a table name.",
                    got=f"{self.namespace!r}, {self.name!r}",
                    expected="two parts without dots, slashes and control characters",
                    hint='Write the table as "namespace.name", such as "bronze.events".',
                )

    @classmethod
    def parse(cls, text: str, *, default_namespace: str | None = None) -> Self:
        """Read ``namespace.name``, or a bare name where ``default_namespace`` is given."""
        namespace, dot, name = text.partition(".")
        if dot:
            return cls(namespace, name)
        if default_namespace is not None:
            return cls(default_namespace, text)
        raise InvalidNameError(
            f"{text!r} is not a table identifier.",
            got=repr(text),
            expected='"namespace.name"',
            hint=f'Name the namespace too, such as "bronze.{text}".',
        )

    def __str__(self) -> str:
        return f"{self.namespace}.{self.name}"


@dataclass(frozen=True, slots=True)
class TableRef:
    """A state of a table: its name and a branch, tag or snapshot id."""

    table: TableName
    ref: str = MAIN


@dataclass(frozen=True, order=True, slots=True)
class Partition:
    """One partition of an asset, named by its first day.

    Attributes:
        date: First day of the partition, in the project's time zone.
        days: Length in days: 1 for daily, 7 for weekly; a month has its own number.

    Example:
        >>> Partition.parse("2025-01-15").key
        '2025-01-15'
    """

    date: date
    days: int = 1

    @classmethod
    def parse(cls, key: str) -> Self:
        """Read a partition key, ``YYYY-MM-DD``.

        Raises:
            InvalidPartitionError: The text is no such date.
        """
        try:
            return cls(datetime.strptime(key, "%Y-%m-%d").date())  # noqa: DTZ007 - a day has no zone
        except ValueError as exc:
            raise InvalidPartitionError(
                f"{key!r} is not a partition key.",
                got=repr(key),
                expected="a date written YYYY-MM-DD",
                hint="Write the day as in 2025-01-15.",
            ) from exc

    @property
    def key(self) -> str:
        """The partition key, ``YYYY-MM-DD``."""
        return self.date.isoformat()

    @property
    def end(self) -> date:
        """The first day after the partition."""
        return self.date + timedelta(days=self.days)

    def __str__(self) -> str:
        return self.key


class Severity(StrEnum):
    """What a failed check means: ``error`` may block, ``warn`` only reports (R78)."""

    WARN = "warn"
    ERROR = "error"


class CheckStatus(StrEnum):
    """How a check ended; only ``passed`` proves anything (R76)."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    COULD_NOT_RUN = "could_not_run"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check of a suite found.

    Attributes:
        check: The check's name, unique in its suite.
        table: The table judged.
        status: Passed, failed, skipped (no rows) or could not run (R76).
        severity: What a failure means.
        row_count: Rows the check looked at; ``None`` when it could not run.
        failed_count: Rows (or groups) that broke the rule; ``None`` where a rule has none.
        message: One sentence for people.
        columns: Columns the check is about.
        seconds: Wall time the check took (its share, where checks are fused).
        scope: Which rows were judged, such as ``partition 2025-01-15`` or ``table``.
        sample: At most 20 failing rows.
        sql: Query that finds all failing rows, in Trino's dialect; ``None`` where there is none.
        metrics: What else the check measured, such as ``null_count``.
        blocking: Whether a failure blocks: severity error in a blocking suite (R78).
        kind: The check's class by its plain name, such as ``NullCheck``.
    """

    check: str
    table: TableName
    status: CheckStatus
    severity: Severity = Severity.ERROR
    row_count: int | None = None
    failed_count: int | None = None
    message: str = ""
    columns: tuple[str, ...] = ()
    seconds: float = 0.0
    scope: str = "table"
    sample: tuple[dict[str, Any], ...] = ()
    sql: str | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    blocking: bool = False
    kind: str = ""

    @property
    def passed(self) -> bool:
        """Whether the check ran, looked at something, and found nothing wrong."""
        return self.status is CheckStatus.PASSED

    @property
    def blocks(self) -> bool:
        """Whether this result withholds the load: blocking, and failed or could not run."""
        return self.blocking and self.status in (CheckStatus.FAILED, CheckStatus.COULD_NOT_RUN)


@dataclass(frozen=True, slots=True)
class LoadAccount:
    """Where every row of a load went (R41), in rows.

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
        out_of_order: Stored rows of a later partition that this load overwrote (R37). A part of
            ``updated``.
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
        """This account with the given counts added.

        >>> LoadAccount(extracted=3).plus(inserted=2, quarantined=1).is_balanced
        True
        """
        return replace(self, **{name: getattr(self, name) + n for name, n in counts.items()})

    def as_rejected(self) -> LoadAccount:
        """The account of a run that failed: nothing went anywhere."""
        return LoadAccount(extracted=self.extracted, rejected=self.extracted)

    def as_dict(self) -> dict[str, int]:
        """All counts by name, in the order of the attributes."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


DeduplicationMethod = Literal["last", "first", "hash"]


@dataclass(frozen=True, slots=True)
class Merge:
    """Upsert by key (R36, R37). Keys of the rows handed over are unique and not null.

    Attributes:
        key: Columns of the key.
        partition: The load's partition; ``None`` for unpartitioned assets.
        method: Which row wins against the stored one: ``last`` and ``hash`` the load's, unless
            the stored row is of a later partition or extraction; ``first`` the stored one.
        order_by: Column by which the stored row competes instead; nulls are lowest.
        delete_column: Boolean column; rows true there delete their key and are not stored.
        key_scope: ``partition`` promises that a key never changes its partition, which saves
            the probe of the other partitions.
    """

    key: tuple[str, ...]
    partition: Partition | None = None
    method: DeduplicationMethod = "last"
    order_by: str | None = None
    delete_column: str | None = None
    key_scope: Literal["table", "partition"] = "table"


@dataclass(frozen=True, slots=True)
class Append:
    """Insert only, no key lookup (R36).

    Attributes:
        partition: The load's partition.
        on_rerun: ``replace`` takes away what the same partition wrote before (R42);
            ``append`` leaves it.
    """

    partition: Partition | None = None
    on_rerun: Literal["replace", "append"] = "replace"


@dataclass(frozen=True, slots=True)
class Replace:
    """The table, or one partition of it, becomes what the load delivers (R20).

    Attributes:
        partition: The partition replaced, by ``_phlo_partition_date``; ``None``: the table.
        revises: Snapshot of the table whose rows were read, changed and handed over again; where
            the head is another one, they are refused. ``None``: the rows are a load of their own,
            refused where stored ones were extracted later (R42).
    """

    partition: Partition | None = None
    revises: int | None = None


How = Merge | Append | Replace


@dataclass(frozen=True, slots=True)
class Published:
    """What one table became by a publish.

    Attributes:
        table: The table.
        snapshot_id: The new snapshot; ``None`` when nothing changed, so none was made (R39).
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
    """Which asset makes which table (R71).

    Attributes:
        table: The table.
        asset_key: Path of the Dagster asset key.
        audits: Whether the asset judges blocking suites before it publishes, and so declares
            their Dagster checks itself.
        names: Other names people may use for it, such as the decorated function's (R130).
        defined_at: File and line, for messages.
    """

    table: TableName
    asset_key: tuple[str, ...]
    audits: bool = False
    names: tuple[str, ...] = ()
    defined_at: str = ""


@dataclass(frozen=True, slots=True)
class ProjectTemplate:
    """A project that ``phlo init`` can write.

    Attributes:
        name: What ``--template`` takes.
        description: One line.
        folder: Absolute path of the folder whose files are copied.
        packages: Distributions that the project needs; ``phlo init`` tells which are missing.
    """

    name: str
    description: str
    folder: str
    packages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MaintenanceReport:
    """What maintenance did to a table, or would do (R139).

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
class Repair:
    """A table that the catalog could not open, and could be found again (R139).

    Attributes:
        table: The table.
        problem: ``moved``: its folder stands elsewhere than its metadata says; ``lost``: the
            catalog does not know it.
        found: Address of the metadata it is restored from.
    """

    table: TableName
    problem: Literal["moved", "lost"]
    found: str
