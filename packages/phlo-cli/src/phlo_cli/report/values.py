"""What a report shows: plain values, gathered by one module and drawn by another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from phlo_cli.differences import ChangedTable
    from phlo_cli.lineage import Lineage
    from phlo_cli.status import AssetState


@dataclass(frozen=True)
class PartitionRows:
    """The rows of one partition of a table.

    Attributes:
        day: The partition.
        rows: Rows that the table holds of it.
        quarantined: Its rows in quarantine.
        is_made: Whether a run ever made it; one that was never made and has no rows is a gap.
    """

    day: date
    rows: int
    quarantined: int = 0
    is_made: bool = True

    @property
    def is_gap(self) -> bool:
        """Whether nothing is known of it."""
        return not (self.rows or self.quarantined or self.is_made)


@dataclass(frozen=True)
class CheckRun:
    """One result of a check.

    Attributes:
        at: When, in UTC.
        run_id: The run that judged.
        word: How it ended, as ``phlo status`` says it.
        message: One sentence, possibly empty.
        partition: The partition of that run.
    """

    at: datetime
    run_id: str
    word: str
    message: str
    partition: str | None = None


@dataclass(frozen=True)
class Reason:
    """A rule that rows in quarantine break.

    Attributes:
        rule: The rule.
        rows: Rows that break it.
        keys: Keys of some of them, as JSON.
    """

    rule: str
    rows: int
    keys: tuple[str, ...]


@dataclass(frozen=True)
class ColumnRow:
    """A column of a table.

    Attributes:
        name: Its name.
        type: Its type.
        description: What it holds, possibly empty.
        made_of: The columns it is made of, as text; ``None`` where no run recorded it.
        is_sensitive: Whether its values are masked.
    """

    name: str
    type: str
    description: str
    made_of: tuple[str, ...] | None
    is_sensitive: bool


@dataclass(frozen=True)
class TableRow:
    """An asset that can be made, and the table it makes.

    Attributes:
        state: As ``phlo status`` knows it.
        size_bytes: Bytes of the table's files; ``None`` where its newest snapshot does not say.
        snapshots: Number of snapshots kept.
        account: Where the rows of the last load went, by name.
        partitions: Rows by partition, oldest first; empty for tables without.
        totals: Rows of the whole table after each snapshot, oldest first.
        columns: In order.
        checks: Results of each check by its name, newest first.
        reasons: Why rows are in quarantine, most frequent first.
        quarantined: Rows in quarantine.
        problem: Why the table could not be read; empty where it could.
    """

    state: AssetState
    size_bytes: int | None = None
    snapshots: int = 0
    account: Mapping[str, int] | None = None
    partitions: Sequence[PartitionRows] = ()
    totals: Sequence[tuple[datetime, int]] = ()
    columns: Sequence[ColumnRow] = ()
    checks: Mapping[str, Sequence[CheckRun]] | None = None
    reasons: Sequence[Reason] = ()
    quarantined: int = 0
    problem: str = ""

    @property
    def label(self) -> str:
        """The table's name, or the asset's key."""
        return self.state.table or self.state.key


@dataclass(frozen=True)
class RunRow:
    """One run.

    Attributes:
        run_id: Dagster's id.
        job: Name of the job; empty for a run of chosen assets.
        status: How it ended, or that it goes on.
        partition: Its partition.
        started_at: In UTC; ``None`` where it has not started.
        seconds: Wall time; ``None`` while it goes on.
        assets: Number of assets asked for.
        error: Why it failed; empty otherwise.
    """

    run_id: str
    job: str
    status: str
    partition: str | None
    started_at: datetime | None
    seconds: float | None
    assets: int
    error: str = ""


@dataclass(frozen=True)
class Chart:
    """A picture of a mart's rows.

    Attributes:
        shape: ``line`` over time or numbers, ``bars`` by a column of texts.
        by: The column on the horizontal axis.
        of: The column drawn; ``None`` for counts.
        points: Label and value, in order.
        unit: ``hour`` or ``day`` where moments share a point; empty where each has its own.
        has_more: Whether points were left out.
    """

    shape: Literal["line", "bars"]
    by: str
    of: str | None
    points: Sequence[tuple[str, float]]
    has_more: bool = False
    unit: str = ""


@dataclass(frozen=True)
class Mart:
    """A table published for readers of reports.

    Attributes:
        source: The table published.
        target: What it is called where it was published.
        rows: Rows published.
        at: When, in UTC.
        charts: Pictures of its rows; none where its columns offer none.
    """

    source: str
    target: str
    rows: int
    at: datetime
    charts: Sequence[Chart] = ()


@dataclass(frozen=True)
class Comparison:
    """What changed between two states of the lake.

    Attributes:
        old: What the user called the state before: a branch, run, snapshot or time.
        new: The same of the state after.
        tables: The tables that differ.
        below: For each, the tables and published marts that are made of it.
    """

    old: str
    new: str
    tables: Sequence[ChangedTable]
    below: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Report:
    """Everything on the page.

    Attributes:
        project: Name of the project's folder.
        branch: The branch read.
        made_at: When it was gathered, in UTC.
        warning: Why it is the last known state; empty where the project is as it was read.
        tables: One per asset, sorted by group and name.
        runs: Newest first.
        marts: Sorted by name.
        lineage: Of all assets.
        sensitive: Columns to mask by table; ``None``: all of it.
        comparison: What changed between two states, if asked for.
    """

    project: str
    branch: str
    made_at: datetime
    warning: str
    tables: Sequence[TableRow]
    runs: Sequence[RunRow]
    marts: Sequence[Mart]
    lineage: Lineage
    sensitive: Mapping[str, Any]
    comparison: Comparison | None = None
