"""A spec as a Dagster asset: partitions, policies, checks, and the step that loads."""

from __future__ import annotations

import inspect
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, get_type_hints

from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetObservation,
    AssetsDefinition,
    AssetSpec,
    DailyPartitionsDefinition,
    Failure,
    FreshnessPolicy,
    MaterializeResult,
    MetadataValue,
    MonthlyPartitionsDefinition,
    RetryPolicy,
    RetryRequested,
    TableColumn,
    TableColumnConstraints,
    TableSchema,
    TimeWindowPartitionsDefinition,
    WeeklyPartitionsDefinition,
    multi_asset,
)
from phlo.audit import judge_published, notify_checks
from phlo.config import get_settings
from phlo.errors import InvalidArgumentError, PhloError
from phlo.events import LoadEvent
from phlo.lake import open_lake
from phlo.names import FROM_QUARANTINE_TAG, FROM_STAGED_TAG, MAIN, Partition
from phlo.orchestration.checks import check_specs, to_asset_check_result
from phlo.plugins import notify
from phlo.transient import is_transient

from phlo_dlt.deadline import Deadline
from phlo_dlt.kept.replay import MANIFEST, staged_run
from phlo_dlt.kept.requeue import as_requeue, quarantined_rows
from phlo_dlt.kept.staging import staging_folder
from phlo_dlt.load import Account, Attempt, describe, run_load, table_schema
from phlo_dlt.redact import redact
from phlo_dlt.settings import get_dlt_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from phlo.config import Settings
    from phlo.lake import Lake
    from phlo.project import Project
    from phlo.protocols import CheckSuite, SuiteCheck

    from phlo_dlt.kept.replay import KeptRows
    from phlo_dlt.spec import IngestionSpec

_CALENDAR = {
    "daily": DailyPartitionsDefinition,
    "weekly": WeeklyPartitionsDefinition,
    "monthly": MonthlyPartitionsDefinition,
}
_PASSED = ("context", "partition_date")


def build_asset(
    spec: IngestionSpec, project: Project, resources: Mapping[str, Any]
) -> AssetsDefinition:
    """The Dagster asset of an ingestion.

    It declares the checks of the table's suites that block, since it judges them before it
    publishes; selected alone they are run on the published table.

    Args:
        spec: The ingestion.
        project: Knows the suites.
        resources: The project's resources by name, for the function's parameters.

    Raises:
        InvalidArgumentError: The function takes a parameter that nothing provides.
    """
    suites = [suite for suite in project.suites_for(spec.table) if suite.blocking]
    given = _resource_parameters(spec, resources)
    key = AssetKey([spec.asset_name])

    @multi_asset(
        name=spec.asset_name,
        specs=[_asset_spec(spec, key)],
        check_specs=[c for suite in suites for c in check_specs(suite, key.path)],
        partitions_def=partitions_definition(spec, project.settings),
        retry_policy=RetryPolicy(max_retries=spec.max_retries, delay=spec.retry_delay_seconds),
        required_resource_keys=set(given.values()),
        can_subset=True,
    )
    def step(context) -> Any:  # noqa: ANN001 - Dagster refuses annotations that are text
        if key in context.op_execution_context.selected_asset_keys:
            yield from _materialize(context, spec, suites, given)
        else:
            yield from _check_published(context, spec, suites, lambda _: True)

    return step


def partitions_definition(
    spec: IngestionSpec, settings: Settings
) -> TimeWindowPartitionsDefinition | None:
    """Partitions from ``start_date`` to today included, in the project's time zone."""
    if spec.partitions is None or not isinstance(spec.partitions, str):
        return spec.partitions
    start = spec.start_date or settings.start_date
    return _CALENDAR[spec.partitions](
        start_date=start.isoformat(), timezone=settings.timezone, end_offset=1
    )


def _asset_spec(spec: IngestionSpec, key: AssetKey) -> AssetSpec:
    return AssetSpec(
        key,
        group_name=spec.group,
        description=spec.description,
        kinds={"dlt", "iceberg"},
        freshness_policy=_freshness(spec),
        metadata={
            "dagster/table_name": str(spec.table),
            "dagster/column_schema": _column_schema(spec),
            "phlo/unique_key": ", ".join(spec.unique_key),
            "phlo/merge_strategy": spec.merge_strategy,
            "phlo/schema": spec.contract.name,
            "phlo/defined_at": spec.defined_at,
        },
    )


def _freshness(spec: IngestionSpec) -> FreshnessPolicy | None:
    if spec.freshness_hours is None:
        return None
    warn, error = (timedelta(hours=h) for h in spec.freshness_hours)
    return FreshnessPolicy.time_window(fail_window=error, warn_window=warn)


def _column_schema(spec: IngestionSpec) -> TableSchema:
    unique = {names[0] for names in spec.contract.unique if len(names) == 1}
    return TableSchema(
        columns=[
            TableColumn(
                field.name,
                str(field.type),
                description=((field.metadata or {}).get(b"doc") or b"").decode() or None,
                constraints=TableColumnConstraints(
                    nullable=field.nullable, unique=field.name in unique
                ),
            )
            for field in table_schema(spec)
        ]
    )


def _resource_parameters(spec: IngestionSpec, resources: Mapping[str, Any]) -> dict[str, str]:
    """Which resource each further parameter of the function means."""
    hints = _hints(spec.function)
    parameters = inspect.signature(spec.function).parameters.values()
    found = {
        p.name: _resource_for(p.name, hints.get(p.name), resources)
        for p in parameters
        if p.name not in _PASSED and hints.get(p.name) is not AssetExecutionContext
    }
    for parameter in parameters:
        if found.get(parameter.name, "") is None and parameter.default is inspect.Parameter.empty:
            raise InvalidArgumentError(
                f"The ingestion function {spec.function.__name__!r} ({spec.defined_at}) takes "
                f"{parameter.name!r}, which nothing provides.",
                got=repr(parameter.name),
                expected=f"partition_date, context, or a resource: {sorted(resources)}",
                hint="Define the resource under workflows/resources/, or give a default.",
                argument=parameter.name,
            )
    return {name: key for name, key in found.items() if key is not None}


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except NameError:  # an annotation that only a type checker knows
        return {}


def _resource_for(name: str, annotation: Any, resources: Mapping[str, Any]) -> str | None:
    if name in resources:
        return name
    if not isinstance(annotation, type):
        return None
    matching = [key for key, value in resources.items() if isinstance(value, annotation)]
    return matching[0] if len(matching) == 1 else None


def _materialize(
    context: AssetExecutionContext,
    spec: IngestionSpec,
    suites: Sequence[CheckSuite],
    given: Mapping[str, str],
) -> Iterator[Any]:
    account, began = Account(), time.perf_counter()
    partition = _partition(context)
    error: Exception | None = None
    has_data = False
    try:
        has_data = _load(context, spec, suites, given, account)
    except Exception as exc:  # noqa: BLE001 - reported below, then raised
        error = exc
    seconds = time.perf_counter() - began
    _tell(spec, partition, context.run.run_id, account, error, seconds)
    _warn(context, spec, account)
    if account.is_kept:
        context.log.info(
            f"What was extracted is kept for {get_settings().staging_keep_days} days; "
            f"--from-staged {context.run.run_id[:8]} loads it again without asking the source."
        )
    yield from _check_results(context, spec, account)
    if error is not None:
        _raise(error, account)
    if not has_data:
        yield AssetObservation(AssetKey([spec.asset_name]), metadata={"status": "no_data"})
        return
    yield MaterializeResult(AssetKey([spec.asset_name]), metadata=_metadata(account, seconds))
    # FreshnessCheck and the like judge what is published, and block only what is downstream.
    yield from _check_published(context, spec, suites, lambda check: not check.audits)


def _load(
    context: AssetExecutionContext,
    spec: IngestionSpec,
    suites: Sequence[CheckSuite],
    given: Mapping[str, str],
    account: Account,
) -> bool:
    """Run this attempt; its folder is kept where it fails."""
    settings, partition, lake = get_settings(), _partition(context), open_lake()
    run, number = context.run, context.op_execution_context.retry_number
    spec = as_requeue(spec) if FROM_QUARANTINE_TAG in run.tags else spec
    with (
        _kept_rows(context, spec, lake) as kept,
        staging_folder(settings, run.run_id, spec.asset_name, number) as folder,
    ):
        attempt = Attempt(
            spec=spec,
            lake=lake,
            suites=suites,
            settings=get_dlt_settings(),
            folder=folder,
            partition=partition,
            run_id=run.run_id,
            number=number,
            deadline=Deadline(spec.max_runtime_seconds, f"The load of {spec.table}"),
            context=context,
            kept=kept,
            began_at=kept.began_at if kept else datetime.now(UTC),
        )
        call = kept.rows if kept else partial(_call, context, spec, given)
        account.from_run = kept.run_id if kept else None
        try:
            return run_load(attempt, call, account)
        except Exception:
            account.is_kept = (folder / MANIFEST).exists()
            raise


@contextmanager
def _kept_rows(
    context: AssetExecutionContext, spec: IngestionSpec, lake: Lake
) -> Iterator[KeptRows | None]:
    """Rows of an earlier run that this run is to load; ``None``: it asks the source."""
    tags, partition = context.run.tags, _partition(context)
    if FROM_STAGED_TAG in tags:
        with staged_run(get_settings(), tags[FROM_STAGED_TAG], spec, partition) as kept:
            yield kept
    elif FROM_QUARANTINE_TAG in tags:
        run_id = tags[FROM_QUARANTINE_TAG]
        yield quarantined_rows(lake, spec, partition, context.instance, run_id)
    else:
        yield None


def _warn(context: AssetExecutionContext, spec: IngestionSpec, account: Account) -> None:
    """Say in the run's log what a user should know of a load, failed or not."""
    if account.ignored_hints:
        context.log.info(
            f"Hints of the dlt resource are ignored ({', '.join(account.ignored_hints)}): "
            "merge_strategy and unique_key of @phlo_ingestion decide."
        )
    if account.verdict is not None and account.verdict.row_count:
        context.log.warning(describe(account.verdict, spec))
    if account.verdict is not None and account.verdict.warned:
        told = "; ".join(f"{rule} ({n:,} rows)" for rule, n in account.verdict.warned.items())
        context.log.warning(f"Rows break rules of {spec.contract.name} that only warn: {told}.")
    if account.dropped and not spec.contract.strict:
        dropped = ", ".join(f"{name} ({n} values)" for name, n in sorted(account.dropped.items()))
        context.log.warning(
            f"Columns of the source that {spec.contract.name} does not have are dropped: {dropped}."
        )
    if account.rows.out_of_order and spec.merge_config.order_by is None:
        context.log.warning(
            f"{account.rows.out_of_order} rows that a later partition had written were "
            "overwritten. Name the column by which rows compete: "
            'merge_config={"order_by": ...}.'
        )


def _call(context: AssetExecutionContext, spec: IngestionSpec, given: Mapping[str, str]) -> Any:
    """Call the ingestion function with what it takes, by name or annotation."""
    hints = _hints(spec.function)
    arguments: dict[str, Any] = {
        name: getattr(context.resources, key) for name, key in given.items()
    }
    for name in inspect.signature(spec.function).parameters:
        if name == "partition_date":
            arguments[name] = context.partition_key if context.has_partition_key else None
        elif name == "context" or hints.get(name) is AssetExecutionContext:
            arguments[name] = context
    return spec.function(**arguments)


def _partition(context: AssetExecutionContext) -> Partition | None:
    if not context.has_partition_key:
        return None
    window = context.partition_time_window
    return Partition(Partition.parse(context.partition_key).date, (window.end - window.start).days)


def _check_results(
    context: AssetExecutionContext, spec: IngestionSpec, account: Account
) -> Iterator[Any]:
    selected = {key.name for key in context.selected_asset_check_keys}
    for result in account.checks:
        if result.check in selected:
            yield to_asset_check_result(result, [spec.asset_name])


def _tell(
    spec: IngestionSpec,
    partition: Partition | None,
    run_id: str,
    account: Account,
    error: Exception | None,
    seconds: float,
) -> None:
    rows = account.rows.as_rejected() if error is not None else account.rows
    notify(
        "phlo_on_load",
        LoadEvent(
            table=spec.table,
            asset_key=spec.asset_name,
            partition=partition,
            run_id=run_id,
            account=rows,
            published=account.published,
            error=str(error) if error is not None else None,
            seconds=seconds,
        ),
    )
    notify_checks(account.checks, run_id, staged=True)


def _raise(error: Exception, account: Account) -> NoReturn:
    """Raise a transient error as it is, so that Dagster retries; any other without retries."""
    if isinstance(error, Failure | RetryRequested) or is_transient(error):
        raise error
    rejected = account.rows.as_rejected().as_dict()
    raise Failure(
        description=_describe_error(error),
        metadata={"error": type(error).__name__, **rejected},
        allow_retries=False,
    ) from error


def _describe_error(error: Exception) -> str:
    if isinstance(error, PhloError):
        return str(error)
    return redact(f"{type(error).__name__}: {error}")


def _metadata(account: Account, seconds: float) -> dict[str, Any]:
    published = account.published
    assert published is not None
    facts: dict[str, Any] = {
        "dagster/row_count": published.row_count,
        **account.rows.as_dict(),
        "strategy": published.strategy,
        "seconds": round(seconds, 3),
        "rows_per_second": round(account.rows.extracted / max(seconds, 0.001), 1),
        **{f"seconds_{step}": round(s, 3) for step, s in account.seconds.items()},
        "bytes_extracted": account.byte_count,
        "branch": MAIN,
    }
    if published.snapshot_id is not None:
        # Text: a snapshot id is longer than the numbers that JavaScript shows exactly.
        facts["snapshot_id"] = str(published.snapshot_id)
    if account.from_run is not None:
        facts["from_run"] = account.from_run
    if account.dropped:
        facts["dropped_values"] = MetadataValue.json(account.dropped)
    if account.verdict is not None and account.verdict.row_count:
        facts["broken_rules"] = MetadataValue.json(account.verdict.by_rule)
    if account.verdict is not None and account.verdict.warned:
        facts["warned_rules"] = MetadataValue.json(account.verdict.warned)
    return facts


def _check_published(
    context: AssetExecutionContext,
    spec: IngestionSpec,
    suites: Sequence[CheckSuite],
    is_wanted: Callable[[SuiteCheck], bool],
) -> Iterator[Any]:
    """Judge the published table by the selected checks that are wanted."""
    selected = {key.name for key in context.selected_asset_check_keys}
    results = judge_published(
        suites,
        open_lake(),
        lambda check: check.name in selected and is_wanted(check),
        run_id=context.run.run_id,
        partition=_partition(context),
        context=context,
    )
    for result in results:
        yield to_asset_check_result(result, [spec.asset_name])
