"""Explain errors of catalog, object store and spoilt files as phlo's own, with the remedy."""

from __future__ import annotations

import functools
import re
import sqlite3
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import pyarrow as pa
from phlo.errors import (
    ConfigurationError,
    MissingProviderError,
    PhloError,
    ServiceError,
    UnreadableTableError,
)
from phlo.machine_errors import explain as explain_machine_error
from phlo.machine_errors import explain_sqlite
from phlo.redaction import redact
from phlo.transient import error_chain, is_transient
from pydantic import ValidationError
from pyiceberg.exceptions import (
    AuthorizationExpiredError,
    ForbiddenError,
    NotInstalledError,
    OAuthError,
    RESTError,
    UnauthorizedError,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_T = TypeVar("_T")

_FILE = ".phlo/catalog.db"
_URI = "PHLO_ICEBERG_CATALOG_URI"
_KEYS = "PHLO_ICEBERG_S3_ACCESS_KEY_ID and PHLO_ICEBERG_S3_SECRET_ACCESS_KEY"


@contextmanager
def explained_errors() -> Iterator[None]:
    """Raise errors of the catalog, the object store and the machine as phlo's own.

    Raises:
        UnreadableTableError: A data or delete file of a table is missing or cut short.
        ServiceError: A server does not answer, or is busy: trying again may help.
        ConfigurationError: It refuses the settings, or they name nothing that is there.
        ResourceError: The disk is full, or there is too little memory.
    """
    try:
        yield
    except PhloError:
        raise
    except Exception as error:
        explained = explain(error)
        if explained is error:
            raise
        raise explained from error


def explain_errors(cls: type[_T]) -> type[_T]:
    """Let every public method and property of a class raise explained errors."""
    for name, member in list(vars(cls).items()):
        if name.startswith("_"):
            continue
        if isinstance(member, property) and member.fget is not None:
            setattr(cls, name, property(_explaining(member.fget), doc=member.__doc__))
        elif callable(member):
            setattr(cls, name, _explaining(member))
    return cls


def _explaining(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with explained_errors():
            return function(*args, **kwargs)

    return call


def explain(error: Exception) -> Exception:
    """Return phlo's error for one of a service or of the machine; any other error as it is."""
    for cause in error_chain(error):
        if isinstance(cause, PhloError):
            return error
        explained = _explain_one(cause)
        if explained is not None:
            return explained
    return explain_machine_error(error)


def _explain_one(error: BaseException) -> PhloError | None:
    match error:
        case DBAPIError():
            return _explain_database(error)
        case NoSuchModuleError() | ArgumentError():
            return _wrong_uri("It names no kind of database that SQLAlchemy knows.")
        case NotInstalledError():
            return MissingProviderError(
                f"A library for this catalog or warehouse is missing: {error}.",
                hint='For PostgreSQL: pip install "psycopg[binary]", and let '
                f"{_URI} begin with postgresql+psycopg://.",
            )
        case RESTError():
            return _explain_rest(error)
        case ValidationError() if error.title.endswith("Response"):
            return _no_catalog("its answer is none of an Iceberg catalog")
        case _ if isinstance(error, request_errors()):
            return _explain_rest(error)
        case _:
            return _explain_object_store(error) or _explain_spoilt_file(error)


def check_database_uri(uri: str) -> None:
    """Check that the address of an SQL catalog can be parsed.

    Raises:
        ConfigurationError: It cannot; its text may hold a password, and is not told.
    """
    try:
        make_url(uri)
    except (ArgumentError, ValueError):
        wrong = _wrong_uri("It cannot be parsed.")
    else:
        return
    raise wrong  # outside the handler: the cause shows the text


def require_rest_uri(uri: str | None) -> None:
    """Check that a REST catalog has an address.

    Raises:
        ConfigurationError: It has none.
    """
    if uri is None:
        raise ConfigurationError(
            "The REST catalog has no address.",
            expected="such as https://catalog.example.com",
            hint=f"Set {_URI} in the environment or in .env.",
        )


def _wrong_uri(reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"{_URI} is no address of a database. {reason}",
        expected="sqlite:////FOLDER/catalog.db or postgresql+psycopg://USER@HOST/DATABASE",
        hint=f"Correct {_URI} in the environment or in .env.",
    )


# -- SQL catalogs


def _explain_database(error: DBAPIError) -> PhloError | None:
    original = error.orig
    if original is None:
        return None
    if isinstance(original, sqlite3.Error):
        return explain_sqlite(
            original,
            f"The catalog ({_FILE}, or what {_URI} names)",
            "Move the file away, and `phlo doctor --fix` rebuilds the catalog from the tables.",
        )
    reason = _one_line(original)
    state = getattr(original, "sqlstate", None) or ""
    if state.startswith(("28", "3D", "42501")) or (not state and not is_transient(error)):
        return ConfigurationError(
            f"The catalog's database refuses phlo: {reason}.",
            hint=f"Correct user, password and database in {_URI}; the user needs the rights to "
            "make and to write tables there.",
        )
    if not state or state.startswith(("08", "25006", "53", "55", "57", "40")):
        return ServiceError(
            f"The catalog's database cannot be used: {reason}.",
            hint=f"Start the server, or correct host and port in {_URI}.",
        )
    return None


# -- REST catalogs


def request_errors() -> tuple[type[OSError], ...]:
    """Return the class of errors of `requests`; nothing where no REST catalog imported it."""
    error = getattr(sys.modules.get("requests"), "RequestException", None)
    return (error,) if error else ()


def _explain_rest(error: BaseException) -> PhloError | None:
    reason = _one_line(error)
    if type(error).__name__ == "JSONDecodeError":
        return _no_catalog("its answer is no JSON")
    if isinstance(error, OAuthError | UnauthorizedError | ForbiddenError):
        return ConfigurationError(
            f"The REST catalog refuses phlo: {reason}.",
            hint="Correct PHLO_ICEBERG_CATALOG_CREDENTIAL (id:secret), and see to it that this "
            "client may use the warehouse.",
        )
    if is_transient(error) or isinstance(error, AuthorizationExpiredError):
        return ServiceError(
            f"The REST catalog cannot be used: {reason}.",
            hint=f"Start the server, or correct {_URI}.",
        )
    return _no_catalog(reason)


def _no_catalog(reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"The REST catalog cannot be used: {reason}.",
        expected="the address of an Iceberg REST catalog, without /v1",
        hint=f"Correct {_URI} and PHLO_ICEBERG_WAREHOUSE; a proxy or login page may stand in "
        "between.",
    )


# -- object stores

_REFUSED_KEYS = re.compile(
    r"AWS Error (ACCESS_DENIED|INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH|INVALID_SIGNATURE"
    r"|INVALID_CLIENT_TOKEN_ID|MISSING_AUTHENTICATION_TOKEN|UNRECOGNIZED_CLIENT)"
    r"|HTTP status (401|403)|InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied|Forbidden"
    r"|NoCredentialsError|Unable to locate credentials"
)
_NO_BUCKET = re.compile(r"NO_SUCH_BUCKET|NoSuchBucket|[Bb]ucket ('[^']*' not found|does not exist)")
_OF_OBJECT_STORE = re.compile(
    r"AWS Error|bucket '|botocore|EndpointConnectionError|Could not connect to the endpoint"
    r"|curlCode"
)


def _explain_object_store(error: BaseException) -> PhloError | None:
    reason = _one_line(error)
    if not _comes_from_object_store(error, reason):
        return None
    if _NO_BUCKET.search(reason):
        return ConfigurationError(
            f"The bucket of the warehouse is not there: {reason}.",
            hint="Make the bucket, or correct PHLO_ICEBERG_WAREHOUSE.",
        )
    if _REFUSED_KEYS.search(reason):
        return ConfigurationError(
            f"The object store refuses phlo: {reason}.",
            hint=f"Correct {_KEYS}, and let that key read, write and delete in the warehouse.",
        )
    if isinstance(error, FileNotFoundError):
        return None
    return ServiceError(
        f"The object store cannot be used: {reason}.",
        hint="Start it, or correct PHLO_ICEBERG_S3_ENDPOINT and PHLO_ICEBERG_S3_REGION.",
    )


def _comes_from_object_store(error: BaseException, reason: str) -> bool:
    if type(error).__module__.startswith(("botocore", "aiobotocore")):
        return True
    is_local = getattr(error, "filename", None) is not None
    is_of_files = isinstance(error, OSError | duckdb.IOException | duckdb.HTTPException)
    return (
        is_of_files
        and not is_local
        and bool(_OF_OBJECT_STORE.search(reason) or _REFUSED_KEYS.search(reason))
    )


# -- files of tables

_SPOILT_DUCKDB = re.compile(
    r"No files found that match|Cannot open file|[Nn]o magic bytes|too small to be a Parquet file"
    r"|not enough bytes in file|[Ff]ooter length error|Failed to read|read from file .* at location"
    r"|ecompression failure"
)
"""What DuckDB says of a Parquet file that is missing, empty, cut short or garbled."""

_SPOILT_ARROW = re.compile(
    r"(Could not open Parquet input|Parquet |Index not in dictionary bounds|Invalid base64 input)"
)
"""How Arrow begins what it says of such a file."""

_DECODING = (duckdb.Error, duckdb.SerializationException)
"""What DuckDB raises, whatever it says, for bytes that are no Parquet; never for a query."""


def _explain_spoilt_file(error: BaseException) -> UnreadableTableError | None:
    if not _is_of_spoilt_file(error) or isinstance(explain_machine_error(error), PhloError):
        return None
    return UnreadableTableError(
        f"A file of a table is missing or cut short: {_one_line(error)}.",
        hint="`phlo doctor --deep` names the file and its table; `phlo doctor --fix --deep` goes "
        "back to the newest state that is whole.",
        problem="unreadable",
    )


def _is_of_spoilt_file(error: BaseException) -> bool:
    """Tell it by the class, and by a text only where no name or value of a query stands in it."""
    if type(error) in _DECODING or isinstance(error, duckdb.IOException):
        return True
    if isinstance(error, duckdb.InvalidInputException):
        is_of_function = "Python exception occurred" in str(error)  # it shows a value
        return not is_of_function and _SPOILT_DUCKDB.search(str(error)) is not None
    if isinstance(error, pa.ArrowInvalid):
        return _SPOILT_ARROW.match(str(error)) is not None
    return type(error) is OSError and error.errno is None  # Arrow's, of pages that it cannot decode


def _one_line(error: BaseException) -> str:
    """Return an error's message as one line without secrets and without its final full stop."""
    return redact(" ".join(str(error).split()))[:500].rstrip(".: ")
