"""Errors of Trino and of the way to it, in phlo's words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import requests
from phlo.errors import (
    ConfigurationError,
    PhloError,
    QueryError,
    QueryMemoryError,
    QueryTimeoutError,
    ServiceError,
)
from trino import exceptions

if TYPE_CHECKING:
    from phlo_trino.statement import Statement

TABLE_NAMES = frozenset({"TABLE_NOT_FOUND", "SCHEMA_NOT_FOUND"})
"""Trino's errors for a table that is not there."""

_MAY_PASS = frozenset(
    {
        "CLUSTER_OUT_OF_MEMORY",
        "EXCEEDED_TASK_DESCRIPTOR_STORAGE_CAPACITY",
        "GENERIC_INSUFFICIENT_RESOURCES",
        "HIVE_METASTORE_ERROR",
        "ICEBERG_CATALOG_ERROR",
        "ICEBERG_CANNOT_OPEN_SPLIT",
        "ICEBERG_CURSOR_ERROR",
        "ICEBERG_FILESYSTEM_ERROR",
        "NO_NODES_AVAILABLE",
        "PAGE_TRANSPORT_ERROR",
        "PAGE_TRANSPORT_TIMEOUT",
        "QUERY_QUEUE_FULL",
        "REMOTE_HOST_GONE",
        "REMOTE_TASK_ERROR",
        "REMOTE_TASK_MISMATCH",
        "SERVER_SHUTTING_DOWN",
        "SERVER_STARTING_UP",
        "TOO_MANY_REQUESTS_FAILED",
    }
)
"""What a cluster says of itself, not of the query."""

_PLACE = re.compile(r"^line \d+:\d+: ")
_STATUS = re.compile(r"^error (\d+)")


class StoppedQueryError(Exception):
    """The query was canceled from this process."""


def explain(error: BaseException, statement: Statement, address: str) -> PhloError | None:
    """Put an error into phlo's words.

    Args:
        error: Raised by the client, or by what it stands on.
        statement: What was asked.
        address: The coordinator's.

    Returns:
        ``None`` where the error is none of Trino's.
    """
    match error:
        case exceptions.TrinoQueryError():
            return _query_error(error, statement)
        case exceptions.HttpError():
            return _http_error(error, address)
        case exceptions.TrinoConnectionError() if "SSLError" in str(error):
            return ConfigurationError(
                f"Trino at {address} cannot be trusted: {_last_words(error)}.",
                hint="Name the file of its certificate authority in PHLO_TRINO_CA_FILE, or set "
                "PHLO_TRINO_TLS as the server is set up.",
            )
        case exceptions.TrinoConnectionError() | requests.exceptions.RequestException():
            return ServiceError(
                f"Trino at {address} cannot be reached: {_last_words(error)}.",
                hint="Start it, or correct PHLO_TRINO_HOST, PHLO_TRINO_PORT and PHLO_TRINO_TLS.",
            )
    return None


def _http_error(error: exceptions.HttpError, address: str) -> PhloError:
    status = _STATUS.match(str(error))
    code = int(status[1]) if status else 0
    if code in (401, 403):
        return ConfigurationError(
            f"Trino at {address} refuses the login: HTTP status {code}.",
            hint="Correct PHLO_TRINO_USER, and PHLO_TRINO_PASSWORD or PHLO_TRINO_ACCESS_TOKEN.",
        )
    if code == 429 or code >= 500:
        return ServiceError(
            f"Trino at {address} does not answer now: HTTP status {code}.",
            hint="Try again; if it stays so, look into the coordinator's log.",
        )
    return ConfigurationError(
        f"{address} does not answer as Trino does: {error}.",
        hint="Correct PHLO_TRINO_HOST, PHLO_TRINO_PORT and PHLO_TRINO_TLS.",
    )


def _query_error(error: exceptions.TrinoQueryError, statement: Statement) -> PhloError:
    name, message = error.error_name or "", _PLACE.sub("", error.message).rstrip(".")
    if name == "EXCEEDED_TIME_LIMIT":
        return QueryTimeoutError(
            f"Trino stopped the query {error.query_id}: {message}.",
            hint="Let it read fewer rows, or raise query_max_run_time in "
            "PHLO_TRINO_SESSION_PROPERTIES.",
        )
    if name.startswith("EXCEEDED_") and "MEMORY" in name:
        return QueryMemoryError(
            f"Trino stopped the query {error.query_id}: {message}.",
            hint="Let it read or sort fewer rows, or give Trino more query.max-memory.",
        )
    if name == "CATALOG_NOT_FOUND":
        return ConfigurationError(
            f"Trino has no such catalog: {message}.",
            hint="Set PHLO_TRINO_CATALOG to the name of the file in Trino's etc/catalog/.",
        )
    if name == "PERMISSION_DENIED":
        return ConfigurationError(
            f"Trino refuses the query: {message}.",
            hint="Let Trino's access control allow it for PHLO_TRINO_USER.",
        )
    if name in _MAY_PASS:
        return ServiceError(f"Trino cannot answer now: {name}: {message} ({error.query_id}).")
    where = _where(error, statement)
    return QueryError(
        f"The query failed{where}: {name}: {message}.",
        got=statement.original,
        expected="valid SQL",
        error_name=name,
    )


def _where(error: exceptions.TrinoQueryError, statement: Statement) -> str:
    if error.error_location is None:
        return ""
    line, column = statement.place(*error.error_location)
    return f" in line {line}, column {column}"


def _last_words(error: BaseException) -> str:
    """Return the reason at the end of a client's long message."""
    text = str(error)
    reason = re.search(r"(\[Errno [^'\")]*|\[SSL[^'\"(]*|Read timed out|[Tt]imed out)", text)
    return (reason[1] if reason else text).rstrip(". ")
