"""A limit on the time that work may take."""

from __future__ import annotations

import contextvars
import ctypes
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from phlo.errors import LoadTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class _StoppedError(BaseException):
    """Raised inside work that is out of time; nothing of it is used."""


class Deadline:
    """A moment after which work is given up.

    Work runs in a thread of its own, so that a source that hangs cannot hold the run, however the
    run was started. Work out of time is told to stop at its next step of Python; one that waits in
    the operating system is left behind, and ends with the process. Whatever it still does is not
    used: publishing is never part of such work.

    Args:
        seconds: Time for all work run with this deadline.
        what: What is limited, for the message.
    """

    def __init__(self, seconds: float, what: str) -> None:
        self._seconds, self._what = seconds, what
        self._ends_at = time.monotonic() + seconds

    def run(self, work: Callable[[], T]) -> T:
        """The result of ``work``; its error, if it raises.

        Raises:
            LoadTimeoutError: The time is over.
        """
        outcome: list[tuple[T | None, BaseException | None]] = []
        context = contextvars.copy_context()

        def call() -> None:
            try:
                outcome.append((context.run(work), None))
            except BaseException as exc:  # noqa: BLE001 - handed to the caller's thread
                outcome.append((None, exc))

        thread = threading.Thread(target=call, name=self._what, daemon=True)
        thread.start()
        try:
            thread.join(max(0.0, self._ends_at - time.monotonic()))
        finally:
            if thread.is_alive():
                _stop(thread)
        if not outcome:
            raise self._too_late()
        result, error = outcome[0]
        if error is not None:
            raise error
        return result  # pyright: ignore[reportReturnType] - there is no error, so this is T

    def _too_late(self) -> LoadTimeoutError:
        return LoadTimeoutError(
            f"{self._what} took longer than {self._seconds:g} seconds; nothing was published.",
            hint="Raise max_runtime_seconds in @phlo_ingestion, or load less at a time.",
            seconds=self._seconds,
        )


def _stop(thread: threading.Thread) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_StoppedError)
    )
