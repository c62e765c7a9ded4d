"""What a run did: one value, printed by commands and returned to code."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from phlo.checks import CheckStatus
from phlo.values import LoadAccount
from phlo.words import counted

from phlo_cli.shown import Shown, ShownTable

if TYPE_CHECKING:
    from phlo.events import PublishEvent

AssetStatus = Literal["materialized", "no_data", "failed", "skipped", "canceled"]
RunStatus = Literal["success", "failure", "canceled"]

ACCOUNT_COUNTS = tuple(LoadAccount().as_dict())
"""Metadata of a materialization that counts rows, in the order shown."""


@dataclass(frozen=True)
class AssetOutcome:
    """How one asset of a run ended.

    Attributes:
        key: The asset's key, as text.
        table: The table it makes, if it makes one.
        partition: The partition made; ``None`` for unpartitioned assets.
        status: ``no_data`` is an asset whose source had none, or that needs one such;
            ``skipped`` one that did not run because what it needs failed;
            ``canceled`` one that was not made because somebody stopped the run.
        seconds: Wall time; zero for what did not run.
        rows: The load's account, in rows; empty where the asset gave none.
        row_count: Rows of the table now, where known.
        snapshot_id: The table's new snapshot; ``None`` where none was made, or none is known.
        strategy: How the rows were written, where known.
    """

    key: str
    table: str | None
    partition: str | None
    status: AssetStatus
    seconds: float = 0.0
    rows: dict[str, int] = field(default_factory=dict)
    row_count: int | None = None
    snapshot_id: str | None = None
    strategy: str | None = None

    @property
    def label(self) -> str:
        """What to call it in front of people."""
        return self.table or self.key

    @property
    def account(self) -> str:
        """Where its rows went, in words; empty where the asset gave no account.

        >>> AssetOutcome("dlt_e", None, None, "materialized", rows={"inserted": 2}).account
        '2 inserted'
        >>> rows = {"inserted": 8, "removed": 7}
        >>> AssetOutcome("m", None, None, "materialized", rows=rows, row_count=8).account
        'rebuilt with 8 rows (7 before)'
        """
        if self._is_rebuilt:
            rows = counted(self.row_count or 0, "row")
            return f"rebuilt with {rows} ({self.rows['removed']:,} before)"
        counts = [f"{n:,} {name}" for name, n in self.rows.items() if n and name != "extracted"]
        if self.rows:
            return ", ".join(counts) or "no rows"
        return counted(self.row_count, "row") if self.row_count is not None else ""

    @property
    def _is_rebuilt(self) -> bool:
        """Whether all rows there were gave way to those that the run made, as of a dbt table."""
        counts = {name: n for name, n in self.rows.items() if n and name != "extracted"}
        return set(counts) == {"inserted", "removed"} and counts["inserted"] == self.row_count


@dataclass(frozen=True)
class CheckOutcome:
    """How one check of a run ended.

    Attributes:
        asset: The asset's key, as text.
        label: The table judged, else the asset's key.
        name: The check's name.
        status: Passed, failed, skipped or could not run.
        severity: ``error`` or ``warn``.
        message: One sentence; empty where the check gave none.
        row_count: Rows it looked at, where known.
    """

    asset: str
    label: str
    name: str
    status: CheckStatus
    severity: str
    message: str = ""
    row_count: int | None = None

    @property
    def word(self) -> str:
        """How it ended, in words: a failure of severity ``warn`` is a warning."""
        if self.status is CheckStatus.FAILED and self.severity == "warn":
            return "warned"
        return self.status.value.replace("_", " ")

    @property
    def is_bad(self) -> bool:
        """Whether it fails the command: of severity error, and failed or could not run."""
        bad = (CheckStatus.FAILED, CheckStatus.COULD_NOT_RUN)
        return self.severity == "error" and self.status in bad


@dataclass(frozen=True)
class StepError:
    """Why a step failed.

    Attributes:
        step: Dagster's step key.
        labels: The tables or assets that the step makes.
        kind: Class of the error.
        message: What is wrong, as its author wrote it.
        where: File and line in the project; ``None`` where the message says all.
        traceback: The whole of it, for ``--verbose``.
    """

    step: str
    labels: tuple[str, ...]
    kind: str
    message: str
    where: str | None
    traceback: str


@dataclass(frozen=True, repr=False)
class RunSummary(Shown):
    """One run, ended.

    Attributes:
        run_id: Dagster's id of the run.
        status: How it ended. A run whose checks failed without blocking is a success here;
            ``is_ok`` is not.
        partition: The run's partition.
        seconds: Wall time.
        assets: In the order planned.
        checks: In the order judged.
        errors: One per failed step.
        published: What was published to databases during the run.
        interrupted: Whether somebody stopped it: Ctrl-C, or SIGTERM.
    """

    run_id: str
    status: RunStatus
    partition: str | None
    seconds: float
    assets: tuple[AssetOutcome, ...]
    checks: tuple[CheckOutcome, ...]
    errors: tuple[StepError, ...]
    published: tuple[PublishEvent, ...]
    interrupted: bool = False

    @property
    def is_ok(self) -> bool:
        """Whether the run succeeded and no check of severity error failed."""
        return self.status == "success" and not any(check.is_bad for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return asdict(self) | {"is_ok": self.is_ok}

    def shown(self) -> ShownTable:
        """Return its assets, and below them what failed."""
        partition = f", partition {self.partition}" if self.partition else ""
        bad = [f"check {c.name} of {c.label} {c.word}: {c.message}" for c in self.bad_checks]
        failed = [f"{', '.join(error.labels)} failed: {error.message}" for error in self.errors]
        return ShownTable(
            f"Run {self.run_id[:8]}: {self.word} in {seconds_text(self.seconds)}{partition}",
            ("asset", "status", "rows", "seconds"),
            [
                (a.label, a.status.replace("_", " "), a.account, f"{a.seconds:.1f}")
                for a in self.assets
            ],
            [*failed, *bad],
        )

    @property
    def word(self) -> str:
        """How it ended, in words: a run that succeeded with a bad check is none that is ok."""
        return "checks failed" if self.status == "success" and not self.is_ok else self.status

    @property
    def bad_checks(self) -> list[CheckOutcome]:
        """The checks that fail the command."""
        return [check for check in self.checks if check.is_bad]


def seconds_text(seconds: float) -> str:
    """Format a duration for people.

    >>> seconds_text(0.24), seconds_text(75), seconds_text(3725)
    ('0.2 s', '1 min 15 s', '1 h 02 min')
    """
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
