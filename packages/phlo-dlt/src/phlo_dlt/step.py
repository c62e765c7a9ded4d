"""The Dagster step that runs one load: partition, attempt, report, results."""

from __future__ import annotations

import inspect
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, get_type_hints

from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetObservation,
    Failure,
    MaterializeResult,
    MetadataValue,
    RetryRequested,
)
from phlo.audit import judge_published, notify_checks
from phlo.config import get_settings
from phlo.errors import PhloError
from phlo.events import LoadEvent
from phlo.lake import open_lake
from phlo.machine_errors import explain
from phlo.names import FROM_QUARANTINE_TAG, FROM_STAGED_TAG, MAIN
from phlo.orchestration.checks import to_asset_check_result
from phlo.orchestration.partitions import partition_of_asset, require_partition
from phlo.plugins import notify
from phlo.signal_watch import heed_signals
from phlo.transient import is_transient
from phlo.words import counted

from phlo_dlt.attempt import Attempt, LoadReport
from phlo_dlt.clock import clock_warning, latest_extraction, next_extraction
from phlo_dlt.deadline import Deadline
from phlo_dlt.kept.replay import MANIFEST, staged_run
from phlo_dlt.kept.requeue import as_requeue, quarantined_rows
from phlo_dlt.kept.staging import staging_folder
from phlo_dlt.load import describe, run_load
from phlo_dlt.settings import get_dlt_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from phlo.lake import Lake
    from phlo.names import Partition
    from phlo.protocols import CheckSuite, SuiteCheck

    from phlo_dlt.attempt import KeptRows
    from phlo_dlt.spec import IngestionSpec


@dataclass
class LoadStep:
    """One execution of the step of an ingestion.

    Attributes:
        context: Dagster's.
        spec: The ingestion.
        suites: Blocking suites of its table.
        resource_keys: The resource of each parameter of the function that takes one.
        report: What the load did so far.
    """

    context: AssetExecutionContext
    spec: IngestionSpec
    suites: Sequence[CheckSuite]
    resource_keys: Mapping[str, str]
    report: LoadReport = field(default_factory=LoadReport)

    @property
    def key(self) -> AssetKey:
        """Key of the ingestion's asset."""
        return AssetKey([self.spec.asset_name])

    @cached_property
    def partition(self) -> Partition | None:
        """The partition of the run; ``None`` where the asset has none, or only checks run."""
        return partition_of_asset(self.context, self.key)

    def run(self) -> Iterator[Any]:
        """Load the table if it is selected, else judge the published one."""
        if self.key in self.context.op_execution_context.selected_asset_keys:
            yield from self._load_and_report()
        else:
            yield from self._judge_published(lambda _: True)

    def _load_and_report(self) -> Iterator[Any]:
        began = time.perf_counter()
        error: Exception | None = None
        has_data = False
        try:
            require_partition(self.context, self.key)
            has_data = self._load()
        except Exception as exc:  # noqa: BLE001 - reported below, then raised
            error = explain(exc)
        except BaseException:
            heed_signals()
            yield from self._report_cancel(time.perf_counter() - began)
            raise
        seconds = time.perf_counter() - began
        self._notify(error, seconds)
        self._log_warnings()
        yield from self._audit_results()
        if error is not None:
            self._raise(error)
        if not has_data:
            yield AssetObservation(self.key, metadata=_no_data(self.report))
            return
        yield MaterializeResult(self.key, metadata=_metadata(self.report, seconds))
        # FreshnessCheck and the like judge what is published, and block only what is downstream.
        yield from self._judge_published(lambda check: not check.audits)

    def _report_cancel(self, seconds: float) -> Iterator[Any]:
        """Say whether a canceled load was published; one that was is a materialization."""
        published, table = self.report.published, self.spec.table
        if published is None:
            self.context.log.warning(f"Canceled: nothing of this load of {table} was published.")
            return
        self.context.log.warning(
            f"Canceled while {table} was being published: it holds the rows of this load "
            f"(snapshot {published.snapshot_id})."
        )
        yield MaterializeResult(self.key, metadata=_metadata(self.report, seconds))

    def _load(self) -> bool:
        """Run this attempt; its folder is kept where it fails.

        Returns:
            ``False`` when there is nothing to load: the function returned ``None``, or its source
            found nothing.
        """
        settings, run, lake = get_settings(), self.context.run, open_lake()
        number = self.context.op_execution_context.retry_number
        spec = as_requeue(self.spec) if FROM_QUARANTINE_TAG in run.tags else self.spec
        with (
            self._kept_rows(spec, lake) as kept,
            staging_folder(settings, run.run_id, spec.asset_name, number) as folder,
        ):
            now = datetime.now(UTC)
            latest = latest_extraction(lake, (spec.table, spec.quarantine, spec.tombstones))
            self.report.warnings += filter(None, [clock_warning(spec.table, latest, now)])
            attempt = Attempt(
                spec=spec,
                lake=lake,
                suites=self.suites,
                settings=get_dlt_settings(),
                folder=folder,
                partition=self.partition,
                run_id=run.run_id,
                number=number,
                deadline=Deadline(spec.max_runtime_seconds, f"The load of {spec.table}"),
                context=self.context,
                kept=kept,
                began_at=kept.began_at if kept else next_extraction(latest, now),
                latest=latest,
            )
            self.report.from_run = kept.run_id if kept else None
            try:
                return run_load(attempt, kept.rows if kept else self._call, self.report)
            except Exception:
                self.report.is_kept = (folder / MANIFEST).exists()
                raise

    @contextmanager
    def _kept_rows(self, spec: IngestionSpec, lake: Lake) -> Iterator[KeptRows | None]:
        """Read the rows of an earlier run that this run loads; ``None``: it asks the source."""
        tags = self.context.run.tags
        if FROM_STAGED_TAG in tags:
            run_id = tags[FROM_STAGED_TAG]
            with staged_run(get_settings(), run_id, spec, self.partition) as kept:
                yield kept
        elif FROM_QUARANTINE_TAG in tags:
            run_id, instance = tags[FROM_QUARANTINE_TAG], self.context.instance
            yield quarantined_rows(lake, spec, self.partition, instance, run_id)
        else:
            yield None

    def _call(self) -> Any:
        """Call the ingestion function with what it takes, by name or annotation."""
        function = self.spec.function
        hints = type_hints(function)
        arguments: dict[str, Any] = {
            name: getattr(self.context.resources, key) for name, key in self.resource_keys.items()
        }
        for name in inspect.signature(function).parameters:
            if name == "partition_date":
                arguments[name] = self.context.partition_key if self.partition else None
            elif name == "context" or hints.get(name) is AssetExecutionContext:
                arguments[name] = self.context
        return function(**arguments)

    def _notify(self, error: Exception | None, seconds: float) -> None:
        """Tell observers how the load ended."""
        report = self.report
        rows = report.rows.as_rejected() if error is not None else report.rows
        notify(
            "phlo_on_load",
            LoadEvent(
                table=self.spec.table,
                asset_key=self.spec.asset_name,
                partition=self.partition,
                run_id=self.context.run.run_id,
                account=rows,
                published=report.published,
                error=str(error) if error is not None else None,
                seconds=seconds,
            ),
        )
        notify_checks(report.checks, self.context.run.run_id, staged=True)

    def _log_warnings(self) -> None:
        """Log what a user should know of a load, failed or not."""
        for line in _warnings(self.spec, self.report):
            self.context.log.warning(line)
        for line in self.report.notes:
            self.context.log.info(line)
        if self.report.is_kept:
            self.context.log.info(
                f"What was extracted is kept for {get_settings().staging_keep_days} days; "
                f"--from-staged {self.context.run.run_id[:8]} loads it again without asking the "
                "source."
            )

    def _audit_results(self) -> Iterator[Any]:
        selected = {key.name for key in self.context.selected_asset_check_keys}
        for result in self.report.checks:
            if result.check in selected:
                yield to_asset_check_result(result, [self.spec.asset_name])

    def _raise(self, error: Exception) -> NoReturn:
        """Raise a transient error as it is, so that Dagster retries; any other without retries."""
        if isinstance(error, Failure | RetryRequested) or is_transient(error):
            raise error
        rejected = self.report.rows.as_rejected().as_dict()
        raise Failure(
            description=_describe_error(error),
            metadata={"error": type(error).__name__, **rejected},
            allow_retries=False,
        ) from error

    def _judge_published(self, is_wanted: Callable[[SuiteCheck], bool]) -> Iterator[Any]:
        """Judge the published table by the selected checks that are wanted."""
        selected = {key.name for key in self.context.selected_asset_check_keys}
        results = judge_published(
            self.suites,
            open_lake(),
            lambda check: check.name in selected and is_wanted(check),
            run_id=self.context.run.run_id,
            partition=self.partition,
            context=self.context,
        )
        for result in results:
            yield to_asset_check_result(result, [self.spec.asset_name])


def _describe_error(error: Exception) -> str:
    return str(error) if isinstance(error, PhloError) else f"{type(error).__name__}: {error}"


def type_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Read the annotations of a function; none where only a type checker knows one of them."""
    try:
        return get_type_hints(function)
    except NameError:
        return {}


def _warnings(spec: IngestionSpec, report: LoadReport) -> Iterator[str]:
    yield from report.warnings
    verdict = report.verdict
    if verdict is not None and verdict.row_count:
        yield describe(verdict, spec)
    if verdict is not None and verdict.warned:
        rules = "; ".join(f"{rule} ({counted(n, 'row')})" for rule, n in verdict.warned.items())
        yield f"Rows break rules of {spec.contract.name} that only warn: {rules}."
    if report.dropped and not spec.contract.strict:
        dropped = ", ".join(
            f"{name} ({counted(n, 'value')})" for name, n in sorted(report.dropped.items())
        )
        yield (
            f"Columns of the source that {spec.contract.name} does not have are dropped: {dropped}."
        )
    if report.rows.out_of_order and spec.merge_config.order_by is None:
        yield (
            f"{counted(report.rows.out_of_order, 'update')} came from a partition that is earlier "
            "than the newest of the table. Where a column says which row of a key is the newest, "
            'name it: merge_config={"order_by": ...}.'
        )


def _no_data(report: LoadReport) -> dict[str, Any]:
    warnings = {"warnings": MetadataValue.json(report.warnings)} if report.warnings else {}
    return {"status": "no_data", **warnings}


def _metadata(report: LoadReport, seconds: float) -> dict[str, Any]:
    published = report.published
    assert published is not None
    metadata: dict[str, Any] = {
        "dagster/row_count": published.row_count,
        **report.rows.as_dict(),
        "strategy": published.strategy,
        "seconds": round(seconds, 3),
        "rows_per_second": round(report.rows.extracted / max(seconds, 0.001), 1),
        **{f"seconds_{step}": round(s, 3) for step, s in report.seconds.items()},
        "bytes_extracted": report.byte_count,
        "branch": MAIN,
    }
    if published.snapshot_id is not None:
        # Text: a snapshot id is longer than the numbers that JavaScript shows exactly.
        metadata["snapshot_id"] = str(published.snapshot_id)
    if report.from_run is not None:
        metadata["from_run"] = report.from_run
    if report.warnings:
        metadata["warnings"] = MetadataValue.json(report.warnings)
    if report.fields:
        metadata["source_fields"] = MetadataValue.json(dict(report.fields))
    if report.dropped:
        metadata["dropped_values"] = MetadataValue.json(report.dropped)
    if report.verdict is not None and report.verdict.row_count:
        metadata["broken_rules"] = MetadataValue.json(report.verdict.by_rule)
    if report.verdict is not None and report.verdict.warned:
        metadata["warned_rules"] = MetadataValue.json(report.verdict.warned)
    return metadata
