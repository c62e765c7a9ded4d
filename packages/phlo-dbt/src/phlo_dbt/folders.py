"""Where dbt runs, and with which profile.

A run that phlo starts leaves nothing in the user's dbt project: artifacts, logs and, where the
project has no profile of phlo's, the profile too stand in ``.phlo/dbt``.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from phlo.config import load_settings
from phlo.errors import ConfigurationError
from phlo.folders import DBT, make_folder
from phlo.locks import locked

from phlo_dbt.settings import DbtSettings, vars_option

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager

    from phlo.config import Settings

PROJECT_FILE = "dbt_project.yml"
DATABASE = "lake"
"""Name of the scratch database, which is part of every relation's name."""

PROFILE = "phlo"
PROFILES_FILE = "profiles.yml"
ADAPTER = "phlo"
"""The adapter's name, which a profile gives as its ``type``."""

TRINO_ADAPTER = "phlo_trino"
"""The name of the adapter that works on Trino."""

_OWN_MACROS = Path(__file__).parent / "macros"
_VARIABLE_PREFIX = "DBT_ENV_"
_GENERATED = ("target", "logs", ".user.yml")


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
        """Return the workspace of a phlo project."""
        return cls(
            settings.workflows_dir / "transforms" / "dbt", DBT.path(settings.state_dir.resolve())
        )

    @property
    def exists(self) -> bool:
        """Whether the project has a dbt project at all."""
        return (self.source_dir / PROJECT_FILE).is_file()

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

    @property
    def fingerprint(self) -> str:
        """Changes whenever a parse could come out differently: files, versions, settings."""
        facts: list[Any] = [importlib.metadata.version(n) for n in ("phlo-dbt", "dbt-core")]
        facts += [self.options, sorted(_environment(self._read_variables()).items())]
        for folder in (self.source_dir, _OWN_MACROS):
            facts += sorted(_file_facts(folder))
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    @property
    def options(self) -> list[str]:
        """The options of every command by phlo's settings; they change what a parse gives."""
        variables = load_settings(DbtSettings).vars
        return [*self.target_option, *(vars_option(variables) if variables else [])]

    @property
    def target_option(self) -> list[str]:
        """The option that names the profile's target; none where the profile's default is meant."""
        target = load_settings(DbtSettings).target
        return ["--target", target] if target else []

    def record_variables(self, names: Iterable[str]) -> None:
        """Note which environment variables the project reads; one that changes costs a parse."""
        self._variables_file.write_text(json.dumps(sorted(names)))

    def _read_variables(self) -> list[str]:
        file = self._variables_file
        return json.loads(file.read_text()) if file.exists() else []

    @property
    def _variables_file(self) -> Path:
        return self.state_dir / "environment.json"

    @cached_property
    def profile(self) -> tuple[Path, str]:
        """Folder and name of the profile: the project's if it is one of phlo's, else phlo's own.

        Raises:
            ConfigurationError: ``dbt_project.yml`` is no YAML mapping.
        """
        name = _read_yaml(self.source_dir / PROJECT_FILE).get("profile") or PROFILE
        file = self.source_dir / PROFILES_FILE
        if file.is_file() and _is_of_phlo(_read_yaml(file).get(name)):
            return self.source_dir, name
        make_folder(self.state_dir)
        (self.state_dir / PROFILES_FILE).write_text(profile_text(PROFILE))
        return self.state_dir, PROFILE

    def arguments(self, *, target_dir: Path | None = None) -> list[str]:
        """Return dbt's options for the project's folders and profile.

        Args:
            target_dir: Where dbt leaves its artifacts; ``None``: in ``.phlo/dbt``.
        """
        return [
            *self.project_arguments,
            *("--target-path", str(target_dir or self.target_dir)),
            *("--no-version-check", "--no-send-anonymous-usage-stats"),
        ]

    @property
    def project_arguments(self) -> list[str]:
        """The options that every command of dbt takes which looks at a project."""
        folder, name = self.profile
        folders = ["--project-dir", str(self.source_dir), "--profiles-dir", str(folder)]
        return [*folders, "--profile", name, "--log-path", str(self.state_dir / "logs")]

    def lock(self) -> AbstractContextManager[None]:
        """Let one process at a time write the workspace."""
        return locked(self.state_dir / "lock")


def _environment(names: Iterable[str]) -> dict[str, str]:
    """Return the environment variables by which a parse may differ: dbt's, and those it read."""
    wanted = set(names)
    return {
        name: value
        for name, value in os.environ.items()
        if name in wanted or name.startswith(_VARIABLE_PREFIX)
    }


def _file_facts(folder: Path) -> Iterator[tuple[str, int, int]]:
    for path, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [f for f in folders if f not in _GENERATED and not f.startswith(".")]
        for name in files:
            stat = (Path(path) / name).stat()
            yield str(Path(path, name)), stat.st_mtime_ns, stat.st_size


def _is_of_phlo(profile: Any) -> bool:
    outputs = profile.get("outputs") if isinstance(profile, dict) else None
    targets = outputs.values() if isinstance(outputs, dict) else []
    types = [target.get("type") for target in targets if isinstance(target, dict)]
    return ADAPTER in types or TRINO_ADAPTER in types


def profile_text(name: str) -> str:
    """Return a ``profiles.yml`` whose one profile runs dbt on the project's own tables.

    Its target ``trino`` needs ``phlo-dbt[trino]`` and the settings of Trino.

    Example:
        >>> print(profile_text("shop"))
        shop:
          target: embedded
          outputs:
            embedded:
              type: phlo
              threads: 1
            trino:
              type: phlo_trino
              threads: 4
        <BLANKLINE>
    """
    outputs = {
        "embedded": {"type": ADAPTER, "threads": 1},
        "trino": {"type": TRINO_ADAPTER, "threads": 4},
    }
    profile = {name: {"target": "embedded", "outputs": outputs}}
    return yaml.safe_dump(profile, sort_keys=False)


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"{file} is not valid YAML: {exc}") from exc
    if not isinstance(content, dict):
        raise ConfigurationError(
            f"{file} is empty, or no mapping.",
            hint="Write at least `name:` and `version:` into it.",
        )
    return content
