"""Runs whose extracted rows are still kept, by the beginning of their ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.errors import ReplayError

if TYPE_CHECKING:
    from pathlib import Path

    from phlo.config import Settings


def find_staged_run(settings: Settings, run_id: str) -> Path:
    """Find the folder of what a run extracted; its name is the run's id.

    Args:
        settings: Say where the folders are.
        run_id: The run's id, or how it begins.

    Raises:
        ReplayError: No run that kept rows has such an id, or several have.
    """
    runs = sorted(f for f in settings.staging_dir.glob("*") if f.is_dir())
    matching = [f for f in runs if run_id and f.name.startswith(run_id)]
    if len(matching) == 1:
        return matching[0]
    runs_text = f"{len(matching)} runs whose ids begin" if matching else "No run whose id begins"
    raise ReplayError(
        f"{runs_text} with {run_id!r} {'have' if matching else 'has'} kept rows.",
        got=repr(run_id),
        expected=", ".join(f.name for f in (matching or runs)[-5:]) or "a run that failed",
        hint=f"Rows of failed runs are kept for {settings.staging_keep_days} days "
        "(PHLO_STAGING_KEEP_DAYS). Without --from-staged the source is asked again.",
    )
