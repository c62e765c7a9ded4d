"""The models of a project as Dagster assets (R90, R92, R94)."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetObservation,
    AssetsDefinition,
    AssetSpec,
    Failure,
    MaterializeResult,
    RetryPolicy,
    TableColumn,
    TableSchema,
    multi_asset,
)
from dagster_dbt.asset_utils import DAGSTER_DBT_UNIQUE_ID_METADATA_KEY as UNIQUE_ID
from dagster_dbt.core.dbt_cli_event import DbtCoreCliEventMessage
from phlo.lake import open_lake

from phlo_dbt.manifest import DbtProject, table_nodes
from phlo_dbt.translator import CustomDbtTranslator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa
    from phlo.config import Settings
    from phlo.lake import Lake
    from phlo.project import Project
    from phlo.values import Published

    from phlo_dbt.run import DbtOutcome

_TRANSLATOR = CustomDbtTranslator()


def build_dbt_assets(project: Project) -> AssetsDefinition | None:
    """All models of ``workflows/transforms/dbt`` as one asset definition that runs dbt once.

    Returns:
        ``None`` where there is no dbt project, or one without models.

    Raises:
        ConfigurationError: dbt cannot parse the project.
        AssetNotFoundError: A source maps to no table.
    """
    dbt = DbtProject.load(project)
    specs = _asset_specs(dbt.manifest) if dbt else []
    if dbt is None or not specs:
        return None
    # Only what a second try can cure gets that far: failures of models and tests forbid retries.
    retry = RetryPolicy(max_retries=2, delay=1)

    @multi_asset(
        name="dbt_models",
        specs=specs,
        check_specs=_check_specs(dbt.manifest, specs),
        can_subset=True,
        allow_arbitrary_check_specs=True,
        retry_policy=retry,
    )
    def dbt_models(context):  # noqa: ANN001, ANN202 - Dagster reads annotations that are strings not
        yield from _materialize(context, dbt, project.settings)

    return dbt_models


def _asset_specs(manifest: Mapping[str, Any]) -> list[AssetSpec]:
    ids = [node["unique_id"] for node in table_nodes(manifest)]
    return [_TRANSLATOR.get_asset_spec(manifest, unique_id, None) for unique_id in ids]


def _check_specs(manifest: Mapping[str, Any], specs: Sequence[AssetSpec]) -> list[AssetCheckSpec]:
    by_id = {spec.metadata[UNIQUE_ID]: spec for spec in specs}
    pairs = [
        (by_id[parent], test["unique_id"])
        for test in manifest["nodes"].values()
        if test["resource_type"] == "test"
        for parent in test["depends_on"]["nodes"]
        if parent in by_id
    ]
    found = [_TRANSLATOR.get_asset_check_spec(spec, manifest, test, None) for spec, test in pairs]
    return [spec for spec in found if spec is not None]


def _materialize(
    context: AssetExecutionContext, dbt: DbtProject, settings: Settings
) -> Iterator[Any]:
    from phlo_dbt.run import run_dbt

    lake = open_lake()
    outcome = run_dbt(
        dbt,
        lake,
        ["build", *_selection(context, dbt), "--vars", json.dumps(_variables(context, settings))],
        run_name=f"{context.run.run_id}-{context.retry_number}",
        on_event=lambda event: context.log.info(event["info"]["msg"].strip()),
    )
    yield from _models(dbt, outcome, lake)
    yield from _tests(context, dbt, outcome)
    _raise_failures(context, dbt, outcome)


def _selection(context: AssetExecutionContext, dbt: DbtProject) -> list[str]:
    """The selected models and tests by name, where not all are selected."""
    definition, nodes = context.assets_def, dbt.manifest["nodes"]
    models = [definition.get_asset_spec(key) for key in context.selected_asset_keys]
    tests = [definition.get_spec_for_check_key(key) for key in context.selected_asset_check_keys]
    everything = len(definition.node_keys_by_output_name) + len(
        definition.node_check_specs_by_output_name
    )
    if len(models) + len(tests) == everything:
        return []
    chosen = [nodes[(spec.metadata or {})[UNIQUE_ID]] for spec in [*models, *tests]]
    # Tests are chosen one by one, as Dagster's checks are, or several models' tests by none.
    return [
        *("--indirect-selection", "empty", "--select"),
        *sorted(f"fqn:{'.'.join(node['fqn'])}" for node in chosen),
    ]


def _variables(context: AssetExecutionContext, settings: Settings) -> dict[str, str]:
    """The run's partition, or range of them, else today, as dbt's variables (R92)."""
    tags = context.run.tags
    today = datetime.now(ZoneInfo(settings.timezone)).date().isoformat()
    partition = tags.get("dagster/partition", today)
    return {
        "partition_date": partition,
        "min_date": tags.get("dagster/asset_partition_range_start", partition),
        "max_date": tags.get("dagster/asset_partition_range_end", partition),
    }


def _models(dbt: DbtProject, outcome: DbtOutcome, lake: Lake) -> Iterator[MaterializeResult]:
    for unique_id, published in outcome.published.items():
        spec = _TRANSLATOR.get_asset_spec(dbt.manifest, unique_id, None)
        yield MaterializeResult(asset_key=spec.key, metadata=_metadata(published, lake))


def _metadata(published: Published, lake: Lake) -> dict[str, Any]:
    columns = [
        TableColumn(f.name, str(f.type), description=_doc(f))
        for f in lake.store.load(published.table).schema
    ]
    facts: dict[str, Any] = {
        "dagster/table_name": str(published.table),
        "dagster/row_count": published.row_count,
        "dagster/column_schema": TableSchema(columns),
        "strategy": published.strategy,
        **published.account.as_dict(),
    }
    if published.snapshot_id is not None:
        facts["snapshot_id"] = str(published.snapshot_id)
    return facts


def _doc(field: pa.Field) -> str | None:
    doc = (field.metadata or {}).get(b"doc")
    return doc.decode() if doc else None


def _tests(
    context: AssetExecutionContext, dbt: DbtProject, outcome: DbtOutcome
) -> Iterator[AssetCheckResult | AssetObservation]:
    """The results of tests, by dagster-dbt's own translation."""
    for event in outcome.events:
        if event["info"]["name"] == "LogTestResult":
            message = DbtCoreCliEventMessage(raw_event=event, event_history_metadata={})
            found = message.to_default_asset_events(dbt.manifest, _TRANSLATOR, context)
            yield from found  # pyright: ignore[reportReturnType] - a test yields only these


def _raise_failures(context: AssetExecutionContext, dbt: DbtProject, outcome: DbtOutcome) -> None:
    withheld = {dbt.manifest["nodes"][u]["name"]: why for u, why in outcome.withheld.items()}
    for name, reason in withheld.items():
        context.log.error(f"{name} was built but not published: {reason}.")
    if not (outcome.failures or withheld):
        return
    lines = [*outcome.failures, *(f"{n} was not published: {why}" for n, why in withheld.items())]
    raise Failure(
        description="dbt failed:\n" + "\n".join(lines),
        metadata={"withheld": sorted(withheld), "failures": outcome.failures},
        allow_retries=False,
    )
