"""Make and remove the folders of loads; an OS file lock holds each while its load runs."""

from __future__ import annotations

import logging
import shutil
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from phlo.folders import make_folder
from phlo.locks import locked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from phlo.config import Settings

logger = logging.getLogger(__name__)
_LOCK = ".lock"
_MOST_LOADS = 100
"""Loads of one run that may end while another one begins, more than there ever are."""


@contextmanager
def staging_folder(settings: Settings, run_id: str, asset: str, attempt: int) -> Iterator[Path]:
    """Make the folder of one attempt, and remove it when the load succeeds.

    Folders of loads that failed are kept ``staging_keep_days`` days for replay; those of loads
    that run are never touched, since they hold their lock.
    """
    remove_old(settings)
    folder = settings.staging_dir / run_id / f"{asset}-{attempt}"
    _make(folder)
    with locked(folder / _LOCK):
        yield folder
        remove(folder)


def _make(folder: Path) -> Path:
    """Make the folder; another load that ends may take the run's folder away meanwhile."""
    for _ in range(_MOST_LOADS):
        with suppress(FileNotFoundError):
            return make_folder(folder)
    return make_folder(folder)


def remove_old(settings: Settings) -> None:
    """Remove unlocked folders that are older than ``staging_keep_days``."""
    oldest = time.time() - settings.staging_keep_days * 86_400
    for run in _folders(settings.staging_dir):
        for folder in _folders(run):
            with suppress(FileNotFoundError):  # its load has ended meanwhile
                if folder.stat().st_mtime < oldest:
                    _remove_unlocked(folder)


def _folders(parent: Path) -> list[Path]:
    try:
        return [path for path in parent.iterdir() if path.is_dir()]
    except FileNotFoundError:
        return []


def _remove_unlocked(folder: Path) -> None:
    try:
        with held(folder):
            remove(folder)
    except BlockingIOError:
        logger.info("%s is in use; it is left alone.", folder)


def held(folder: Path) -> AbstractContextManager[None]:
    """Hold a staging folder; raises ``BlockingIOError`` while a load runs there."""
    return locked(folder / _LOCK, timeout_seconds=0)


def remove(folder: Path) -> None:
    """Remove a staging folder, and the folder of its run when it is empty."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # other loads of the run have a folder in it, or removed it
        folder.parent.rmdir()
