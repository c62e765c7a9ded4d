"""Define the values that travel through the steps of a load."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from phlo.audit import audit_branch
from phlo.values import LoadAccount, Published

from phlo_dlt.clock import EXTRACTED_AT_ENTRY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.dataset as ds
    from phlo.checks import CheckResult
    from phlo.lake import Lake
    from phlo.names import Partition
    from phlo.protocols import CheckSuite

    from phlo_dlt.deadline import Deadline
    from phlo_dlt.settings import DltSettings
    from phlo_dlt.spec import IngestionSpec


@dataclass(frozen=True)
class QuarantinedRows:
    """Invalid rows of one attempt.

    Attributes:
        rows: In the form of :data:`phlo_dlt.kept.quarantine.SCHEMA`; ``None``: there are none.
        keys: Keys of all rows of a load that delivers only what is new: rows of other keys stay
            in quarantine. ``None``: the load delivers all rows of the partition.
    """

    rows: ds.Dataset | None
    keys: ds.Dataset | None = None


@dataclass(frozen=True)
class RemainingRows:
    """Quarantined rows of earlier runs that stay.

    Attributes:
        rows: In the form of :data:`phlo_dlt.kept.quarantine.SCHEMA`.
        snapshot_id: The quarantine's snapshot that they were read from.
    """

    rows: pa.Table
    snapshot_id: int


@dataclass(frozen=True)
class KeptRows:
    """Rows of an earlier run that are loaded without asking their source.

    Attributes:
        run_id: That run.
        rows: Yields them as the source delivered them: Arrow tables, or lists of dicts where a
            row holds values that could not be cast.
        began_at: When they were extracted; they compete with stored rows by it.
        dropped: Values that were dropped then, by source column.
        seed: dlt's state before their extraction.
        state: dlt's state after it; ``None`` where the load moves no cursor.
        remaining: Rows that stay in the quarantine they come from; ``None`` for a replay.
    """

    run_id: str
    rows: Callable[[], Iterator[Any]]
    began_at: datetime
    dropped: Mapping[str, int] = field(default_factory=dict)
    seed: str | None = None
    state: str | None = None
    remaining: RemainingRows | None = None


@dataclass(frozen=True)
class Attempt:
    """One attempt to load one partition of an ingestion.

    Attributes:
        spec: The ingestion.
        lake: Store and engine.
        suites: Blocking suites of the table.
        settings: Settings of loads.
        folder: The attempt's staging folder.
        partition: The partition loaded; ``None`` for unpartitioned assets.
        run_id: Dagster's run id.
        number: 0 for the first attempt.
        deadline: When it is given up.
        context: Dagster's context, handed to custom checks.
        began_at: When extraction began, by the clock that all machines agree on (see
            :mod:`phlo_dlt.clock`).
        latest: The latest extraction that the catalog knew then.
        kept: Rows of an earlier run, loaded in place of the function's; ``None``: it is called.
    """

    spec: IngestionSpec
    lake: Lake
    suites: Sequence[CheckSuite]
    settings: DltSettings
    folder: Path
    partition: Partition | None
    run_id: str
    number: int
    deadline: Deadline
    context: Any = None
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    latest: datetime | None = None
    kept: KeptRows | None = None

    @property
    def extraction_entry(self) -> dict[str, str]:
        """Build the summary entry that tells the latest extraction known, this one included."""
        return {EXTRACTED_AT_ENTRY: max(self.began_at, self.latest or self.began_at).isoformat()}

    @property
    def audit_branch(self) -> str:
        """Return the branch that keeps a stage whose audit failed."""
        return audit_branch(
            self.spec.asset_name, self.partition, f"{self.run_id[:8]}-{self.number}"
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """Rows of a load that break rules of its contract.

    Attributes:
        row_count: Rows that break a rule.
        by_rule: Rows by broken rule, most first.
        warned: The same by rules that only warn; these rows are valid.
        sample: A few broken rows, as :func:`phlo_dlt.rows.samples.sample_rows` tells them.
        excluded: Rows that are not loaded.
    """

    row_count: int
    by_rule: dict[str, int]
    warned: dict[str, int]
    sample: tuple[dict[str, Any], ...]
    excluded: int


@dataclass
class LoadReport:
    """Report of a load, filled while it runs, so that a failed load is reported as well.

    Attributes:
        rows: Where the rows went.
        seconds: Wall time by step.
        verdict: What the contract said; ``None`` before.
        checks: Results of the audit.
        published: What the table became; ``None`` when nothing was published.
        dropped: Values dropped by source column.
        fields: The source field that each column was read from.
        warnings: What may mean that rows are missing, or come late; sentences for the log.
        notes: What is as it should be, and yet worth a line of the log.
        kept_branch: Branch of a stage that failed its audit.
        is_kept: Whether what a failed attempt extracted can be loaded again.
        from_run: The earlier run whose rows were loaded; ``None``: the source was asked.
        byte_count: Bytes of the files that were extracted.
    """

    rows: LoadAccount = field(default_factory=LoadAccount)
    seconds: dict[str, float] = field(default_factory=dict)
    verdict: Verdict | None = None
    checks: list[CheckResult] = field(default_factory=list)
    published: Published | None = None
    dropped: dict[str, int] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    kept_branch: str | None = None
    is_kept: bool = False
    from_run: str | None = None
    byte_count: int = 0

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Add the wall time of a block to a step."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - began


@dataclass(frozen=True)
class Prepared:
    """Valid rows, ready to be staged.

    Attributes:
        rows: Valid, deduplicated rows with their metadata columns; ``None``: broken rows forbid
            the load.
        quarantine: Broken rows.
        state: dlt's state to publish with them.
        seed: dlt's state that the extraction went on from.
    """

    rows: ds.Dataset | None
    quarantine: QuarantinedRows
    state: str | None
    seed: str | None = None
