"""Where dbt runs: a copy of the project's settings beside links to its files.

phlo never writes into a user's dbt project. dbt is pointed at ``.phlo/dbt/project`` instead: its
entries are links to the user's, its ``dbt_project.yml`` is the user's with phlo's macros added.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from phlo.config import get_settings
from phlo.errors import ConfigurationError
from phlo.folders import DBT, make_folder
from phlo.limits import QueryLimits
from phlo.locks import locked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from phlo.config import Settings

PROJECT_FILE = "dbt_project.yml"
DATABASE = "lake"
"""Name of the scratch database, which is part of every relation's name."""

PROFILE = "phlo"
_OWN_MACROS = Path(__file__).parent / "macros"
_LINKED_MACROS = "phlo_macros"
# Variables that projects read; other DBT_* ones are options, which change from run to run.
_VARIABLE_PREFIXES = ("DBT_ENV_", "PHLO_DBT_")
_GENERATED = ("target", "logs", PROJECT_FILE, "profiles.yml", ".user.yml")


@dataclass(frozen=True)
class DbtWorkspace:
    """The folders of a project's dbt.

    Attributes:
        source_dir: The user's dbt project.
        state_dir: ``.phlo/dbt``; all in it can be made again.
    """

    source_dir: Path
    state_dir: Path

    @classmethod
    def of(cls, settings: Settings) -> DbtWorkspace:
        """The workspace of a phlo project."""
        return cls(
            settings.workflows_dir / "transforms" / "dbt", DBT.path(settings.state_dir.resolve())
        )

    @property
    def exists(self) -> bool:
        """Whether the project has a dbt project at all."""
        return (self.source_dir / PROJECT_FILE).is_file()

    @property
    def project_dir(self) -> Path:
        """The folder that dbt is pointed at."""
        return self.state_dir / "project"

    @property
    def manifest_file(self) -> Path:
        """The manifest as JSON, of the last parse."""
        return self.state_dir / "manifest.json"

    @property
    def parse_dir(self) -> Path:
        """What a parse leaves behind; only written under the lock."""
        return self.state_dir / "parse"

    @property
    def target_dir(self) -> Path:
        """What runs leave behind, such as compiled SQL."""
        return self.state_dir / "target"

    @property
    def runs_dir(self) -> Path:
        """Scratch folders, one per run."""
        return self.state_dir / "runs"

    @cached_property
    def fingerprint(self) -> str:
        """Changes whenever a parse could come out differently: files, versions, settings."""
        facts: list[Any] = [importlib.metadata.version(n) for n in ("phlo-dbt", "dbt-core")]
        facts += sorted(i for i in os.environ.items() if i[0].startswith(_VARIABLE_PREFIXES))
        for folder in (self.source_dir, _OWN_MACROS):
            facts += sorted(_file_facts(folder))
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def prepare(self) -> None:
        """Write the project that dbt is pointed at, and the profile for parsing."""
        mark = self.project_dir / ".fingerprint"
        if mark.exists() and mark.read_text() == self.fingerprint:
            return  # a run of another process may be reading it
        project = _read_project(self.source_dir / PROJECT_FILE)
        shutil.rmtree(self.project_dir, ignore_errors=True)
        make_folder(self.project_dir)
        for entry in self.source_dir.iterdir():
            if entry.name not in _GENERATED:
                (self.project_dir / entry.name).symlink_to(entry.resolve())
        (self.project_dir / _LINKED_MACROS).symlink_to(_OWN_MACROS)
        macro_paths = [*project.get("macro-paths", ["macros"]), _LINKED_MACROS]
        settings = project | {"macro-paths": macro_paths, "profile": PROFILE}
        (self.project_dir / PROJECT_FILE).write_text(yaml.safe_dump(settings, sort_keys=False))
        self.write_profile(self.parse_dir, self.parse_dir)
        mark.write_text(self.fingerprint)

    def write_profile(self, folder: Path, scratch: Path) -> None:
        """Write a ``profiles.yml`` whose DuckDB file stands in ``scratch``."""
        limits = QueryLimits.of(get_settings())
        output = {
            "type": "duckdb",
            "path": str(scratch / f"{DATABASE}.duckdb"),
            "schema": "transform",
            "threads": 1,
            "config_options": {
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
            "settings": {"TimeZone": "UTC", "memory_limit": f"{limits.memory_mb}MiB"},
            "plugins": [{"module": "phlo_dbt.duckdb_plugin", "alias": "phlo"}],
        }
        make_folder(folder)
        profile = {PROFILE: {"target": "embedded", "outputs": {"embedded": output}}}
        (folder / "profiles.yml").write_text(yaml.safe_dump(profile))

    def arguments(self, *, profile_dir: Path, target_dir: Path) -> list[str]:
        """The options of every dbt command: phlo's folders, and no word to anybody outside."""
        return [
            *("--project-dir", str(self.project_dir), "--profiles-dir", str(profile_dir)),
            *("--target-path", str(target_dir), "--log-path", str(self.state_dir / "logs")),
            *("--no-version-check", "--no-send-anonymous-usage-stats"),
        ]

    def lock(self) -> AbstractContextManager[None]:
        """Let one process at a time write the workspace."""
        return locked(self.state_dir / "lock")


def _file_facts(folder: Path) -> Iterator[tuple[str, int, int]]:
    for path, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [f for f in folders if f not in _GENERATED and not f.startswith(".")]
        for name in files:
            stat = (Path(path) / name).stat()
            yield str(Path(path, name)), stat.st_mtime_ns, stat.st_size


def _read_project(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text())
    except yaml.YAMLError as exc:
        raise ConfigurationError(f"{file} is not valid YAML: {exc}") from exc
    if not isinstance(content, dict):
        raise ConfigurationError(
            f"{file} is empty.", hint="Write at least `name:` and `version:` into it."
        )
    return content
