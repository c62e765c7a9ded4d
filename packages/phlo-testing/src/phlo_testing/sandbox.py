"""A throw-away project for tests."""

from __future__ import annotations

import importlib
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

from phlo.config import get_settings, reset_settings
from phlo.lake import open_lake, reset_lake
from phlo.orchestration.assembly import build_definitions
from phlo.project import load_project

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from dagster import Definitions
    from phlo.lake import Lake
    from phlo.project import Project


class ProjectSandbox:
    """A project folder that a test fills with workflows.

    Attributes:
        root: The project's folder.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self._monkeypatch = monkeypatch
        monkeypatch.syspath_prepend(str(root))

    def write(self, path: str, text: str) -> Path:
        """Write a file below the project's folder, such as ``workflows/ingestion/api.py``.

        Workflows that are imported already are forgotten, so that the next load sees the file.
        """
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip("\n"))
        # Bytecode is told apart by second and size, too coarse for a test that writes twice.
        shutil.rmtree(file.parent / "__pycache__", ignore_errors=True)
        for name in [n for n in sys.modules if n.split(".")[0] == "workflows"]:
            del sys.modules[name]
        importlib.invalidate_caches()
        return file

    def set(self, **environment: str) -> None:
        """Set environment variables, and forget settings read before."""
        for name, value in environment.items():
            self._monkeypatch.setenv(name, value)
        reset_settings()
        reset_lake()

    def load(self) -> Project:
        """Import the workflows."""
        return load_project(get_settings())

    def definitions(self) -> Definitions:
        """Build the project's Dagster definitions."""
        return build_definitions(self.load())

    @property
    def lake(self) -> Lake:
        """The project's table store and query engine."""
        return open_lake()
