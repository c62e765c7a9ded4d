"""The session of the dbt run in progress, which dbt's adapter and plugin look up here."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_sessions: list[Any] = []


@contextmanager
def session_in_progress(session: Any) -> Iterator[None]:
    """Make a session the one that dbt's adapter finds; dbt runs once at a time per process."""
    _sessions.append(session)
    try:
        yield
    finally:
        _sessions.remove(session)
        session.close()


def current_session() -> Any:
    """Return the :class:`~phlo_dbt.session.DbtSession` of the run in progress, or ``None``."""
    return _sessions[-1] if _sessions else None


def interrupt_current_session() -> None:
    """End the queries of the dbt run in progress, if there is one."""
    for session in _sessions:
        session.interrupt()
