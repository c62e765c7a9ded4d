"""A spec as a Dagster asset: partitions, policies and checks. The step that loads is step.py."""

from __future__ import annotations

import inspect
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    DailyPartitionsDefinition,
    FreshnessPolicy,
    MonthlyPartitionsDefinition,
    RetryPolicy,
    TableColumn,
    TableColumnConstraints,
    TableSchema,
    TimeWindowPartitionsDefinition,
    WeeklyPartitionsDefinition,
    multi_asset,
)
from phlo.errors import InvalidArgumentError
from phlo.orchestration.checks import check_specs

from phlo_dlt.load import table_schema
from phlo_dlt.step import LoadStep, type_hints

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phlo.config import Settings
    from phlo.project import Project

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
    """Build the Dagster asset of an ingestion.

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
    resource_keys = _resource_parameters(spec, resources)
    key = AssetKey([spec.asset_name])

    @multi_asset(
        name=spec.asset_name,
        specs=[_asset_spec(spec, key)],
        check_specs=[c for suite in suites for c in check_specs(suite, key.path)],
        partitions_def=partitions_definition(spec, project.settings),
        retry_policy=RetryPolicy(max_retries=spec.max_retries, delay=spec.retry_delay_seconds),
        required_resource_keys=set(resource_keys.values()),
        can_subset=True,
        pool=spec.pool,
    )
    def step(context) -> Any:  # noqa: ANN001 - Dagster refuses annotations that are text
        yield from LoadStep(context, spec, suites, resource_keys).run()

    return step


def partitions_definition(
    spec: IngestionSpec, settings: Settings
) -> TimeWindowPartitionsDefinition | None:
    """Return the partitions from the one that holds ``start_date`` to that of today.

    Days are those of the project's time zone. Dagster begins with the first week or month that is
    whole, so the days before it could not be loaded.
    """
    if spec.partitions is None or not isinstance(spec.partitions, str):
        return spec.partitions
    first = _first_day(spec.partitions, spec.start_date or settings.start_date)
    return _CALENDAR[spec.partitions](
        start_date=first.isoformat(), timezone=settings.timezone, end_offset=1
    )


def _first_day(partitions: str, day: date) -> date:
    """Return the first day of the week, from Sunday, or of the month that holds a day.

    >>> _first_day("weekly", date(2025, 1, 1)), _first_day("monthly", date(2025, 1, 15))
    (datetime.date(2024, 12, 29), datetime.date(2025, 1, 1))
    """
    if partitions == "monthly":
        return day.replace(day=1)
    return day - timedelta(days=day.isoweekday() % 7) if partitions == "weekly" else day


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
    """Find the resource that each further parameter of the function means."""
    hints = type_hints(spec.function)
    parameters = inspect.signature(spec.function).parameters.values()
    keys = {
        p.name: _resource_for(p.name, hints.get(p.name), resources)
        for p in parameters
        if p.name not in _PASSED and hints.get(p.name) is not AssetExecutionContext
    }
    for parameter in parameters:
        if keys.get(parameter.name, "") is None and parameter.default is inspect.Parameter.empty:
            raise InvalidArgumentError(
                f"The ingestion function {spec.function.__name__!r} ({spec.defined_at}) takes "
                f"{parameter.name!r}, which nothing provides.",
                got=repr(parameter.name),
                expected=f"partition_date, context, or a resource: {sorted(resources)}",
                hint="Make an instance in a file under workflows/resources/: "
                f"`{parameter.name} = {_class_name(hints.get(parameter.name))}(...)`. "
                "Or give the parameter a default.",
                argument=parameter.name,
            )
    return {name: key for name, key in keys.items() if key is not None}


def _class_name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else "ItsClass"


def _resource_for(name: str, annotation: Any, resources: Mapping[str, Any]) -> str | None:
    if name in resources:
        return name
    if not isinstance(annotation, type):
        return None
    matching = [key for key, value in resources.items() if isinstance(value, annotation)]
    return matching[0] if len(matching) == 1 else None
