"""The signals that end work: noted whoever handles them, and sent again where one was lost."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SECONDS_TO_INSIST = 1.5


class SignalWatch:
    """Notes the signals that end work.

    Dagster and others replace the handlers while they work, so the numbers are read from the
    socket that Python writes them to. A handler answers by an exception, which can be lost: Python
    drops one that is raised while it collects garbage, and some libraries catch every exception.

    Attributes:
        is_heeded: Whether the work that a signal was to end does end now.
    """

    def __init__(self, reader: socket.socket) -> None:
        self.is_heeded = False
        self._reader = reader
        self._first: int | None = None
        self._insists = 0

    @property
    def first(self) -> int | None:
        """The first signal that came, ``None`` where none did."""
        self.drain()
        return self._first

    @property
    def is_unheeded(self) -> bool:
        """Whether a signal came, and nothing has begun to end yet."""
        return self.first is not None and not self.is_heeded

    @contextmanager
    def insist(self) -> Iterator[None]:
        """Send a signal that came again and again, until it is heeded or the block ends."""
        self._insists += 1
        try:
            yield
        finally:
            self._insists -= 1

    def drain(self) -> bool:
        """Note what has come; return whether more can come."""
        try:
            numbers = self._reader.recv(4096)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if self._first is None:
            self._first = next((number for number in numbers if number in _ENDING), None)
        return bool(numbers)

    def listen(self) -> None:
        """Note signals, and insist on them, until the watch ends."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._reader, selectors.EVENT_READ)
            more = True
            while more:
                if selector.select(_SECONDS_TO_INSIST):
                    more = self.drain()
                elif self._first and self._insists and not self.is_heeded:
                    os.kill(os.getpid(), self._first)


_watch: SignalWatch | None = None


def _forget_watch() -> None:
    """Forget the socket in a forked child, which would tell its own signals as its parent's."""
    global _watch
    if _watch is not None:
        _watch = None
        signal.set_wakeup_fd(-1)


os.register_at_fork(after_in_child=_forget_watch)


@contextmanager
def watch_signals() -> Iterator[SignalWatch | None]:
    """Note the signals that this process gets; within another watch, return that one.

    Yields:
        The watch; ``None`` outside of the main thread, which alone gets signals.
    """
    if _watch is not None or threading.current_thread() is not threading.main_thread():
        yield _watch
        return
    reader, writer = socket.socketpair()
    with reader, writer, _current(reader) as watch, _quiet_loss():
        reader.setblocking(False)
        writer.setblocking(False)
        listener = threading.Thread(target=watch.listen, daemon=True)
        listener.start()
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield watch
        finally:
            signal.set_wakeup_fd(before)
            writer.shutdown(socket.SHUT_RDWR)
            listener.join()


@contextmanager
def _current(reader: socket.socket) -> Iterator[SignalWatch]:
    global _watch
    _watch = SignalWatch(reader)
    try:
        yield _watch
    finally:
        _watch = None


@contextmanager
def _quiet_loss() -> Iterator[None]:
    """Print no traceback of an interrupt that Python drops: the signal is sent again."""
    before = sys.unraisablehook

    def tell(unraisable: sys.UnraisableHookArgs) -> None:
        if unraisable.exc_value is None or isinstance(unraisable.exc_value, Exception):
            before(unraisable)

    sys.unraisablehook = tell
    try:
        yield
    finally:
        sys.unraisablehook = before


@contextmanager
def insist_on_signals() -> Iterator[None]:
    """Send a signal again and again where the exception that it raised was lost in the block."""
    with watch_signals() as watch:
        if watch is None:
            yield
        else:
            with watch.insist():
                yield


def heed_signals() -> None:
    """Say that the work which a signal was to end does end now; without a signal, do nothing."""
    if _watch is not None and _watch.first is not None:
        _watch.is_heeded = True


def did_signal_come() -> bool:
    """Return whether a signal came since this process, or its run, began."""
    return _watch is not None and _watch.first is not None


def is_signal_lost() -> bool:
    """Return whether a signal came and the work that it was to end goes on."""
    return _watch is not None and _watch.is_unheeded
