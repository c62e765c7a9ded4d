"""Taking back what a run published: the plan of it, and the stores that can."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phlo.names import TableName

UNDONE_RUNS_ENTRY = "phlo.undone-runs"
"""Entry of the summary of a snapshot that takes runs back: their ids, separated by commas."""

UNDONE_TAG = "phlo/undone"
"""Tag of a run of Dagster's that was undone: what it made counts as never made."""


def undone_runs(summary: Mapping[str, str]) -> list[str]:
    """Return the ids of the runs that a snapshot took back; none for other snapshots.

    >>> undone_runs({"phlo.undone-runs": "a,b"})
    ['a', 'b']
    """
    return [run for run in summary.get(UNDONE_RUNS_ENTRY, "").split(",") if run]


@dataclass(frozen=True, slots=True)
class UndoneTable:
    """What an undo does to one table.

    Attributes:
        table: The table.
        action: ``restored`` to what it was before the runs, or ``dropped``: they made it.
        snapshot_id: Its snapshot before the undo.
        restored_snapshot_id: The snapshot whose state it gets; ``None``: without rows.
        runs: Ids of the runs that are taken back from it, newest first.
        rows_before: Its rows before the undo.
        rows_after: Its rows after it.
    """

    table: TableName
    action: Literal["restored", "dropped"]
    snapshot_id: int | None
    restored_snapshot_id: int | None
    runs: tuple[str, ...]
    rows_before: int
    rows_after: int


@dataclass(frozen=True, slots=True)
class Undo:
    """What an undo of a run does.

    Attributes:
        run_id: The run.
        tables: What becomes of each table, sorted by name.
        later_runs: Ids of runs that wrote the same tables later, and of snapshots of other
            writers; they are taken back too, or the undo is refused.
        obstacles: Why it cannot be done; empty where it can.
    """

    run_id: str
    tables: tuple[UndoneTable, ...]
    later_runs: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()


@runtime_checkable
class UndoesRuns(Protocol):
    """A table store that can take back what a run published."""

    def plan_undo(self, run_id: str) -> Undo:
        """Find out what an undo of a run, and of the later ones that stand on it, would do.

        Args:
            run_id: The run's id, or how it begins.

        Raises:
            RunNotFoundError: No table holds anything of such a run, or several runs begin so.
        """
        ...

    def undo(self, run_id: str, *, with_later: bool = False) -> Undo:
        """Return every table that a run published to what it was, all or none.

        Args:
            run_id: The run's id, or how it begins.
            with_later: Whether later runs on the same tables are taken back as well.

        Raises:
            RunNotFoundError: No table holds anything of such a run, or several runs begin so.
            UndoError: It cannot be done, or later runs stand on it and may not be taken back.
            UnknownCommitError: The catalog did not answer; every file stays.
        """
        ...
