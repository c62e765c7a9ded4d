"""Every extension point of phlo (pluggy project ``phlo``, entry-point group ``phlo``).

A plugin is a module named in its distribution's ``[project.entry-points.phlo]`` table whose
functions are marked with :data:`phlo.plugins.hookimpl`. Importing this module loads no data
library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    import click
    import pyarrow as pa
    from dagster import Definitions
    from phlo.config import Settings
    from phlo.declarations import Project
    from phlo.events import BranchEvent, ChecksEvent, LoadEvent, PublishEvent, RunEvent
    from phlo.names import TableName
    from phlo.protocols import Check, ProjectRunner, QueryEngine, TableStore
    from phlo.values import (
        ProjectProblem,
        ProjectQuery,
        ProjectTemplate,
        PublishPlan,
        TableAsset,
    )
    from pydantic_settings import BaseSettings

hookspec = pluggy.HookspecMarker("phlo")


@hookspec
def phlo_register_tables(project: Project) -> Sequence[TableAsset]:  # pyright: ignore[reportReturnType]
    """Say which asset makes which table, so that checks, the command line and lineage find it.

    Called once per process, after the project's workflows are imported and before
    :func:`phlo_register_definitions`. Two assets for one table raise ``DuplicateAssetError``.

    Args:
        project: The project; its workflows are imported.

    Returns:
        One value per table, possibly none.
    """


@hookspec
def phlo_register_definitions(project: Project) -> Definitions:  # pyright: ignore[reportReturnType]
    """Hand over the Dagster definitions this plugin builds from a project.

    Called once per process, after the project's workflows are imported. Results of all plugins
    are merged; two assets with one key raise ``DuplicateAssetError``.

    Args:
        project: The loaded project; ``project.tables`` knows all tables.

    Returns:
        Assets, checks, schedules, sensors and jobs, possibly none.
    """


@hookspec
def phlo_register_resources(settings: Settings) -> Mapping[str, Any]:  # pyright: ignore[reportReturnType]
    """Hand over Dagster resources by name; a name given twice is an error.

    Args:
        settings: The project's settings.
    """


@hookspec
def phlo_register_checks() -> Sequence[type[Check]]:  # pyright: ignore[reportReturnType]
    """Hand over check classes; ``phlo plugin list`` shows them."""


@hookspec
def phlo_register_commands(group: click.Group) -> None:
    """Add commands to the ``phlo`` group.

    Args:
        group: The root group. Its ``add_lazy(name, "module:attribute", short_help)`` adds a
            command whose module is imported only when it is run, which keeps help quick.
    """


@hookspec
def phlo_register_settings() -> type[BaseSettings]:  # pyright: ignore[reportReturnType]
    """Hand over the plugin's settings class, each field described, with a prefix of its own."""


@hookspec
def phlo_register_queries(project: Project) -> Sequence[ProjectQuery]:  # pyright: ignore[reportReturnType]
    """Hand over the SQL that the project's authors wrote, for ``phlo doctor`` to examine.

    Args:
        project: The loaded project.

    Returns:
        One value per query, possibly none.
    """


@hookspec
def phlo_register_problems(
    project: Project, columns_of: Callable[[TableName], pa.Schema | None]
) -> Sequence[ProjectProblem]:  # pyright: ignore[reportReturnType]
    """Hand over what will fail when assets are made, found without reading a row.

    ``phlo doctor`` and ``phlo materialize --dry-run`` tell them.

    Args:
        project: The loaded project.
        columns_of: Gives the columns that a table will have; ``None`` where nobody knows yet.

    Returns:
        One value per problem, possibly none.
    """


@hookspec
def phlo_register_publish_plans(
    project: Project, store: TableStore, engine: QueryEngine, assets: Collection[str]
) -> Sequence[PublishPlan]:  # pyright: ignore[reportReturnType]
    """Hand over what publishing would do to published tables; nothing is changed.

    ``phlo plan`` asks with the store of the plan's branch, for the tables that main publishes to.

    Args:
        project: The loaded project.
        store: Has the marts as they would be published.
        engine: Reads them.
        assets: Keys of the publishing assets that would run.

    Returns:
        One value per published table, possibly none.
    """


@hookspec
def phlo_register_excluded_folders(settings: Settings) -> Sequence[Path]:  # pyright: ignore[reportReturnType]
    """Name folders under ``workflows/`` whose Python files are no modules of the project.

    Args:
        settings: The project's settings.

    Returns:
        Folders, whether they exist or not.
    """


@hookspec
def phlo_register_templates() -> Sequence[ProjectTemplate]:  # pyright: ignore[reportReturnType]
    """Hand over projects that ``phlo init`` can write."""


@hookspec(firstresult=True)
def phlo_provide_table_store(settings: Settings) -> TableStore | None:
    """Provide the store that keeps the project's tables; ``None`` leaves it to another plugin."""


@hookspec(firstresult=True)
def phlo_provide_query_engine(settings: Settings, store: TableStore) -> QueryEngine | None:
    """Provide the engine that answers SQL over ``store``; ``None`` leaves it to another plugin."""


@hookspec(firstresult=True)
def phlo_provide_runner() -> ProjectRunner | None:
    """Provide what runs assets of the current project for :mod:`phlo.lake`."""


@hookspec(firstresult=True)
def phlo_provide_named_table(table: TableName, project: Project) -> TableName | None:
    """Provide the table that a person means by a name that no asset makes.

    Args:
        table: The name.
        project: Knows all tables.
    """


@hookspec(firstresult=True)
def phlo_provide_import_hint(error: BaseException) -> str | None:
    """Provide the edit or command that mends a workflow file which fails to import.

    Args:
        error: What its import raised; core knows no hint for it.
    """


@hookspec
def phlo_on_load(event: LoadEvent) -> None:
    """Observe the end of a load. An observer that raises is reported and breaks nothing."""


@hookspec
def phlo_on_checks(event: ChecksEvent) -> None:
    """Observe the results of checks. An observer that raises is reported and breaks nothing."""


@hookspec
def phlo_on_publish(event: PublishEvent) -> None:
    """Observe a published mart. An observer that raises is reported and breaks nothing."""


@hookspec
def phlo_on_run(event: RunEvent) -> None:
    """Observe the end of a run. An observer that raises is reported and breaks nothing."""


@hookspec
def phlo_on_branch(event: BranchEvent) -> None:
    """Observe what became of a branch. An observer that raises is reported and breaks nothing."""
