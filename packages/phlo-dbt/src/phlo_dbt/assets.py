"""The models of a project as Dagster assets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dagster import AssetCheckSpec, AssetsDefinition, AssetSpec, RetryPolicy, multi_asset
from phlo.orchestration.checks import check_specs

from phlo_dbt.dagster_dbt_private import UNIQUE_ID_KEY
from phlo_dbt.manifest import (
    DbtProject,
    give_tests_names_of_their_own,
    table_nodes,
    table_of,
)
from phlo_dbt.step import TRANSLATOR, DbtStep, Models

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from phlo.project import Project
    from phlo.protocols import CheckSuite


def build_dbt_assets(project: Project) -> AssetsDefinition | None:
    """Return all models of ``workflows/transforms/dbt`` as one asset definition that runs dbt once.

    It declares dbt's tests as checks, and those of the models' blocking suites, which it judges
    before it publishes.

    Returns:
        ``None`` where there is no dbt project, or one without models.

    Raises:
        AssetNotFoundError: A source maps to no table.
    """
    dbt = DbtProject.load(project)
    if dbt is None or not table_nodes(dbt.manifest):
        return None
    give_tests_names_of_their_own(dbt.manifest, _names_of_checks(dbt.manifest, project))
    specs = _asset_specs(dbt.manifest)
    suites = _blocking_suites(dbt.manifest, project)
    keys = {spec.metadata[UNIQUE_ID_KEY]: spec.key for spec in specs}
    own = [c for uid, many in suites.items() for s in many for c in check_specs(s, keys[uid].path)]
    models = Models(dbt, project, suites, keys)
    # Only what a second try can cure gets that far: failures of models and tests forbid retries.
    retry = RetryPolicy(max_retries=2, delay=1)

    @multi_asset(
        name="dbt_models",
        specs=specs,
        check_specs=[*_test_specs(dbt.manifest, specs), *own],
        can_subset=True,
        allow_arbitrary_check_specs=True,
        retry_policy=retry,
    )
    def dbt_models(context):  # noqa: ANN001, ANN202 - Dagster does not read postponed annotations
        yield from DbtStep(context, models).run()

    return dbt_models


def _asset_specs(manifest: Mapping[str, Any]) -> list[AssetSpec]:
    ids = [node["unique_id"] for node in table_nodes(manifest)]
    return [TRANSLATOR.get_asset_spec(manifest, unique_id, None) for unique_id in ids]


def _test_specs(manifest: Mapping[str, Any], specs: Sequence[AssetSpec]) -> list[AssetCheckSpec]:
    by_id = {spec.metadata[UNIQUE_ID_KEY]: spec for spec in specs}
    pairs = [
        (by_id[parent], test["unique_id"])
        for test in manifest["nodes"].values()
        if test["resource_type"] == "test"
        for parent in test["depends_on"]["nodes"]
        if parent in by_id
    ]
    found = [TRANSLATOR.get_asset_check_spec(spec, manifest, test, None) for spec, test in pairs]
    return [spec for spec in found if spec is not None]


def _names_of_checks(manifest: Mapping[str, Any], project: Project) -> list[tuple[str, str]]:
    """Name the checks of the models' suites, each with its model's unique id."""
    return [
        (check.name, node["unique_id"])
        for node in table_nodes(manifest)
        for suite in project.suites_for(table_of(node))
        for check in suite.checks
    ]


def _blocking_suites(
    manifest: Mapping[str, Any], project: Project
) -> dict[str, tuple[CheckSuite, ...]]:
    """Return the suites that may withhold a model, by its unique id."""
    found: dict[str, tuple[CheckSuite, ...]] = {}
    for node in table_nodes(manifest):
        suites = tuple(s for s in project.suites_for(table_of(node)) if s.blocking)
        if suites:
            found[node["unique_id"]] = suites
    return found
