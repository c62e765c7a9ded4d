"""A project assembled into Dagster's ``Definitions``."""

from __future__ import annotations

import logging
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster
from dagster import (
    AssetChecksDefinition,
    AssetKey,
    AssetsDefinition,
    AssetSelection,
    AssetSpec,
    AutomationConditionSensorDefinition,
    ConfigurableIOManagerFactory,
    ConfigurableResource,
    DefaultSensorStatus,
    Definitions,
    ExecutorDefinition,
    IOManager,
    JobDefinition,
    LoggerDefinition,
    ResourceDefinition,
    ScheduleDefinition,
    SensorDefinition,
    SourceAsset,
)
from phlo.declarations import members
from phlo.errors import DuplicateAssetError, InvalidArgumentError, InvalidNameError
from phlo.names import TableName
from phlo.orchestration.dagster_private import (
    AssetJob,
    EndedPartitionsSchedule,
    FunctionOfDefinitions,
    PartitionedSchedule,
    cancellable_executor,
    redact_recorded_errors,
)
from phlo.plugins import plugin_manager
from phlo.specs import relative_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from phlo.project import Project


logger = logging.getLogger(__name__)

_RESOURCES = (ConfigurableResource, ConfigurableIOManagerFactory, ResourceDefinition, IOManager)
_ASSETS = (AssetsDefinition, AssetSpec, SourceAsset)


def build_definitions(project: Project) -> Definitions:
    """Merge what the plugins register with the project's own Dagster objects.

    On a branch there are no schedules and no sensors: they belong to main.

    Raises:
        DuplicateAssetError: Two assets have one key, or two resources, schedules, sensors or jobs
            one name.
        InvalidArgumentError: A plain asset takes a resource as if it were an asset.
    """
    redact_recorded_errors()
    parts = list(plugin_manager().hook.phlo_register_definitions(project=project))
    resources = build_resources(project)
    parts.extend(_own_definitions(project, resources))
    _refuse_duplicates(parts, project)
    if project.settings.is_on_branch:
        parts = [_without_automation(part) for part in parts]
    else:
        parts.extend(_automation(parts))
    shared = Definitions(resources=resources, executor=cancellable_executor())
    return Definitions.merge(shared, *parts)


def _without_automation(part: Definitions) -> Definitions:
    """Leave out schedules and sensors."""
    return Definitions(
        assets=part.assets,
        jobs=part.jobs,
        resources=part.resources,
        executor=part.executor,
        loggers=part.loggers,
        asset_checks=part.asset_checks,
        metadata=part.metadata,
    )


def _automation(parts: list[Definitions]) -> list[Definitions]:
    """Let conditions of assets be evaluated as soon as the daemon runs, as crons are.

    Dagster's own sensor for them is off until somebody switches it on. A sensor of the project's
    own takes its place.
    """
    assets = [asset for part in parts for asset in part.assets or []]
    specs = [s for a in assets if isinstance(a, (AssetsDefinition, AssetSpec)) for s in _specs(a)]
    sensors = [sensor for part in parts for sensor in part.sensors or []]
    has_own = any(isinstance(sensor, AutomationConditionSensorDefinition) for sensor in sensors)
    if has_own or not any(spec.automation_condition for spec in specs):
        return []
    sensor = AutomationConditionSensorDefinition(
        "default_automation_condition_sensor",
        target=AssetSelection.all(),
        default_status=DefaultSensorStatus.RUNNING,
    )
    return [Definitions(sensors=[sensor])]


def _specs(asset: AssetsDefinition | AssetSpec) -> list[AssetSpec]:
    return [asset] if isinstance(asset, AssetSpec) else list(asset.specs)


def build_resources(project: Project) -> dict[str, Any]:
    """Return resources by name: those of the plugins, and objects under ``workflows/resources/``.

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
        if isinstance(value, _RESOURCES) and _is_resource_module(module)
    }


def _is_resource_module(module: str) -> bool:
    return module.startswith("workflows.resources")


def _log_ignored(project: Project) -> None:
    """Name the Dagster objects of the project that stand where nothing collects them."""
    for module, name, value in project.objects():
        what = None
        if getattr(dagster, name, None) is value:
            continue  # imported, to be used elsewhere in the file
        if isinstance(value, _RESOURCES) and not _is_resource_module(module):
            what = "a resource; move it to a file under workflows/resources/"
        elif isinstance(value, (ExecutorDefinition, LoggerDefinition)):
            what = "taken only from a Definitions object"
        elif isinstance(value, FunctionOfDefinitions) and value.has_context_arg:
            what = "a function of definitions that takes a context, which phlo does not have"
        elif any(isinstance(one, Definitions) for one in members(value)):
            what = "a collection of Definitions; give each a name of its own"
        if what is not None:
            place = _place(project.modules[module], name)
            logger.warning("%s: %r is ignored: it is %s.", place, name, what)


def _place(module: ModuleType, name: str) -> str:
    """Return file and line of a name in a module."""
    file = Path(module.__file__ or module.__name__)
    lines = file.read_text(errors="replace").splitlines() if file.exists() else []
    begins = re.compile(rf"(async def |def |class )?{re.escape(name)}\b")
    numbers = (n for n, line in enumerate(lines, 1) if begins.match(line))
    return f"{relative_path(str(file))}:{next(numbers, 1)}"


def _own_definitions(project: Project, resources: Mapping[str, Any]) -> list[Definitions]:
    """Return the Dagster objects that stand in the project's modules, whole ``Definitions`` too."""
    _log_ignored(project)
    values = _own_values(project)
    jobs = (JobDefinition, AssetJob)
    checks = _of(values, AssetChecksDefinition)  # a kind of AssetsDefinition too
    assets = [value for value in _of(values, _ASSETS) if value not in checks]
    objects = Definitions(
        assets=_with_table_dependencies(assets, project, resources),
        asset_checks=checks,
        schedules=[*_of(values, ScheduleDefinition), *_partitioned_schedules(values)],
        sensors=_of(values, SensorDefinition),
        jobs=_of(values, jobs),
    )
    return [objects, *_of(values, Definitions)]


def _own_values(project: Project) -> list[Any]:
    """List the objects of the modules, with the members of their collections, each once."""
    found = [_called(value) for _, _, value in project.objects()]
    alone = [value for value in found if isinstance(value, Definitions)]
    nested = [one for value in found for one in members(value)]
    kept = [one for one in nested if not isinstance(one, Definitions)]
    return list({id(one): one for one in [*found, *alone, *kept]}.values())


def _called(value: Any) -> Any:
    """Call a function of ``@dagster.definitions``; one that takes a context is left as it is."""
    is_callable = isinstance(value, FunctionOfDefinitions) and not value.has_context_arg
    return value() if is_callable else value


def _partitioned_schedules(values: list[Any]) -> list[PartitionedSchedule]:
    return [EndedPartitionsSchedule.of(one) for one in _of(values, PartitionedSchedule)]


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
    """Return the asset that makes the table a dependency names, ``None`` where it names none."""
    if len(key.path) != 1:
        return None
    name = key.path[0]
    for table, made_by in project.tables.items():
        if name == f"{table.namespace}__{table.name}":
            return AssetKey(list(made_by.asset_key))
    namespace, _, table_name = name.partition("__")
    if not (namespace and table_name):
        return None
    meant = f"{namespace}.{table_name}"
    try:
        table = resolve_table(meant, project)
    except InvalidNameError:  # an asset's key may hold what no table's name may
        return None
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
    """Return how a plain asset names a resource in its arguments."""
    if name == "trino":
        return (
            "`trino: ResourceParam[QueryEngine]` "
            "(from dagster import ResourceParam; from phlo.protocols import QueryEngine)"
        )
    if isinstance(resource, ConfigurableResource):
        kind = type(resource)
        return f"`{name}: {kind.__name__}` (from {kind.__module__} import {kind.__name__})"
    return f"`{name}: ResourceParam[object]` (from dagster import ResourceParam)"


def _refuse_duplicates(parts: list[Definitions], project: Project) -> None:
    """Check that assets, schedules, sensors and jobs have names of their own; tell all that do not.

    Raises:
        DuplicateAssetError: Two have one name; names file and line of each.
    """
    errors = [*_duplicate_assets(parts, project), *_duplicate_names(parts, project)]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        first, messages = errors[0], [error.message for error in errors]
        raise DuplicateAssetError("\n".join(messages), hint=first.hint, **first.parts)


def _duplicate_assets(parts: list[Definitions], project: Project) -> list[DuplicateAssetError]:
    """Return an error for each key that several assets have."""
    keys = Counter(
        key
        for part in parts
        for asset in part.assets or []
        if isinstance(asset, AssetsDefinition) and asset.is_executable
        for key in asset.keys
    )
    return [
        DuplicateAssetError(
            f"Two assets have the key {(name := key.to_user_string())!r}"
            f"{_listed(_places_of(key, parts, project))}.",
            hint="Rename one of them; an ingestion's key is dlt_<table_name>.",
            key=name,
        )
        for key, count in sorted(keys.items())
        if count > 1
    ]


def _duplicate_names(parts: list[Definitions], project: Project) -> list[DuplicateAssetError]:
    """Return an error for each name that several schedules, sensors or jobs have."""
    kinds = {
        "schedules or sensors": [
            one for part in parts for one in (*(part.schedules or ()), *(part.sensors or ()))
        ],
        "jobs": [job for part in parts for job in part.jobs or ()],
    }
    errors = []
    for kind, objects in kinds.items():
        names = Counter(one.name for one in {id(one): one for one in objects}.values())
        for name in (name for name, count in names.items() if count > 1):
            types = tuple({type(one) for one in objects if one.name == name})
            places = [
                _place(project.modules[module], attribute)
                for module, attribute, value in project.objects()
                if isinstance(value, types) and value.name == name
            ]
            errors.append(
                DuplicateAssetError(
                    f"Two {kind} have the name {name!r}{_listed(places)}.",
                    hint="Give one of them another name.",
                    key=name,
                )
            )
    return errors


def _listed(places: list[str]) -> str:
    return f": {' and '.join(places)}" if places else ""


def _places_of(key: AssetKey, parts: list[Definitions], project: Project) -> list[str]:
    """List file and line of what defines assets of one key, where it is known."""
    specs = [s for part in parts for a in part.assets or [] for s in _specs_of(a) if s.key == key]
    tables = [spec.metadata.get("phlo/defined_at") for spec in specs]
    plain = [
        _place(project.modules[module], name)
        for module, name, value in project.objects()
        if isinstance(value, AssetsDefinition) and key in value.keys
    ]
    return sorted({str(place) for place in [*tables, *plain] if place})


def _specs_of(asset: Any) -> list[AssetSpec]:
    return _specs(asset) if isinstance(asset, (AssetsDefinition, AssetSpec)) else []


def resolve_table(name: str, project: Project) -> TableName:
    """Return the table that a person means by a name; plugins may know further names.

    Args:
        name: ``namespace.table``.
        project: Knows all tables.

    Returns:
        The table named or, where no asset makes it, the one that a plugin takes it for.
    """
    table = TableName.parse(name)
    if table in project.tables:
        return table
    return project.hooks.phlo_provide_named_table(table=table, project=project) or table
