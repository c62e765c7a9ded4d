"""A project assembled into Dagster's ``Definitions``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetChecksDefinition,
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    ConfigurableResource,
    Definitions,
    JobDefinition,
    ResourceDefinition,
    ScheduleDefinition,
    SensorDefinition,
    SourceAsset,
    in_process_executor,
)
from dagster._core.definitions.unresolved_asset_job_definition import (
    UnresolvedAssetJobDefinition,
)
from phlo.errors import AssetNotFoundError, DuplicateAssetError
from phlo.plugins import plugin_manager
from phlo.values import TableName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phlo.project import Project


_ASSETS = (AssetsDefinition, AssetSpec, SourceAsset)


def build_definitions(project: Project) -> Definitions:
    """Merge what the plugins register with the project's own Dagster objects.

    Raises:
        DuplicateAssetError: Two assets have one key, or two resources one name.
        AssetNotFoundError: A dependency or an argument of a plain asset names nothing.
    """
    parts = list(plugin_manager().hook.phlo_register_definitions(project=project))
    resources = build_resources(project)
    parts.extend(_own_definitions(project, resources))
    _refuse_duplicate_assets(parts)
    shared = Definitions(resources=resources, executor=in_process_executor)
    return Definitions.merge(shared, *parts)


def build_resources(project: Project) -> dict[str, Any]:
    """Resources by name: those of the plugins, and objects under ``workflows/resources/`` (R99).

    Raises:
        DuplicateAssetError: Two plugins give one name. A project's own resource wins.
    """
    resources: dict[str, Any] = {}
    for given in plugin_manager().hook.phlo_register_resources(settings=project.settings):
        for name, resource in given.items():
            if name in resources:
                raise DuplicateAssetError(
                    f"Two plugins register the resource {name!r}.",
                    hint="Switch one of them off with PHLO_DISABLED_PLUGINS.",
                )
            resources[name] = resource
    return resources | _own_resources(project)


def _own_resources(project: Project) -> dict[str, Any]:
    return {
        name: value
        for module, name, value in project.objects()
        if module.startswith("workflows.resources")
        and isinstance(value, ConfigurableResource | ResourceDefinition)
    }


def _own_definitions(project: Project, resources: Mapping[str, Any]) -> list[Definitions]:
    """The Dagster objects that stand in the project's modules, whole ``Definitions`` too."""
    values = [value for _, _, value in project.objects()]
    # Dagster has no public name for what define_asset_job returns.
    jobs = (JobDefinition, UnresolvedAssetJobDefinition)
    checks = _of(values, AssetChecksDefinition)  # a kind of AssetsDefinition too
    assets = [value for value in _of(values, _ASSETS) if value not in checks]
    objects = Definitions(
        assets=_with_table_dependencies(assets, project, resources),
        asset_checks=checks,
        schedules=_of(values, ScheduleDefinition),
        sensors=_of(values, SensorDefinition),
        jobs=_of(values, jobs),
    )
    return [objects, *_of(values, Definitions)]


def _of(values: list[Any], kinds: type | tuple[type, ...]) -> list[Any]:
    return [value for value in values if isinstance(value, kinds)]


def _with_table_dependencies(
    assets: list[Any], project: Project, resources: Mapping[str, Any]
) -> list[Any]:
    """Let plain assets depend on ``<namespace>__<table>`` (R99)."""
    keys = {f"{t.namespace}__{t.name}": a.asset_key for t, a in project.tables.items()}
    by_name = {t.name: a.asset_key for t, a in project.tables.items() if t.namespace != "bronze"}
    return [_resolve_dependencies(asset, keys, by_name, resources) for asset in assets]


def _resolve_dependencies(
    asset: Any,  # noqa: ANN401 - Dagster allows several kinds here
    keys: Mapping[str, tuple[str, ...]],
    marts: Mapping[str, tuple[str, ...]],
    resources: Mapping[str, Any],
) -> Any:  # noqa: ANN401
    if not isinstance(asset, AssetsDefinition):
        return asset
    replacements: dict[AssetKey, AssetKey] = {}
    for dependency in asset.dependency_keys:
        name = dependency.path[-1]
        _refuse_resource_as_input(asset, name, resources)
        target = keys.get(name)
        if target is None and name.startswith("marts__"):
            target = marts.get(name.removeprefix("marts__"))
        if target is not None and len(dependency.path) == 1:
            replacements[dependency] = AssetKey(list(target))
    return asset.with_attributes(asset_key_replacements=replacements) if replacements else asset


def _refuse_resource_as_input(
    asset: AssetsDefinition, name: str, resources: Mapping[str, Any]
) -> None:
    if name in resources and name in asset.keys_by_input_name:
        raise AssetNotFoundError(
            f"The asset {asset.key.to_user_string()!r} takes {name!r} as if it were an asset; "
            "it is a resource.",
            got=f"a bare argument {name!r}",
            expected="an annotated one",
            hint=f"Write `{name}: dagster.ResourceParam[object]`, or the resource's own class, "
            "so that Dagster hands it over as a resource.",
            name=name,
        )


def _refuse_duplicate_assets(parts: list[Definitions]) -> None:
    counts = Counter(
        key
        for part in parts
        for asset in part.assets or []
        if isinstance(asset, AssetsDefinition) and asset.is_executable
        for key in asset.keys
    )
    twice = sorted(key.to_user_string() for key, n in counts.items() if n > 1)
    if twice:
        raise DuplicateAssetError(
            f"Two assets have the key {twice[0]!r}.",
            hint="Rename one of them; an ingestion's key is dlt_<table_name>.",
            key=twice[0],
        )


def resolve_table(name: str, project: Project) -> TableName:
    """The table that a person means: ``marts.x`` may stand elsewhere (R99).

    Args:
        name: ``namespace.table``.
        project: Knows all tables.

    Returns:
        The table named, or, for ``marts.x`` that no asset makes, the one table ``x``.
    """
    table = TableName.parse(name)
    if table in project.tables or table.namespace != "marts":
        return table
    same = [t for t in project.tables if t.name == table.name]
    return same[0] if len(same) == 1 else table
