"""Keep what a project declares in ``.phlo/project.json``, so that looking need not import its code.

Every command that loads the project writes the index. It is current while no file of the project,
no ``PHLO_*`` variable and no plugin changed; a file that the code reads from elsewhere is not seen.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from phlo.folders import PROJECT_INDEX, make_folder, walk_folders
from phlo.locks import write_whole
from phlo.plugins import ENTRY_POINT_GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagster import RepositoryDefinition, TimeWindowPartitionsDefinition
    from phlo.config import Settings
    from phlo.project import Project
    from phlo.values import TableAsset

    from phlo_cli.dagster_private import AssetNode

_GENERATED = {"__pycache__", "target", "logs"}
_FORMAT = 4


@dataclass(frozen=True)
class IndexedWindows:
    """Partitions that are windows of time.

    Attributes:
        cron_schedule: When a window ends and the next one begins.
        timezone: The schedule's time zone.
        fmt: How keys are written, as in ``strftime``.
        start: When the first one begins, as text.
        end: When the last one has ended, as text; ``None`` without an end.
        end_offset: How many windows count that have not ended yet.
        exclusions: Windows that are left out: schedules, or moments as text.
    """

    cron_schedule: str
    timezone: str
    fmt: str
    start: str
    end: str | None = None
    end_offset: int = 0
    exclusions: tuple[str, ...] = ()

    def definition(self) -> TimeWindowPartitionsDefinition:
        """Build Dagster's definition of them."""
        from dagster import TimeWindowPartitionsDefinition

        return TimeWindowPartitionsDefinition(
            start=datetime.fromisoformat(self.start),
            fmt=self.fmt,
            end=datetime.fromisoformat(self.end) if self.end else None,
            cron_schedule=self.cron_schedule,
            timezone=self.timezone,
            end_offset=self.end_offset,
            exclusions=[_moment_or_cron(text) for text in self.exclusions] or None,
        )


def _moment_or_cron(text: str) -> datetime | str:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text


@dataclass(frozen=True)
class IndexedAsset:
    """One asset that can be made.

    Attributes:
        key: The asset's key, as text.
        table: The table it makes, if it makes one.
        names: Names of the functions or models that make it.
        group: Its group.
        checks: Names of its checks.
        parents: Keys of the assets that it is made of.
        warn_seconds: Age after which it is late; ``None`` without such a limit.
        fail_seconds: Age after which it is stale; ``None`` without a freshness policy.
        partitions: Its partitions, if they are windows of time.
        sensitive: Columns of its table whose values are masked.
        unique_key: Columns of its table that are unique together.
    """

    key: str
    table: str | None
    names: tuple[str, ...]
    group: str
    checks: tuple[str, ...]
    parents: tuple[str, ...] = ()
    warn_seconds: float | None = None
    fail_seconds: float | None = None
    partitions: IndexedWindows | None = None
    sensitive: tuple[str, ...] = ()
    unique_key: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProjectIndex:
    """What a project declares.

    Attributes:
        fingerprint: Hash of the files, variables and plugins that it was read from.
        imported_files: Files outside of ``workflows/`` that its code imported, with absolute path.
        read_at: When the project was loaded, in UTC, as text.
        assets: By group and key.
        jobs: Names of its jobs.
    """

    fingerprint: str
    imported_files: tuple[str, ...]
    read_at: str
    assets: tuple[IndexedAsset, ...]
    jobs: tuple[str, ...]

    def is_current(self, settings: Settings) -> bool:
        """Return whether the project is as it was when this was read."""
        return self.fingerprint == fingerprint(settings, self.imported_files)


def load_index(settings: Settings) -> ProjectIndex | None:
    """Load the index that was saved last; ``None`` where there is none that can be read."""
    try:
        stored = json.loads(PROJECT_INDEX.path(settings.state_dir).read_text())
        if stored.pop("format") != _FORMAT:
            return None
        assets = tuple(map(_loaded_asset, stored.pop("assets")))
        return ProjectIndex(**_tupled(stored), assets=assets)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _loaded_asset(stored: dict[str, Any]) -> IndexedAsset:
    windows = stored.pop("partitions")
    partitions = IndexedWindows(**_tupled(windows)) if windows else None
    return IndexedAsset(**_tupled(stored), partitions=partitions)


def save_index(
    project: Project, repository: RepositoryDefinition, *, is_whole: bool = True
) -> None:
    """Save what a loaded project declares, where that changed.

    Args:
        project: The project.
        repository: What Dagster made of it.
        is_whole: Whether nothing of it was left out; else the index is never current, so that the
            next command tells again what is wrong.
    """
    settings = project.settings
    index, stored = index_of(project, repository), load_index(settings)
    if not is_whole:
        index = replace(index, fingerprint="")
    if stored is None or stored.fingerprint != index.fingerprint:
        path = PROJECT_INDEX.path(settings.state_dir)
        make_folder(path.parent)
        write_whole(path, json.dumps(asdict(index) | {"format": _FORMAT}, indent=1))


def index_of(project: Project, repository: RepositoryDefinition) -> ProjectIndex:
    """Describe a loaded project."""
    graph, files = repository.asset_graph, tuple(sorted(_imported_files(project.settings)))
    keys = sorted(graph.materializable_asset_keys, key=lambda k: (graph.get(k).group_name, k.path))
    tables = {"/".join(asset.asset_key): asset for asset in project.tables.values()}
    return ProjectIndex(
        fingerprint=fingerprint(project.settings, files),
        imported_files=files,
        read_at=datetime.now(UTC).isoformat(timespec="seconds"),
        assets=tuple(_indexed(graph.get(k), tables.get(k.to_user_string())) for k in keys),
        jobs=tuple(sorted(repository.job_names)),
    )


def _indexed(node: AssetNode, made: TableAsset | None) -> IndexedAsset:
    from phlo_cli.dagster_private import freshness_seconds

    warn_seconds, fail_seconds = freshness_seconds(node.freshness_policy)
    return IndexedAsset(
        key=node.key.to_user_string(),
        table=str(made.table) if made else None,
        names=tuple(made.names) if made else (),
        group=node.group_name,
        checks=tuple(sorted(check.name for check in node.check_keys)),
        parents=tuple(sorted(key.to_user_string() for key in node.parent_keys)),
        warn_seconds=warn_seconds,
        fail_seconds=fail_seconds,
        partitions=_windows_of(node.partitions_def),
        sensitive=tuple(made.sensitive) if made else (),
        unique_key=tuple(made.key) if made else (),
    )


def _windows_of(definition: object) -> IndexedWindows | None:
    from dagster import TimeWindowPartitionsDefinition

    if not isinstance(definition, TimeWindowPartitionsDefinition):
        return None
    return IndexedWindows(
        cron_schedule=definition.cron_schedule,
        timezone=definition.timezone,
        fmt=definition.fmt,
        start=definition.start.isoformat(),
        end=definition.end.isoformat() if definition.end else None,
        end_offset=definition.end_offset,
        exclusions=tuple(map(_exclusion_text, definition.exclusions or ())),
    )


def _exclusion_text(exclusion: Any) -> str:
    if isinstance(exclusion, str):
        return exclusion
    return datetime.fromtimestamp(exclusion.timestamp, ZoneInfo(exclusion.timezone)).isoformat()


def fingerprint(settings: Settings, imported_files: tuple[str, ...] = ()) -> str:
    """Hash everything that decides what a project declares."""
    digest = hashlib.sha256(sys.version.encode())
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda e: e.name):
        digest.update(f"{entry.name} {entry.dist.version if entry.dist else ''}\0".encode())
    for name, value in sorted(os.environ.items()):
        if name.startswith("PHLO_") and name != "PHLO_PROJECT_DIR":
            digest.update(f"{name}={value}\0".encode())
    for file in (*sorted(_project_files(settings)), *map(Path, imported_files)):
        content = file.read_bytes() if file.is_file() else b""
        digest.update(f"{file}\0{hashlib.sha256(content).hexdigest()}\0".encode())
    return digest.hexdigest()


def _project_files(settings: Settings) -> Iterator[Path]:
    """Yield the files under ``workflows/`` and those beside it, without what is generated."""
    for folder, subfolders, names in walk_folders(settings.workflows_dir):
        subfolders[:] = [n for n in subfolders if n not in _GENERATED and not n.startswith(".")]
        yield from (folder / name for name in names)
    yield from (p for p in settings.project_dir.iterdir() if p.is_file())


def _imported_files(settings: Settings) -> set[str]:
    """Return the files of imported modules that are neither installed nor under ``workflows/``."""
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    inside = str(settings.project_dir)
    return {
        file
        for file in files
        if isinstance(file, str)
        and file.startswith(inside)
        and "site-packages" not in file
        and not file.startswith(str(settings.workflows_dir))
    }


def _tupled(values: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
