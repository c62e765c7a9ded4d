"""File locks that the system frees when their process ends, however it ends."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from phlo.folders import make_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def locked(path: Path, *, timeout_seconds: float | None = None) -> Iterator[None]:
    """Hold a lock; wait until it is free.

    Args:
        path: A file for the lock alone; it is made where it is missing, and stays.
        timeout_seconds: How long to wait; 0 does not wait, ``None`` waits as long as it takes.

    Raises:
        BlockingIOError: Another process still holds it after that time.
    """
    make_folder(path.parent)
    lock = FileLock(path, timeout=-1 if timeout_seconds is None else timeout_seconds)
    try:
        lock.acquire()
    except Timeout as exc:
        raise BlockingIOError(f"{path} is locked by another process.") from exc
    try:
        yield
    finally:
        lock.release()


def write_whole(path: Path, text: str) -> None:
    """Write a file so that no reader, and no kill, ever sees half of it.

    Only one process may write it at a time.
    """
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text)
    draft.replace(path)
