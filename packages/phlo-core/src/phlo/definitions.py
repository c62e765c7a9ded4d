"""The whole project as one code location: ``dagster dev -m phlo.definitions`` (R9)."""

from __future__ import annotations

from phlo.assembly import build_definitions
from phlo.project import load_project

defs = build_definitions(load_project())
