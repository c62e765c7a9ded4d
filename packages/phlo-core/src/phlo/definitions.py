"""The whole project as one code location: ``dagster dev -m phlo.definitions``."""

from __future__ import annotations

from phlo.orchestration.assembly import build_definitions
from phlo.project import load_project

defs = build_definitions(load_project())
