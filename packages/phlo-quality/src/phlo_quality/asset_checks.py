"""Suites as Dagster asset checks."""

from collections import Counter
from collections.abc import Iterator

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetKey,
    Definitions,
    TimeWindowPartitionsDefinition,
    multi_asset_check,
)
from phlo.audit import judge_published
from phlo.checks import CheckResult
from phlo.errors import DuplicateAssetError, InvalidPartitionError
from phlo.lake import open_lake
from phlo.names import Partition, TableName
from phlo.orchestration.assembly import build_definitions as build_project_definitions
from phlo.orchestration.checks import check_specs, to_asset_check_result
from phlo.orchestration.partitions import partition_of_asset, partition_of_key
from phlo.project import Project
from phlo.values import ProjectQuery

from phlo_quality.suite import Suite


def build_definitions(project: Project) -> Definitions:
    """Return asset checks of the project's suites.

    A blocking suite of an asset that audits is left out: the plugin that writes the table
    declares its checks, since a check key exists once.

    Raises:
        AssetNotFoundError: No asset makes a suite's table, and it names no ``asset_key``.
        DuplicateAssetError: Two checks of one asset have one name.
    """
    suites = project.specs(Suite)
    keys = {id(suite): _asset_key(suite, project) for suite in suites}
    _refuse_same_names(suites, [keys[id(suite)] for suite in suites])
    unaudited = [suite for suite in suites if not _is_audited(suite, project)]
    return Definitions(asset_checks=[_asset_checks(suite, keys[id(suite)]) for suite in unaudited])


def _asset_key(suite: Suite, project: Project) -> tuple[str, ...]:
    if suite.asset_key is not None:
        return suite.asset_key
    asked_by = f"@phlo_quality {suite.name!r}, {suite.defined_at}"
    return project.asset_for(suite.table, asked_by=asked_by).asset_key


def _is_audited(suite: Suite, project: Project) -> bool:
    asset = project.tables.get(suite.table)
    return suite.blocking and asset is not None and asset.audits


def _refuse_same_names(suites: list[Suite], keys: list[tuple[str, ...]]) -> None:
    names = Counter(
        ("/".join(key), check.name)
        for suite, key in zip(suites, keys, strict=True)
        for check in suite.checks
    )
    for (asset, name), times in names.items():
        if times > 1:
            places = [s.defined_at for s in suites if name in {c.name for c in s.checks}]
            raise DuplicateAssetError(
                f"{times} checks of the asset {asset!r} are called {name!r} ({', '.join(places)}).",
                hint="Rename one of the functions, or give one of the checks a name= of its own.",
                name=name,
            )


def _asset_checks(suite: Suite, asset_key: tuple[str, ...]) -> AssetChecksDefinition:
    @multi_asset_check(
        name="__".join((suite.name, *asset_key)),
        specs=check_specs(suite, asset_key),
        description=suite.description or f"Checks of {suite.table}.",
        can_subset=True,
        op_tags={"phlo/group": suite.group} if suite.group else None,
    )
    def run(context: AssetCheckExecutionContext) -> Iterator[AssetCheckResult]:
        only = [key.name for key in context.selected_asset_check_keys]
        for result in _evaluate(suite, asset_key, only, context):
            yield to_asset_check_result(result, asset_key)

    return run


def _evaluate(
    suite: Suite,
    asset_key: tuple[str, ...],
    only: list[str],
    context: AssetCheckExecutionContext,
) -> list[CheckResult]:
    return judge_published(
        [suite],
        open_lake(),
        lambda check: check.name in only,
        run_id=context.run.run_id,
        partition=partition_of_asset(context, AssetKey(asset_key)),
        context=context,
    )


def named_partition(key: str, table: TableName, project: Project) -> Partition:
    """Return a partition of a table, as long as the asset that makes the table has it.

    Args:
        key: The first day of the partition, ``YYYY-MM-DD``.
        table: A table that no asset makes, or one without partitions, is cut in days.
        project: Knows the asset.

    Raises:
        InvalidPartitionError: The key is no date, or no first day of a partition.
    """
    partition, made_by = Partition.parse(key), project.tables.get(table)
    if made_by is None:
        return partition
    graph = build_project_definitions(project).resolve_asset_graph()
    definition = graph.get(AssetKey(made_by.asset_key)).partitions_def
    if not isinstance(definition, TimeWindowPartitionsDefinition):
        return partition
    partition_of_day = partition_of_key(definition, key)
    if partition_of_day.date != partition.date:
        raise InvalidPartitionError(
            f"No partition of {'/'.join(made_by.asset_key)!r} begins on {key}.",
            got=repr(key),
            expected="the first day of a partition",
            hint=f"The next one is --partition {partition_of_day}.",
            table=table,
        )
    return partition_of_day


def queries_of(project: Project) -> list[ProjectQuery]:
    """Return the SQL that authors wrote in checks: whole queries, conditions and aggregates."""
    return [
        ProjectQuery(f"check {check.name}", text)
        for suite in project.specs(Suite)
        for check in suite.checks
        for text in check.check.written_queries(suite.table)
    ]
