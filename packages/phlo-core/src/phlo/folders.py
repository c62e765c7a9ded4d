"""The layout of ``.phlo``, where a project keeps its state, and a walk through folders."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

STATE_DIR = ".phlo"
ENV_FILE = ".env"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class StateFolder:
    """One entry of ``.phlo``.

    Attributes:
        name: File or folder in ``.phlo``.
        holds: What it holds, for people.
        is_disposable: Whether phlo makes it anew when it is gone; the others need a backup.
    """

    name: str
    holds: str
    is_disposable: bool = True

    def path(self, state_dir: Path) -> Path:
        """Return its path in a project's ``.phlo``."""
        return state_dir / self.name


CATALOG = StateFolder("catalog.db", "the embedded Iceberg catalog", is_disposable=False)
WAREHOUSE = StateFolder("warehouse", "data and metadata of all tables", is_disposable=False)
DAGSTER = StateFolder("dagster", "Dagster's run history and schedules")
STAGING = StateFolder("staging", "what loads extracted, by run and attempt")
LOCKS = StateFolder("locks", "locks of loads that go on from one source cursor")
RUNS = StateFolder("runs", "locks of the runs that this machine is executing")
DEV = StateFolder("dev", "address of the `phlo dev` that runs, and its lock beside it")
BACKFILLS = StateFolder("backfills", "progress of backfills, for --resume")
DBT = StateFolder("dbt", "the parsed dbt project and the scratch databases of its runs")
SPILL = StateFolder("spill", "what running queries spilled to disk, by process id")
PROJECT_INDEX = StateFolder("project.json", "what the project declares, for `phlo status`")
POSTGRES = StateFolder("postgres", "the embedded PostgreSQL; its marts can be published anew")
PLANS = StateFolder("plans", "what `phlo plan` found, until it is applied")
ALERTS = StateFolder("alerts.json", "which alerts were sent, and which wait")
REPORT = StateFolder("report.html", "the page that `phlo report` wrote last")
BRANCHES = StateFolder("branches", "run history and staging of each branch, by its name")

UNDONE_RUNS = StateFolder("undone.json", "runs undone on a branch, until it is published")

STATE_FOLDERS = (
    CATALOG,
    WAREHOUSE,
    DAGSTER,
    STAGING,
    LOCKS,
    RUNS,
    DEV,
    BACKFILLS,
    DBT,
    SPILL,
    PROJECT_INDEX,
    POSTGRES,
    PLANS,
    ALERTS,
    REPORT,
    BRANCHES,
    UNDONE_RUNS,
)
"""Everything that phlo keeps in ``.phlo``."""


def make_folder(folder: Path) -> Path:
    """Make a folder and its parents where they are missing, ``.phlo`` for its owner alone.

    What is in ``.phlo`` (rows of failed loads, quarantine, run history) is closed to others by the
    mode of ``.phlo`` itself.

    Returns:
        The folder.
    """
    state_dir = next((f for f in (folder, *folder.parents) if f.name == STATE_DIR), None)
    if state_dir is not None:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def find_exposed_paths(lake_dir: Path, project_dir: Path) -> list[Path]:
    """Return which of ``.phlo`` and ``.env`` users other than their owner may open.

    Always none on systems without POSIX modes.
    """
    private = (lake_dir, project_dir / ENV_FILE)
    return [p for p in private if os.name == "posix" and p.exists() and p.stat().st_mode & _OTHERS]


def close_to_others(path: Path) -> None:
    """Take all rights on a file or folder from users other than its owner."""
    path.chmod(stat.S_IMODE(path.stat().st_mode) & ~_OTHERS)


def walk_folders(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Walk a folder as ``os.walk`` does, and folders that are linked in it.

    A link to a folder above would lead around for ever, and is left out.
    """
    for place, subfolders, names in os.walk(folder, followlinks=True):
        here = Path(place)
        above = {one.resolve() for one in (here, *here.parents)}
        subfolders[:] = [name for name in subfolders if (here / name).resolve() not in above]
        yield here, subfolders, names
