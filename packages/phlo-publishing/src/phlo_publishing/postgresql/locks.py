"""Wait for locks without standing in the way of readers.

A reader that comes while PostgreSQL waits for an ACCESS EXCLUSIVE lock queues behind that wait. So
phlo waits for a tenth of a second at most, lets go of all locks, and tries again a little later.
"""

from __future__ import annotations

import itertools
import random
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from phlo.errors import ServiceError
from phlo.sql import Sql
from psycopg import errors

from phlo_publishing.postgresql.relations import rows, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg import Connection

    from phlo_publishing.postgresql.relations import Relation

_WAITS_SECONDS = (0.01, 0.03, 0.1)
"""How long the first, the second and every later attempt waits for all its locks together."""

_LONGEST_PAUSE_SECONDS = 0.5
_NOTICE_SECONDS = 5.0
_POLL_SECONDS = 0.2


@dataclass
class Patience:
    """Bounds how long a publish waits in all, and tells whom it waits for.

    Attributes:
        seconds: Seconds to wait at most.
        log: Gets a line when the wait begins to be long, and every few seconds after.
        started_at: When the wait began, by ``time.monotonic``.
    """

    seconds: float
    log: Callable[[str], None]
    started_at: float = field(default_factory=time.monotonic)
    _told_at: float | None = None

    def anew(self) -> Patience:
        """Return as much patience, for a wait that begins now: work in between is no wait."""
        return replace(self, started_at=time.monotonic(), _told_at=None)

    def check(self, waiting_for: Callable[[], str], hint: str) -> None:
        """Log what is waited for, now and then.

        Raises:
            ServiceError: The time is up.
        """
        waited = time.monotonic() - self.started_at
        if waited >= self.seconds:
            raise ServiceError(f"{waiting_for()} for {self.seconds:g} s.", hint=hint)
        if waited - (self._told_at or 0) >= (_NOTICE_SECONDS if self._told_at else 1):
            self._told_at = waited
            self.log(f"{waiting_for()}: {waited:.0f} s of at most {self.seconds:g} s.")


class LockBudget:
    """Time that one attempt may wait for all its locks together.

    Args:
        connection: Its ``lock_timeout`` is set.
        seconds: The budget.
    """

    def __init__(self, connection: Connection[Any], seconds: float) -> None:
        self._connection = connection
        self._ends_at = time.monotonic() + seconds

    def apply(self) -> None:
        """Let the next statement wait for what is left of the budget."""
        left = max(round((self._ends_at - time.monotonic()) * 1000), 1)
        set_lock_timeout(self._connection, left / 1000)


def set_lock_timeout(connection: Connection[Any], seconds: float) -> None:
    """Bound how long a statement of this transaction waits for one lock."""
    milliseconds = max(round(seconds * 1000), 1)
    connection.execute("SELECT set_config('lock_timeout', %s, true)", [str(milliseconds)])


def lock_publish(connection: Connection[Any], name: str, patience: Patience) -> None:
    """Let no other publish of a table in until this transaction ends."""
    while not rows(connection, _TRY_LOCK, name)[0].is_locked:
        patience.check(
            lambda: _describe_publisher(connection, name),
            "Wait for the other publish to end, or raise PHLO_POSTGRES_LOCK_TIMEOUT_SECONDS.",
        )
        time.sleep(_POLL_SECONDS)


def _describe_publisher(connection: Connection[Any], name: str) -> str:
    holders = _describe_processes(rows(connection, _PUBLISHERS, name))
    table = name.removeprefix("phlo ")
    return f"Another publish of {table} is running ({holders}) and has been waited for"


def lock_table(connection: Connection[Any], table: Relation, mode: str, patience: Patience) -> None:
    """Lock a table in a mode that keeps no reader waiting.

    Args:
        connection: In the transaction of the publish.
        table: The table.
        mode: PostgreSQL's name of the mode, such as ``SHARE ROW EXCLUSIVE``.
        patience: When to give up.

    Raises:
        ServiceError: The time is up; names the sessions that hold the table.
    """
    seconds = _deadlock_timeout_seconds(connection) / 2
    patience = patience.anew()
    while True:
        try:
            with connection.transaction():
                set_lock_timeout(connection, seconds)
                template = "LOCK TABLE ONLY {t} IN {m} MODE"
                run(connection, template, t=table.sql, m=Sql(mode))
                set_lock_timeout(connection, patience.seconds)
                return
        except (errors.LockNotAvailable, errors.DeadlockDetected):
            patience.check(
                lambda: f"{table} is locked by others ({_list_holders(connection, [table.oid])})",
                "End what they do, such as VACUUM or CREATE INDEX, or raise "
                "PHLO_POSTGRES_LOCK_TIMEOUT_SECONDS.",
            )


def retry_until_free(
    connection: Connection[Any],
    attempt: Callable[[float], None],
    held_relations: Callable[[], Sequence[int]],
    name: str,
    patience: Patience,
) -> None:
    """Run an attempt in a savepoint, again and again until it gets its locks.

    Args:
        connection: In the transaction of the publish.
        attempt: Gets the seconds that it may wait for its locks; undone where it gets none.
        held_relations: Oids of the relations that it locks, to say who holds them.
        name: The tables, for messages.
        patience: When to give up.

    Raises:
        ServiceError: The time is up; names the sessions that hold the relations.
    """
    longest = _deadlock_timeout_seconds(connection) / 2
    for number in itertools.count():
        seconds = _WAITS_SECONDS[min(number, len(_WAITS_SECONDS) - 1)]
        try:
            with connection.transaction():
                attempt(min(seconds, longest))
                return
        except (errors.LockNotAvailable, errors.DeadlockDetected):
            patience.check(
                lambda: _describe_holders(connection, held_relations(), name),
                "End those transactions, or raise PHLO_POSTGRES_LOCK_TIMEOUT_SECONDS.",
            )
        pause = min(0.05 * 2**number, _LONGEST_PAUSE_SECONDS) if number < 10 else 0.5
        time.sleep(random.uniform(pause / 2, pause))


def _describe_holders(connection: Connection[Any], oids: Sequence[int], name: str) -> str:
    holders = _list_holders(connection, oids)
    return f"The new {name} cannot take its place: the old one has been held by readers ({holders})"


def _list_holders(connection: Connection[Any], oids: Sequence[int]) -> str:
    return _describe_processes(rows(connection, _HOLDERS, list(oids)))


def _describe_processes(processes: Sequence[Any]) -> str:
    described = (f"process {p.pid}, {p.usename}, {p.application_name!r}" for p in processes)
    return "; ".join(described) or "who left just now"


def _deadlock_timeout_seconds(connection: Connection[Any]) -> float:
    """Return after how long a wait PostgreSQL looks for deadlocks, and may end a reader."""
    return rows(connection, _DEADLOCK_TIMEOUT)[0].milliseconds / 1000


_TRY_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext(%s)) AS is_locked"

# An advisory lock of one bigint key stands in pg_locks as its two halves.
_PUBLISHERS = """
SELECT DISTINCT a.pid, a.usename, a.application_name
FROM pg_locks l JOIN pg_stat_activity a USING (pid), hashtext(%s) AS key
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (l.classid::bigint << 32) | l.objid::bigint = key::bigint
"""

_HOLDERS = """
SELECT DISTINCT a.pid, a.usename, a.application_name
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.relation = ANY (%s::oid[]) AND l.granted AND a.pid <> pg_backend_pid()
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

_DEADLOCK_TIMEOUT = """
SELECT setting::integer AS milliseconds FROM pg_settings WHERE name = 'deadlock_timeout'
"""
