"""The whole project as one code location: ``dagster dev -m phlo.definitions``."""

from __future__ import annotations

from phlo.config import get_settings
from phlo.orchestration.assembly import build_definitions
from phlo.orchestration.dagster_environment import undo_dagsters_env_file
from phlo.orchestration.instance import warn_of_temporary_history
from phlo.project import load_project

undo_dagsters_env_file()
warn_of_temporary_history(get_settings())
defs = build_definitions(load_project())
