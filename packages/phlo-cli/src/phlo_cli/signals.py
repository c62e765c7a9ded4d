"""Signals that end a command: told apart, so that its exit code names the one that came."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from phlo.signal_watch import watch_signals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def watch_ending_signals() -> Iterator[Callable[[], int | None]]:
    """Note the signals that this process gets; SIGTERM and a closed terminal end it as Ctrl-C does.

    Yields:
        A function that returns the first signal that ends commands, ``None`` where none came.
    """
    with watch_signals() as watch:
        if watch is None:
            yield lambda: None
            return
        with _ending_signals():
            yield lambda: watch.first


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
