"""The layout of ``.phlo``, the folder in which a project keeps its state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


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
BACKFILLS = StateFolder("backfills", "progress of backfills, for --resume")
DBT = StateFolder("dbt", "the parsed dbt project and the scratch databases of its runs")
POSTGRES = StateFolder("postgres", "the embedded PostgreSQL; its marts can be published anew")

STATE_FOLDERS = (CATALOG, WAREHOUSE, DAGSTER, STAGING, LOCKS, RUNS, BACKFILLS, DBT, POSTGRES)
"""Everything that phlo keeps in ``.phlo``."""
