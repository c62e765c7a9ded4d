"""File locks that the system frees when their process ends, however it ends."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock.

    Args:
        path: A file for the lock alone; it is made where it is missing, and stays.
        wait: Wait until the lock is free.

    Raises:
        BlockingIOError: Somebody else holds it, and ``wait`` is false.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def write_whole(path: Path, text: str) -> None:
    """Write a file so that no reader, and no kill, ever sees half of it.

    Only one process may write it at a time.
    """
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text)
    draft.replace(path)
