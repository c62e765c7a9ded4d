"""Declare that a mart is published: ``publishing_asset``, or ``meta`` on a dbt model."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dagster import AssetKey, AssetsDefinition, FreshnessPolicy, asset
from phlo.errors import ConfigurationError, InvalidArgumentError, nearest
from phlo.names import TableName
from phlo.specs import attach_spec

from phlo_publishing.marts import PublishSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dagster import AssetExecutionContext
    from phlo.project import Project
    from phlo.values import TableAsset

    from phlo_publishing.marts import Mode


def publishing_asset(
    *marts: str,
    name: str | None = None,
    tables: Mapping[str, str] | None = None,
    data_source: str | None = None,
    schema: str | None = None,
    mode: Mode = "replace",
    key: str | Sequence[str] = (),
    max_shrink: float | None = None,
    lower_case: bool = True,
    max_age_hours: float | None = None,
    group: str = "publishing",
) -> AssetsDefinition:
    """Declare an asset that publishes marts to PostgreSQL, all in one moment.

    Args:
        *marts: Marts as ``namespace.table``; each is published under the table's name.
        name: Name of the asset; ``None``: ``publish_`` and the name of the first table.
        tables: Marts by another published name.
        data_source: The domain that the marts belong to; ``None``: the first mart's namespace.
        schema: Schema of the published tables; ``None`` takes ``PHLO_POSTGRES_TARGET_SCHEMA``.
        mode: ``replace``, or ``merge`` to write only the rows that changed.
        key: Columns that are unique in each mart. Without, a mart has the key that its contract
            or its tests ``unique`` and ``not_null`` declare.
        max_shrink: Share of its rows (0 to 1) that a table may lose.
        lower_case: Give columns lower-case names.
        max_age_hours: Hours after which ``phlo status`` calls the published copy stale.
        group: Dagster's group.

    Raises:
        InvalidArgumentError: No mart is named.

    Example:
        >>> publishing_asset("marts.daily_aggregates", mode="merge", key="day").key.path
        ['publish_daily_aggregates']
    """
    named = {TableName.parse(mart).name: mart for mart in marts} | dict(tables or {})
    if not named:
        raise InvalidArgumentError(
            "publishing_asset got no mart.",
            expected="at least one, as namespace.table",
            hint='Write publishing_asset("marts.daily_aggregates").',
        )
    spec = PublishSpec(
        name=name or f"publish_{next(iter(named))}",
        tables=named,
        data_source=data_source or TableName.parse(next(iter(named.values()))).namespace,
        schema=schema,
        mode=mode,
        key=(key,) if isinstance(key, str) else tuple(key),
        max_shrink=max_shrink,
        lower_case=lower_case,
        max_age_hours=max_age_hours,
        group=group,
    )
    parsed = [TableName.parse(mart) for mart in named.values()]
    return build_asset(spec, [AssetKey(f"{mart.namespace}__{mart.name}") for mart in parsed])


def build_asset(spec: PublishSpec, upstream: Sequence[AssetKey]) -> AssetsDefinition:
    """Build the Dagster asset of a declaration; it carries the declaration."""
    hours = spec.max_age_hours
    policy = FreshnessPolicy.time_window(fail_window=timedelta(hours=hours)) if hours else None

    @asset(
        name=spec.name,
        deps=list(upstream),
        group_name=spec.group,
        kinds={"postgres"},
        required_resource_keys={"trino", "postgres"},
        freshness_policy=policy,
        description=f"Publish {', '.join(spec.tables.values())} to PostgreSQL.",
    )
    def publish(context) -> None:  # noqa: ANN001 - Dagster does not read postponed annotations
        publish_declared(context, spec)

    return attach_spec(publish, spec)


def publish_declared(context: AssetExecutionContext, spec: PublishSpec) -> None:
    """Publish the marts of a declaration, with the project's resources."""
    from phlo.project import load_project

    from phlo_publishing.publish import publish_marts_to_postgres

    publish_marts_to_postgres(
        context,
        context.resources.trino,
        context.resources.postgres,
        spec.tables,
        spec.data_source,
        spec.schema,
        max_shrink=spec.max_shrink,
        mode=spec.mode,
        key=keys_of(spec, load_project()),
        lower_case=spec.lower_case,
    )


def keys_of(spec: PublishSpec, project: Project) -> dict[str, tuple[str, ...]]:
    """Return the key of each published table: the declared one, or that of the mart's asset."""
    if spec.key:
        return dict.fromkeys(spec.tables, spec.key)
    from phlo.orchestration.assembly import resolve_table

    assets = {
        target: project.tables.get(resolve_table(mart, project))
        for target, mart in spec.tables.items()
    }
    return {target: made.key for target, made in assets.items() if made and made.key}


def declared_specs(project: Project) -> list[PublishSpec]:
    """List all declarations of a project: in its modules, and on its tables."""
    return [*project.specs(PublishSpec), *(spec for spec, _ in declared_on_tables(project))]


def declared_on_tables(project: Project) -> list[tuple[PublishSpec, TableAsset]]:
    """List what the declarations of tables themselves say, such as ``meta`` of dbt models.

    Raises:
        ConfigurationError: ``publish`` is neither true nor a mapping of known options.
    """
    return [
        (_spec_of_table(made, made.meta["publish"]), made)
        for made in project.tables.values()
        if made.meta.get("publish")
    ]


_OPTIONS = {field.name for field in fields(PublishSpec)} - {"tables"}


def _spec_of_table(made: TableAsset, declared: Any) -> PublishSpec:
    options = {} if declared is True else declared
    if not isinstance(options, dict) or set(options) - _OPTIONS - {"table"}:
        raise _unknown_options(made, declared)
    options = dict(options)
    target = options.pop("table", made.table.name)
    key = options.pop("key", ())
    defaults: dict[str, Any] = {"name": f"publish_{target}", "data_source": made.table.namespace}
    return PublishSpec(
        tables={target: str(made.table)},
        key=(key,) if isinstance(key, str) else tuple(key),
        **(defaults | options),
    )


def _unknown_options(made: TableAsset, declared: Any) -> ConfigurationError:
    known = sorted({*_OPTIONS, "table"})
    wrong = sorted(set(declared) - set(known)) if isinstance(declared, dict) else []
    near = nearest(wrong[0], known) if wrong else []
    return ConfigurationError(
        f"`meta: {{phlo: {{publish: ...}}}}` of {made.table} cannot be read ({made.defined_at}).",
        got=repr(wrong or declared),
        expected=f"true, or options of {', '.join(known)}",
        hint=f"Write {near[0]!r}." if near else "Write `publish: true`.",
    )
