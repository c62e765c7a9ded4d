"""A limit on the time that work may take."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from phlo.errors import LoadTimeoutError
from phlo.interrupts import OutOfTimeError, run_interruptible

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Deadline:
    """A moment after which work is given up.

    Work runs in a thread of its own, so that a source that hangs cannot hold the run, however the
    run was started. Whatever work that was given up still does is not used: publishing is never
    part of it.

    Args:
        seconds: Time for all work run with this deadline.
        what: What is limited, for the message.
    """

    def __init__(self, seconds: float, what: str) -> None:
        self._seconds, self._what = seconds, what
        self._ends_at = time.monotonic() + seconds

    def run(self, work: Callable[[], T]) -> T:
        """Return the result of ``work``; raise its error, if it raises.

        Raises:
            LoadTimeoutError: The time is over.
        """
        seconds_left = max(0.0, self._ends_at - time.monotonic())
        try:
            return run_interruptible(work, timeout_seconds=seconds_left)
        except OutOfTimeError:
            raise self._too_late() from None

    def _too_late(self) -> LoadTimeoutError:
        return LoadTimeoutError(
            f"{self._what} took longer than {self._seconds:g} seconds; nothing was published.",
            hint="Raise max_runtime_seconds in @phlo_ingestion, or load less at a time.",
            seconds=self._seconds,
        )
