"""Ctrl-C and SIGTERM: work that ends when it is told to, and sections that end whole."""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import ctypes
import os
import signal
import sys
import threading
import time
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, Protocol, TypeVar

from phlo.signal_watch import heed_signals, insist_on_signals, is_signal_lost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SECONDS_TO_CLEAN_UP = 1.0
_SECONDS_BETWEEN_INTERRUPTS = 0.1
_SECONDS_TO_LEAVE = 2.0


class StoppedError(KeyboardInterrupt):
    """Raised inside work whose caller gave it up; nothing of it is used.

    Libraries take it for a Ctrl-C, and cancel what they wait for.
    """


class OutOfTimeError(Exception):
    """Work took longer than its caller waits."""


class Interruptible(Protocol):
    """Runs what another thread can interrupt, as a connection to a database does."""

    def interrupt(self) -> object:
        """End what runs now; where nothing runs, do nothing."""
        ...


class _Work:
    """Work in a thread of its own: ``lock`` is held while it must not be stopped.

    Whether it has ended is told by ``ended``: a thread whose ``join`` a signal interrupts counts as
    ended in Python 3.11, though it runs on.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.is_stopped = False
        self.ended = threading.Event()
        self.connections: weakref.WeakSet[Interruptible] = weakref.WeakSet()


_work_of_thread: contextvars.ContextVar[_Work | None] = contextvars.ContextVar("work", default=None)


def run_interruptible(
    work: Callable[[], T],
    *,
    stop: Callable[[], object] = lambda: None,
    timeout_seconds: float | None = None,
) -> T:
    """Run ``work`` in a thread of its own, so that a signal ends the wait for it at once.

    A query, a download or a commit that waits inside a C library does not see signals; the thread
    that waits here does. Given up, work is told to stop at its next step of Python. What waits in
    the operating system is left behind, and ends with the process at the latest.

    Args:
        work: What to run; sections under :func:`uninterrupted` are waited for.
        stop: Called when work is given up, to free it from a C library; its errors are ignored.
        timeout_seconds: How long to wait; ``None`` waits as long as it takes.

    Returns:
        What ``work`` returns; its error is raised.

    Raises:
        OutOfTimeError: The time is over.
    """
    if timeout_seconds is None and threading.current_thread() is not threading.main_thread():
        return work()  # signals reach the main thread alone, which waits for this one
    outcome: list[tuple[T | None, BaseException | None]] = []
    state, context = _Work(), contextvars.copy_context()

    def call() -> None:
        try:
            context.run(_work_of_thread.set, state)
            outcome.append((context.run(work), None))
        except BaseException as exc:  # noqa: BLE001 - handed to the caller's thread
            outcome.append((None, exc))
        finally:
            state.ended.set()

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    try:
        state.ended.wait(timeout_seconds)
    except BaseException:
        heed_signals()
        _give_up(thread, state, stop)
        _leave_no_process_behind()
        raise
    if not outcome:
        _give_up(thread, state, stop)
        raise OutOfTimeError
    result, error = outcome[0]
    if error is not None:
        raise error
    return result  # pyright: ignore[reportReturnType] - there is no error, so this is T


def interrupt_with_work(connection: Interruptible) -> None:
    """Interrupt what ``connection`` runs as soon as the work of this thread is given up.

    Outside of :func:`run_interruptible` this does nothing.
    """
    if (work := _work_of_thread.get()) is not None:
        work.connections.add(connection)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let the block end whole: a signal that comes meanwhile is raised after it.

    Raises:
        StoppedError: The caller gave up this work before the block began.
    """
    work = _work_of_thread.get()
    if threading.current_thread() is threading.main_thread():
        with _deferred_signals():
            yield
    elif work is None:
        yield
    else:
        with work.lock:
            if work.is_stopped:
                raise StoppedError
            yield


@contextmanager
def interrupts_as_keyboard_interrupt(stop: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Raise ``KeyboardInterrupt`` on a signal, for libraries that clean up on that alone.

    A library that swallows it is interrupted again, until the block ends; a block that ends
    without it raises it at its end.

    Args:
        stop: Called before, to free threads that the library waits for.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        stop()
        signal.default_int_handler(number, frame)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with insist_on_signals(), _handlers(interrupt):
        yield
        _raise_lost_signal()


def _raise_lost_signal() -> None:
    if is_signal_lost():
        heed_signals()
        raise StoppedError


_sections = 0


@contextmanager
def _deferred_signals() -> Iterator[None]:
    """Keep signals until the outermost block ends; none begins after a signal that was lost."""
    global _sections
    if not _sections:
        _raise_lost_signal()
    received: list[int] = []
    _sections += 1
    try:
        with _handlers(lambda number, _frame: received.append(number)):
            yield
    finally:
        _sections -= 1
        if received:
            signal.raise_signal(received[0])


@contextmanager
def _handlers(handler: Callable[..., object]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, signal.SIG_DFL if previous is None else previous)


def _give_up(thread: threading.Thread, work: _Work, stop: Callable[[], object]) -> None:
    """Tell work to stop, after the section that must end whole, and let it clean up shortly."""
    with work.lock:
        work.is_stopped = True
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(StoppedError)
        )
    with contextlib.suppress(Exception):
        stop()
    _interrupt(work)


def _interrupt(work: _Work) -> None:
    """Interrupt the connections of work until it ends or has had time to clean up.

    A query that is about to begin does not see an interrupt, so one is not enough.
    """
    ends = time.monotonic() + _SECONDS_TO_CLEAN_UP
    while not work.ended.is_set() and time.monotonic() < ends:
        for connection in list(work.connections):
            with contextlib.suppress(Exception):
                connection.interrupt()
        work.ended.wait(_SECONDS_BETWEEN_INTERRUPTS)


def _leave_no_process_behind() -> None:
    """End this process soon after its main thread, whatever threads of a source still wait."""

    def leave() -> None:
        threading.main_thread().join()
        time.sleep(_SECONDS_TO_LEAVE)
        leave_now(1)

    threading.Thread(target=leave, daemon=True).start()


def leave_now(code: int) -> NoReturn:
    """End this process with ``code``, though threads still wait.

    What libraries registered for the end of a process may wait for such a thread in turn, as
    DuckDB does for a query that runs. It has two seconds.
    """
    at_exit = threading.Thread(target=atexit._run_exitfuncs, daemon=True)  # noqa: SLF001 - no public name
    # From 3.12 on Python starts no thread once its main thread has ended.
    with contextlib.suppress(RuntimeError):
        at_exit.start()
        at_exit.join(_SECONDS_TO_LEAVE)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
