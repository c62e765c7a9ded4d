"""Many partitions, one run each, in an order and a state that outlive the process."""

from __future__ import annotations

import contextlib
import json
import re
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dagster import AssetKey, TimeWindowPartitionsDefinition
from phlo.errors import (
    ConfigurationError,
    DataQualityError,
    InvalidPartitionError,
    RetriableError,
)
from phlo.folders import BACKFILLS, make_folder
from phlo.locks import locked, write_whole
from phlo.names import Partition
from phlo.words import counted

from phlo_cli.garbage import collect_between_runs
from phlo_cli.plan import build_plan, require_partition
from phlo_cli.run import materialize_assets
from phlo_cli.shown import Shown, ShownTable
from phlo_cli.workers import run_in_processes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    from dagster import PartitionsDefinition
    from phlo.config import Settings

    from phlo_cli.location import Location
    from phlo_cli.summary import RunSummary

BACKFILL_TAG = "phlo/backfill"

ALIKE_BEFORE_STOP = 3
"""First partitions that must fail alike before a backfill gives up."""


@dataclass(frozen=True, repr=False)
class Backfill(Shown):
    """A backfill: what is to be made, and what was.

    Attributes:
        backfill_id: When it was planned, as text; also a tag of its runs.
        assets: Keys of the assets, each after what it needs.
        partitions: The partitions, in the order run.
        done: Partitions whose run succeeded, with the run's id.
        failed: Partitions whose last run failed, with its message.
        stopped_by: The error for which the backfill gave up; empty where it did not.
    """

    backfill_id: str
    assets: tuple[str, ...]
    partitions: tuple[str, ...]
    done: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    stopped_by: str = ""

    @property
    def pending(self) -> tuple[str, ...]:
        """What did not finish, in order: never run, failed, or cut off."""
        return tuple(p for p in self.partitions if p not in self.done)

    def after(self, summary: RunSummary) -> Backfill:
        """Return this backfill with one more run ended."""
        partition = summary.partition or ""
        failed = {p: text for p, text in self.failed.items() if p != partition}
        if summary.is_ok:
            return replace(self, done=self.done | {partition: summary.run_id}, failed=failed)
        return replace(self, failed=failed | {partition: first_error(summary)})

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return asdict(self) | {"pending": self.pending}

    @property
    def is_ok(self) -> bool:
        """Whether every partition was made."""
        return not self.pending

    def shown(self) -> ShownTable:
        """Return its partitions."""
        return ShownTable(
            f"Backfill {self.backfill_id} of {', '.join(self.assets)}: "
            f"{len(self.done)} of {counted(len(self.partitions), 'partition')} made",
            ("partition", "status", "run"),
            [(p, self._status(p), self.done.get(p, "")[:8]) for p in self.partitions],
            [f"Stopped: {self.stopped_by}"] if self.stopped_by else [],
        )

    def _status(self, partition: str) -> str:
        if partition in self.done:
            return "made"
        error = self.failed.get(partition)
        return f"failed: {error}" if error else "pending"


def plan_backfill(
    location: Location,
    keys: Iterable[AssetKey],
    *,
    start: str | None = None,
    end: str | None = None,
    partitions: Sequence[str] = (),
) -> Backfill:
    """Decide which partitions to run.

    Args:
        location: The project.
        keys: The assets; at least one is partitioned.
        start: First day, ``YYYY-MM-DD``; its partition is included.
        end: Last day; its partition is included.
        partitions: The partitions themselves, instead of ``start`` and ``end``.

    Raises:
        InvalidPartitionError: A partition, or a day, is none of an asset's; names the range.
        ConfigurationError: No asset has partitions.
    """
    wanted = set(keys)
    ordered = [key for key in location.graph.toposorted_asset_keys if key in wanted]
    partitioned = [key for key in ordered if location.graph.get(key).is_partitioned]
    if not partitioned:
        raise ConfigurationError(
            f"{ordered[0].to_user_string()} has no partitions to backfill.",
            hint=f"phlo materialize {ordered[0].to_user_string()}",
        )
    chosen = tuple(dict.fromkeys(partitions)) or _between(location, partitioned, start, end)
    for key in partitioned:
        for partition in chosen:
            require_partition(location, key, partition)
    backfill_id = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    return Backfill(backfill_id, tuple(k.to_user_string() for k in ordered), chosen)


def _between(
    location: Location, keys: Sequence[AssetKey], start: str | None, end: str | None
) -> tuple[str, ...]:
    """Return keys of the partitions that touch the days from ``start`` to ``end``, in order."""
    first = Partition.parse(start or "").date.isoformat()
    last = Partition.parse(end or "").date.isoformat()
    if first > last:
        raise InvalidPartitionError(
            f"The backfill ends on {last}, before it starts on {first}.",
            hint=f"Write --start-date {last} --end-date {first}.",
        )
    definition = location.graph.get(keys[0]).partitions_def
    windows = _windows(location, keys[0], definition)
    if not windows or first < windows[0][1] or last > windows[-1][2]:
        raise _outside(location, keys[0], windows, first, last)
    return tuple(key for key, begins, ends in windows if begins <= last and ends >= first)


def _windows(
    location: Location, key: AssetKey, definition: PartitionsDefinition[Any] | None
) -> list[tuple[str, str, str]]:
    """Return key, first day and last day of each partition."""
    if not isinstance(definition, TimeWindowPartitionsDefinition):
        raise ConfigurationError(
            f"The partitions of {location.table_of(key) or key.to_user_string()} are no dates.",
            hint="Name them: --partitions a,b,c",
        )
    return [
        (name, window.start.date().isoformat(), _last_day(window.start, window.end))
        for name in definition.get_partition_keys()
        for window in [definition.time_window_for_partition_key(name)]
    ]


def _last_day(start: datetime, end: datetime) -> str:
    return max(start.date(), end.date() - timedelta(days=1)).isoformat()


def _outside(
    location: Location,
    key: AssetKey,
    windows: Sequence[tuple[str, str, str]],
    first: str,
    last: str,
) -> InvalidPartitionError:
    label = location.table_of(key) or key.to_user_string()
    span = f"days from {windows[0][1]} to {windows[-1][2]}" if windows else "no partition yet"
    return InvalidPartitionError(
        f"{label} does not have all partitions from {first} to {last}.",
        got=f"{first} to {last}",
        expected=span,
        hint="Choose days in that range; start_date of the asset sets where it begins.",
        asset=key.to_user_string(),
    )


def run_backfill(
    location: Location,
    backfill: Backfill,
    store: BackfillStore,
    *,
    delay_seconds: float = 0.0,
    parallel: int = 1,
    told: Callable[[Backfill, RunSummary], None] = lambda *_: None,
) -> Backfill:
    """Run what is pending, one partition after the other or several side by side.

    Every end of a run is written down as it happens, so that neither Ctrl-C nor a kill loses
    anything. A partition that fails does not stop the others, unless the first
    ``ALIKE_BEFORE_STOP`` fail alike for a reason that no other day cures, such as a typo.

    Args:
        location: The project.
        backfill: What to run.
        store: Keeps its state.
        delay_seconds: Pause between two runs.
        parallel: How many runs at once; more than one run in processes of their own.
        told: Called after each run.

    Returns:
        The backfill as it stands at the end.

    Raises:
        ConfigurationError: Another process runs this backfill.
        FatalRunError: One of several processes was killed.
    """
    tags = {BACKFILL_TAG: backfill.backfill_id}
    backfill, first = replace(backfill, stopped_by=""), FirstFailures()
    if parallel > 1:
        summaries = run_in_processes(
            backfill.assets,
            backfill.pending,
            tags,
            processes=parallel,
            delay_seconds=delay_seconds,
        )
    else:
        summaries = _run_here(location, backfill, tags, delay_seconds)
    with (
        store.running(backfill),
        contextlib.closing(summaries),
        contextlib.suppress(KeyboardInterrupt),  # between two runs; what ended is saved
    ):
        for summary in summaries:
            if not summary.interrupted or summary.is_ok:
                backfill = replace(backfill.after(summary), stopped_by=first.after(summary))
                store.save(backfill)
            told(backfill, summary)
            if summary.interrupted or backfill.stopped_by:
                break
    return backfill


class FirstFailures:
    """Judges from the first runs of a backfill whether the others will fail the same way."""

    def __init__(self) -> None:
        self._reason: str | None = None
        self._count, self._is_over = 0, False

    def after(self, summary: RunSummary) -> str:
        """Return the error that all the first runs met; empty while the backfill may go on."""
        reason = hopeless_reason(summary)
        if reason is None or self._count and reason != self._reason:
            self._is_over = True
        self._reason, self._count = reason, self._count + 1
        if self._is_over or self._count < ALIKE_BEFORE_STOP:
            return ""
        return first_error(summary)


def hopeless_reason(summary: RunSummary) -> str | None:
    """Return why a run failed, without what differs from day to day.

    ``None`` where it did not fail, or where another day may do better: rows that break a contract,
    a failed check, an outage.
    """
    error = next(iter(summary.errors), None)
    if error is None or error.kind in _class_names(DataQualityError, RetriableError):
        return None
    return f"{error.kind}: {re.sub(r'[0-9]+', '0', error.message)}"


def _class_names(*roots: type) -> set[str]:
    """Return the names of classes and of everything derived from them."""
    return {n for root in roots for n in (root.__name__, *_class_names(*root.__subclasses__()))}


def _run_here(
    location: Location, backfill: Backfill, tags: dict[str, str], delay_seconds: float
) -> Generator[RunSummary]:
    keys = [AssetKey.from_user_string(key) for key in backfill.assets]
    for number, partition in enumerate(backfill.pending):
        if number:
            time.sleep(delay_seconds)
        plan = build_plan(location, keys, partition=partition)
        yield materialize_assets(location, plan, tags=tags)
        collect_between_runs()


def first_error(summary: RunSummary) -> str:
    """Return why a run was not well, in one line."""
    if summary.errors:
        return summary.errors[0].message.splitlines()[0]
    bad = next((check for check in summary.checks if check.is_bad), None)
    return f"check {bad.name} {bad.status.value}: {bad.message}" if bad else summary.status


class BackfillStore:
    """Keeps the state of backfills in ``.phlo/backfills``, one file each.

    Args:
        settings: Of the project.
    """

    def __init__(self, settings: Settings) -> None:
        self._folder: Path = BACKFILLS.path(settings.state_dir)

    def save(self, backfill: Backfill) -> None:
        """Write its state, whole or not at all."""
        make_folder(self._folder)
        state = asdict(backfill)
        write_whole(self._folder / f"{backfill.backfill_id}.json", json.dumps(state, indent=1))

    def last(self) -> Backfill:
        """Load the backfill that was planned last.

        Raises:
            ConfigurationError: There is none.
        """
        files = sorted(self._folder.glob("*.json"))
        if not files:
            raise ConfigurationError(
                "There is no backfill to resume.",
                hint="phlo backfill NAME --start-date DATE --end-date DATE",
            )
        state = json.loads(files[-1].read_text())
        return Backfill(**state | {name: tuple(state[name]) for name in ("assets", "partitions")})

    @contextlib.contextmanager
    def running(self, backfill: Backfill) -> Iterator[None]:
        """Hold the backfill, so that no second process runs it.

        Raises:
            ConfigurationError: Another process runs it.
        """
        try:
            with locked(self._folder / f"{backfill.backfill_id}.lock", timeout_seconds=0):
                self.save(backfill)
                yield
        except BlockingIOError as exc:
            raise ConfigurationError(
                f"Backfill {backfill.backfill_id} is being run by another process.",
                hint="Wait for it, or stop it first.",
            ) from exc
