"""A project assembled into Dagster's ``Definitions``."""

from __future__ import annotations

import logging
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
)
from phlo.errors import DuplicateAssetError, InvalidArgumentError
from phlo.names import TableName
from phlo.orchestration.dagster_private import (
    AssetJob,
    cancellable_executor,
    redact_recorded_errors,
)
from phlo.plugins import plugin_manager

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phlo.project import Project


logger = logging.getLogger(__name__)

_ASSETS = (AssetsDefinition, AssetSpec, SourceAsset)
_MARTS = "marts__"


def build_definitions(project: Project) -> Definitions:
    """Merge what the plugins register with the project's own Dagster objects.

    Raises:
        DuplicateAssetError: Two assets have one key, or two resources one name.
        InvalidArgumentError: A plain asset takes a resource as if it were an asset.
    """
    redact_recorded_errors()
    parts = list(plugin_manager().hook.phlo_register_definitions(project=project))
    resources = build_resources(project)
    parts.extend(_own_definitions(project, resources))
    _refuse_duplicate_assets(parts)
    shared = Definitions(resources=resources, executor=cancellable_executor())
    return Definitions.merge(shared, *parts)


def build_resources(project: Project) -> dict[str, Any]:
    """Resources by name: those of the plugins, and objects under ``workflows/resources/``.

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
    jobs = (JobDefinition, AssetJob)
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
    """Let plain assets depend on ``<namespace>__<table>``."""
    for asset in _of(assets, AssetsDefinition):
        _refuse_resources_as_inputs(asset, resources)
    return [_resolve_dependencies(asset, project) for asset in assets]


def _resolve_dependencies(asset: Any, project: Project) -> Any:
    if not isinstance(asset, AssetsDefinition):
        return asset
    found = {key: _asset_of_table(key, asset, project) for key in asset.dependency_keys}
    replacements = {key: target for key, target in found.items() if target is not None}
    return asset.with_attributes(asset_key_replacements=replacements) if replacements else asset


def _asset_of_table(key: AssetKey, asset: AssetsDefinition, project: Project) -> AssetKey | None:
    """The asset that makes the table a dependency names, ``None`` where it names none."""
    if len(key.path) != 1:
        return None
    name = key.path[0]
    for table, made_by in project.tables.items():
        if name == f"{table.namespace}__{table.name}":
            return AssetKey(list(made_by.asset_key))
    if not name.startswith(_MARTS) or name == _MARTS:
        return None
    meant = f"marts.{name.removeprefix(_MARTS)}"
    table = resolve_table(meant, project)
    if table not in project.tables:
        return None
    logger.warning(
        "No asset makes %s; %s depends on %s, which is what is there.",
        meant,
        asset.key.to_user_string(),
        table,
    )
    return AssetKey(list(project.tables[table].asset_key))


def _refuse_resources_as_inputs(asset: AssetsDefinition, resources: Mapping[str, Any]) -> None:
    names = sorted(name for name in asset.keys_by_input_name if name in resources)
    if names:
        raise InvalidArgumentError(
            f"The asset {asset.key.to_user_string()!r} takes {' and '.join(map(repr, names))} "
            "as if they were assets, which they are not: they are resources.",
            got=f"bare arguments ({', '.join(names)})",
            expected="annotated ones",
            hint="Write them with their types, so that Dagster hands over resources: "
            + "; ".join(_annotation(name, resources[name]) for name in names)
            + ".",
            names=names,
        )


def _annotation(name: str, resource: object) -> str:
    """How a plain asset names a resource in its arguments."""
    if name == "trino":
        return (
            "`trino: ResourceParam[QueryEngine]` "
            "(from dagster import ResourceParam; from phlo.protocols import QueryEngine)"
        )
    if isinstance(resource, ConfigurableResource):
        kind = type(resource)
        return f"`{name}: {kind.__name__}` (from {kind.__module__} import {kind.__name__})"
    return f"`{name}: ResourceParam[object]` (from dagster import ResourceParam)"


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
    """The table that a person means: ``marts.x`` may stand elsewhere.

    Args:
        name: ``namespace.table``.
        project: Knows all tables.

    Returns:
        The table named, or, for ``marts.x`` that no asset makes, the one table whose asset is
        called ``x`` (as a dbt model's is), else the one table ``x``.
    """
    table = TableName.parse(name)
    if table in project.tables or table.namespace != "marts":
        return table
    same = [t for t in project.tables if t.name == table.name]
    models = [t for t in same if project.tables[t].asset_key[-1] == t.name]
    return next((found[0] for found in (models, same) if len(found) == 1), table)
