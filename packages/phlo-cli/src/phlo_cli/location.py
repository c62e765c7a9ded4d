"""The current project, loaded once per process: its assets, and the instance that runs them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from dagster import BetaWarning, PreviewWarning, SupersessionWarning
from phlo.orchestration.assembly import build_definitions
from phlo.orchestration.instance import open_instance
from phlo.project import load_project

from phlo_cli.liveness import end_abandoned_runs
from phlo_cli.load_errors import collected_errors
from phlo_cli.project_index import save_index
from phlo_cli.project_settings import require_project

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagster import AssetKey, DagsterInstance, RepositoryDefinition
    from phlo.config import Settings
    from phlo.project import Project
    from phlo.values import TableAsset

    from phlo_cli.dagster_private import AssetGraph


@dataclass(frozen=True)
class Location:
    """A loaded project and its Dagster instance.

    Attributes:
        project: The project; its workflows are imported.
        repository: Its definitions, resolved.
        instance: Where its runs are kept.
    """

    project: Project
    repository: RepositoryDefinition
    instance: DagsterInstance

    @property
    def graph(self) -> AssetGraph:
        """All assets and what they need."""
        return self.repository.asset_graph

    @cached_property
    def tables(self) -> Mapping[str, TableAsset]:
        """Which table an asset makes, by the asset's key as text."""
        return {"/".join(a.asset_key): a for a in self.project.tables.values()}

    def table_of(self, key: AssetKey) -> str | None:
        """Return the table that an asset makes; ``None`` where it makes none."""
        made = self.tables.get(key.to_user_string())
        return str(made.table) if made else None


def open_location(settings: Settings | None = None) -> Location:
    """Load the project and open its instance.

    Raises:
        ConfigurationError: The folder is no project.
        WorkflowImportError: A file under ``workflows/`` fails to import.
    """
    settings = settings or require_project()
    quiet_dagster()
    with collected_errors() as errors:
        project = load_project(settings)
        repository = build_definitions(project).get_repository_def()
    instance = open_instance(settings)
    end_abandoned_runs(settings, instance)
    save_index(project, repository, is_whole=not errors)
    return Location(project, repository, instance)


def quiet_dagster() -> None:
    """Leave out Dagster's notices to people who write Python against its beta interfaces."""
    for category in (BetaWarning, PreviewWarning, SupersessionWarning):
        warnings.simplefilter("ignore", category)
