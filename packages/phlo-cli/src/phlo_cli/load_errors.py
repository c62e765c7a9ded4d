"""Errors that plugins log while a project is loaded, which goes on without what they are about."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from phlo.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

_shown: set[str] = set()
"""Errors that this process has shown: a project may be loaded several times."""


@contextmanager
def collected_errors(*, is_shown: bool = True) -> Iterator[list[str]]:
    """Collect the errors logged in the block, each once.

    Args:
        is_shown: Whether they are printed on standard error too, once per process.
    """
    collector, root = _Collector(is_shown=is_shown), logging.getLogger()
    handlers = list(root.handlers)
    for handler in handlers:
        handler.addFilter(_is_no_error)
    root.addHandler(collector)
    try:
        yield collector.messages
    finally:
        root.removeHandler(collector)
        for handler in handlers:
            handler.removeFilter(_is_no_error)


def _is_no_error(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR


class _Collector(logging.Handler):
    def __init__(self, *, is_shown: bool) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []
        self._is_shown = is_shown

    def emit(self, record: logging.LogRecord) -> None:
        text = redact(record.getMessage())
        if text not in self.messages:
            self.messages.append(text)
        if self._is_shown and text not in _shown:
            _shown.add(text)
            click.echo(text, err=True)
