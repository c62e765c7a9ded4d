"""Tell errors that may pass by themselves from those that only an edit cures."""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING

from phlo.errors import PhloError, RetriableError

if TYPE_CHECKING:
    from collections.abc import Iterator


def is_transient(error: BaseException) -> bool:
    """Return whether the same work may succeed when it is done again later.

    Transient are connections, timeouts, the HTTP statuses 408, 425, 429 and 5xx, and operational
    errors of databases and stores. Mistakes in code and configuration, other answers of a server
    and input that cannot be read are not. Of a chain of errors, the outermost that tells decides.

    Example:
        >>> is_transient(ConnectionResetError()), is_transient(KeyError("token"))
        (True, False)
    """
    verdicts = (_is_transient_itself(cause) for cause in error_chain(error))
    return next((verdict for verdict in verdicts if verdict is not None), False)


def error_chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what led to it, the outermost first."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        implicit = None if cause.__suppress_context__ else cause.__context__
        cause = cause.__cause__ or implicit or _reason(cause)


def _reason(error: BaseException) -> BaseException | None:
    """Return the error that ``urllib.error.URLError`` and its like carry as an attribute."""
    reason = getattr(error, "reason", None)
    return reason if isinstance(reason, BaseException) else None


def _is_transient_itself(error: BaseException) -> bool | None:
    """Return what one error tells by itself; ``None`` leaves it to the error that led to it."""
    if isinstance(error, PhloError):
        return isinstance(error, RetriableError)
    if isinstance(error, _MISTAKES):
        return False
    status = _http_status(error)
    if status is not None:
        return status in _TRANSIENT_STATUSES or status >= 500
    if isinstance(error, sqlite3.OperationalError):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _TRANSIENT_SQLITE_CODES
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if isinstance(state, str) and state.startswith(_REFUSED_LOGINS):
        return False
    return _is_transient_by_name(error)


def _is_transient_by_name(error: BaseException) -> bool | None:
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & _REFUSALS:
        return False
    if names & _TRANSIENT_NAMES and not _wraps_sqlite(error):
        return not _REFUSAL_TEXT.search(str(error))
    return True if isinstance(error, OSError) and _TRANSIENT_TEXT.search(str(error)) else None


_MISTAKES = (NameError, ImportError, SyntaxError, AttributeError, TypeError, NotImplementedError)
"""What only an edit cures, even where it was met while an outage was handled."""

_TRANSIENT_STATUSES = frozenset({408, 425, 429})

_TRANSIENT_NAMES = frozenset(
    {
        "ConnectionError",  # Python's and requests'
        "TimeoutError",  # Python's, asyncio's, SQLAlchemy's, urllib3's
        "Timeout",  # requests
        "ChunkedEncodingError",
        "ProtocolError",  # urllib3
        "HTTPException",  # http.client: an answer cut off
        "gaierror",  # names that do not resolve while a network is down
        "TransportError",  # httpx
        "ClientConnectionError",  # aiohttp
        "ClientPayloadError",
        "HTTPClientError",  # botocore
        "OperationalError",  # every database driver
        "ServerError",  # REST catalogs
        "ServiceUnavailableError",
        "TransientException",  # dlt
    }
)
"""Classes by name, so that no client library has to be installed, or imported."""

_REFUSALS = frozenset({"SSLCertVerificationError", "InvalidURL", "UnsupportedProtocol"})

_REFUSAL_TEXT = re.compile(
    r"CERTIFICATE_VERIFY_FAILED|WRONG_VERSION_NUMBER|password authentication failed"
    r"|Access denied for user|database .* does not exist|Unknown database"
)
"""What drivers and clients call a lost connection, though the server answered."""

_REFUSED_LOGINS = ("28", "3D")
"""SQLSTATE classes: an invalid authorization, a database that does not exist."""

_TRANSIENT_SQLITE_CODES = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL}
)
"""SQLite calls a missing table an operational error as well."""

_TRANSIENT_TEXT = re.compile(
    r"AWS Error (NETWORK_CONNECTION|SLOW_DOWN|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|THROTTLING"
    r"|REQUEST_TIMEOUT)|HTTP status (408|425|429|5\d\d)|timed out|Connection (reset|refused)"
    r"|Network is (unreachable|down)|No route to host|too many (408|425|429|5\d\d) error responses",
    re.IGNORECASE,
)
"""Arrow's object stores, and errors of the network that have no class of their own."""


def _http_status(error: BaseException) -> int | None:
    """Return the HTTP status that an error of any client carries, where it is an error status."""
    response = getattr(error, "response", None)
    metadata = response.get("ResponseMetadata") if isinstance(response, dict) else None
    found = (
        getattr(response, "status_code", None),
        metadata.get("HTTPStatusCode") if isinstance(metadata, dict) else None,
        *(getattr(error, name, None) for name in ("status_code", "status", "code")),
    )
    statuses = (v for v in found if isinstance(v, int) and 400 <= v < 600)
    return next(statuses, None)


def _wraps_sqlite(error: BaseException) -> bool:
    """Return whether SQLAlchemy wraps an error of SQLite, which knows more of it."""
    return isinstance(getattr(error, "orig", None), sqlite3.Error)
