"""Signals that end a command: told apart, so that its exit code names the one that came."""

from __future__ import annotations

import signal
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def watch_signals() -> Iterator[Callable[[], int | None]]:
    """Note the signals that this process gets, whoever handles them.

    Dagster and others replace the handlers while they work, so the numbers are read from the
    socket that Python writes them to. SIGTERM and a closed terminal end a command as Ctrl-C does.

    Yields:
        A function that returns the first signal that ends commands, ``None`` where none came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    reader, writer = socket.socketpair()
    with reader, writer, _ending_signals():
        reader.setblocking(False)
        writer.setblocking(False)
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield lambda: _first(reader)
        finally:
            signal.set_wakeup_fd(before)


@contextmanager
def _ending_signals() -> Iterator[None]:
    """Let SIGTERM raise ``KeyboardInterrupt``, and SIGHUP too unless it is ignored (nohup)."""
    handlers: dict[signal.Signals, Callable[..., None]] = {
        signal.SIGTERM: signal.default_int_handler
    }
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        handlers[signal.SIGHUP] = lambda *_: signal.raise_signal(signal.SIGTERM)
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _first(reader: socket.socket) -> int | None:
    try:
        numbers = reader.recv(4096)
    except BlockingIOError:
        return None
    return next((number for number in numbers if number in _ENDING), None)
