"""For projects that define their dbt assets themselves, as the guide does.

dagster-dbt runs the dbt command line in a process of its own; phlo gives it a command that reads
and publishes tables as phlo's own assets do.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dagster import AssetsDefinition
from dagster_dbt import DbtCliResource

from phlo_dbt.dagster_dbt_private import MANIFEST_KEY

if TYPE_CHECKING:
    from phlo.project import Project

    from phlo_dbt.folders import DbtWorkspace

_COMMAND = "phlo-dbt"


def has_own_assets(project: Project) -> bool:
    """Return whether a module of the project holds what ``@dbt_assets`` makes."""
    assets = (v for _, _, v in project.objects() if isinstance(v, AssetsDefinition))
    return any(
        MANIFEST_KEY in metadata
        for definition in assets
        for metadata in definition.metadata_by_key.values()
    )


def dbt_resource(workspace: DbtWorkspace) -> DbtCliResource:
    """Return dagster-dbt's own resource, pointed at phlo's workspace and command."""
    profiles_dir, profile = workspace.profile
    beside_python = shutil.which(_COMMAND, path=str(Path(sys.executable).parent))
    return DbtCliResource(
        project_dir=str(workspace.source_dir),
        profiles_dir=str(profiles_dir),
        profile=profile,
        dbt_executable=beside_python or _COMMAND,
    )
