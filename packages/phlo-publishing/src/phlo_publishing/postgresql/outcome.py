"""Find out whether a transaction was committed when the answer to its COMMIT was lost."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from phlo.errors import ConfigurationError, ServiceError
from psycopg import errors

from phlo_publishing.postgresql.relations import rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg import Connection

_PATIENCE_SECONDS = 60
_POLL_SECONDS = 0.2


@contextmanager
def commit_or_find_out(
    connection: Connection[Any], connect: Callable[..., Connection[Any]], name: str
) -> Iterator[None]:
    """Run a transaction; if its COMMIT gets no answer, look whether it was committed.

    Args:
        connection: Of the transaction, in autocommit mode.
        connect: Opens another connection to the same database.
        name: What is published, for messages.

    Raises:
        ServiceError: The database went away, and nothing was committed; or it could not be asked,
            so that the outcome is unknown.
    """
    transaction_id = None
    try:
        with connection.transaction():
            yield
            (row,) = rows(connection, "SELECT pg_current_xact_id_if_assigned()::text AS id")
            transaction_id = row.id
    except psycopg.Error:
        if transaction_id is None or not connection.closed:
            raise
        if not _is_committed(connect, transaction_id, name):
            raise


def _is_committed(connect: Callable[..., Connection[Any]], transaction_id: str, name: str) -> bool:
    """Ask until the database says how the transaction ended; a commit may still be under way."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        status = _status(connect, transaction_id)
        if status in ("committed", "aborted"):
            return status == "committed"
        time.sleep(_POLL_SECONDS)
    raise ServiceError(
        f"Whether {name} was published is unknown: the connection broke at the commit, and "
        f"PostgreSQL did not say within {_PATIENCE_SECONDS} s how {transaction_id} ended.",
        hint="Publish again once the server answers: what was published is found then.",
    )


def _status(connect: Callable[..., Connection[Any]], transaction_id: str) -> str | None:
    try:
        with connect(autocommit=True) as connection:
            query = "SELECT pg_xact_status(%s::xid8) AS status"
            return rows(connection, query, transaction_id)[0].status
    except errors.InvalidParameterValue:  # after a crash the server knows no such transaction
        return "aborted"
    except (psycopg.Error, ServiceError, ConfigurationError):
        return None  # "the database system is starting up" is told as a refusal
