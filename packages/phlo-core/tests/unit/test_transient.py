"""Which errors may pass by themselves."""

import sqlite3
import ssl
import urllib.error
from http.client import IncompleteRead, RemoteDisconnected
from json import JSONDecodeError

import pytest
import requests
import sqlalchemy
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from phlo.errors import AuditError, LoadTimeoutError, MovedCursorError, ServiceError
from phlo.transient import is_transient
from psycopg.errors import AdminShutdown, InvalidPassword, UndefinedTable
from psycopg.errors import OperationalError as PostgresError
from urllib3.exceptions import MaxRetryError, ResponseError


def answered(status):
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(f"{status} for url", response=response)


def s3(status):
    return ClientError({"ResponseMetadata": {"HTTPStatusCode": status}}, "GetObject")


def of_sqlite(statement, uri="sqlite://"):
    try:
        with sqlalchemy.create_engine(uri).connect() as connection:
            connection.execute(sqlalchemy.text(statement))
    except sqlalchemy.exc.SQLAlchemyError as exc:
        return exc
    raise AssertionError


def locked(folder):
    with sqlite3.connect(folder / "db") as holder:
        holder.execute("BEGIN EXCLUSIVE")
        error = of_sqlite("CREATE TABLE t (a int)", f"sqlite:///{folder}/db?timeout=0")
    holder.close()
    return error


def raised(error, cause=None, context=None):
    error.__context__ = context
    if cause is not None:
        error.__cause__ = cause
    return error


TRANSIENT = [
    ConnectionResetError(),
    TimeoutError(),
    BrokenPipeError(),
    RemoteDisconnected(),
    IncompleteRead(b""),
    ConnectionAbortedError(),
    urllib.error.URLError(ConnectionRefusedError()),
    urllib.error.HTTPError("http://x", 503, "busy", None, None),  # pyright: ignore[reportArgumentType]
    requests.ConnectionError(),
    requests.ReadTimeout(),
    requests.exceptions.ChunkedEncodingError(),
    *map(answered, (408, 425, 429, 500, 502, 503, 504, 529)),
    s3(503),
    EndpointConnectionError(endpoint_url="http://x"),
    OSError("When reading: AWS Error NETWORK_CONNECTION during GetObject operation: curlCode 7"),
    PostgresError("connection to server at 127.0.0.1 failed: Connection refused"),
    AdminShutdown(),
    sqlalchemy.exc.OperationalError("select 1", {}, PostgresError("server closed")),
    sqlalchemy.exc.TimeoutError(),
    requests.exceptions.RetryError(
        MaxRetryError(None, "/", ResponseError("too many 503 error responses"))  # pyright: ignore[reportArgumentType]
    ),
    ServiceError("The server is away."),
    MovedCursorError("Moved."),
    LoadTimeoutError("Too long."),
    raised(RuntimeError("the API is away"), cause=requests.ReadTimeout()),
    raised(RuntimeError("the API is away"), context=answered(503)),
]

LASTING = [
    NameError("x"),
    KeyError("token"),
    ImportError("no module"),
    ValueError("nonsense"),
    JSONDecodeError("Expecting value", "<html>", 0),
    requests.exceptions.JSONDecodeError("Expecting value", "<html>", 0),
    FileNotFoundError("/nowhere"),
    PermissionError(),
    requests.exceptions.MissingSchema(),
    requests.exceptions.InvalidURL(),
    requests.exceptions.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate"),
    ssl.SSLCertVerificationError("CERTIFICATE_VERIFY_FAILED"),
    *map(answered, (400, 401, 403, 404, 410, 422)),
    urllib.error.HTTPError("http://x", 404, "no", None, None),  # pyright: ignore[reportArgumentType]
    s3(403),
    NoCredentialsError(),
    InvalidPassword(),
    UndefinedTable(),
    PostgresError('FATAL: password authentication failed for user "me"'),
    AuditError("Checks failed."),
    raised(NameError("log"), context=TimeoutError()),
    raised(RuntimeError("no such page"), cause=answered(404)),
]


@pytest.mark.parametrize("error", TRANSIENT, ids=lambda e: f"{type(e).__name__}-{e}"[:50])
def test_outages_are_transient(error):
    assert is_transient(error)


@pytest.mark.parametrize("error", LASTING, ids=lambda e: f"{type(e).__name__}-{e}"[:50])
def test_mistakes_and_refusals_are_not(error):
    assert not is_transient(error)


def test_sqlite_calls_a_lock_and_a_missing_table_by_one_class(tmp_path):
    assert is_transient(locked(tmp_path))
    assert not is_transient(of_sqlite("SELECT * FROM nothing"))


def test_a_refused_port_is_transient_through_every_layer_of_requests():
    with pytest.raises(requests.ConnectionError) as caught:
        requests.get("http://127.0.0.1:9/", timeout=5)

    assert is_transient(caught.value)


def test_a_chain_that_runs_in_a_circle_ends():
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__context__, second.__context__ = second, first

    assert not is_transient(first)
