"""The settings of the current project, for commands that need neither its code nor Dagster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.config import get_settings
from phlo.errors import ConfigurationError

if TYPE_CHECKING:
    from phlo.config import Settings


def require_project() -> Settings:
    """Return the settings of the current project.

    Raises:
        ConfigurationError: Neither this folder nor one above it has ``workflows/``.
        BranchNotFoundError: The settings name a branch that the lake does not have.
    """
    settings = get_settings()
    if not settings.workflows_dir.is_dir():
        raise ConfigurationError(
            f"{settings.project_dir} is no phlo project: it has no folder workflows/.",
            hint="Go to a project's folder, set PHLO_PROJECT_DIR, or make one: phlo init NAME",
        )
    if settings.is_on_branch:
        from phlo.lake import open_lake

        open_lake()  # which raises for an unknown branch, before a run leaves anything behind
    return settings
