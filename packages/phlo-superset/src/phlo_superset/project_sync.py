"""Sync the marts of the current project."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phlo.config import get_settings, load_settings
from phlo.errors import ConfigurationError
from phlo.orchestration.assembly import build_resources
from phlo.project import load_project

from phlo_superset.client import SupersetClient
from phlo_superset.databases import build_uri
from phlo_superset.published import read_published_marts
from phlo_superset.settings import SupersetSettings
from phlo_superset.sync import Sync

if TYPE_CHECKING:
    from phlo.project import Project

    from phlo_superset.changes import Change
    from phlo_superset.published import MartsDatabase


@dataclass(frozen=True)
class SyncReport:
    """What a sync did, or would do.

    Attributes:
        dashboard_url: Address of the dashboard.
        is_dry_run: Whether nothing was written.
        changes: What was done to each object, in order.
    """

    dashboard_url: str
    is_dry_run: bool
    changes: list[Change]

    def as_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        return {
            "dashboard_url": self.dashboard_url,
            "dry_run": self.is_dry_run,
            "changes": [change.as_dict() for change in self.changes],
        }


def sync_project(*, dry_run: bool = False) -> SyncReport:
    """Bring Superset up to date with the published marts of the current project.

    Args:
        dry_run: Find out what would be done, and write nothing.

    Raises:
        ConfigurationError: Settings, rights or declarations are wrong, or no mart is published.
        ServiceError: Superset or the marts' database cannot be reached.
        FatalRunError: Superset refuses what phlo writes.
    """
    if get_settings().is_on_branch:
        raise ConfigurationError(
            f"Superset shows the marts of main, and this is the branch {get_settings().branch!r}.",
            hint="Run it without PHLO_BRANCH and --branch.",
        )
    settings = load_settings(SupersetSettings)
    client = SupersetClient(settings)
    project = load_project()
    database = _marts_database(project)
    client.log_in()
    marts = read_published_marts(database, project)
    folder = get_settings().project_dir.name
    slug = f"phlo-{re.sub(r'[^a-z0-9]+', '-', folder.lower()).strip('-')}"
    secret = settings.database_uri
    sync = Sync(
        client,
        database_name=settings.database_name or f"phlo {folder}",
        database_uri=secret.get_secret_value() if secret else build_uri(database.address()),
        slug=slug,
        title=f"Marts of {folder}",
        dry_run=dry_run,
    )
    changes = sync.run(marts)
    return SyncReport(f"{client.url}/superset/dashboard/{slug}/", dry_run, changes)


def _marts_database(project: Project) -> MartsDatabase:
    resource = build_resources(project).get("postgres")
    if resource is None:
        raise ConfigurationError(
            "Nothing provides the resource `postgres`, the database that marts are published to.",
            hint="Install phlo-publishing: pip install phlo-publishing.",
        )
    return resource
