"""Queries on a Trino coordinator: how they are sent, streamed, labeled and stopped."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import requests
from phlo.interrupts import interrupt_with_work
from phlo.limits import TimeLimit
from phlo.sql import Identifier, Sql, sql
from phlo.work_catalogs import WORK_NAMESPACE
from trino import dbapi
from trino.auth import BasicAuthentication, CertificateAuthentication, JWTAuthentication
from trino.client import CODECS_UNAVAILABLE, ENCODINGS, ClientSession, TrinoQuery, TrinoRequest
from trino.constants import HEADER_CLIENT_INFO
from trino.exceptions import DatabaseError, HttpError

from phlo_trino.errors import StoppedQueryError, explain
from phlo_trino.statement import Statement

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from trino.auth import Authentication

    from phlo_trino.settings import TrinoSettings

SOURCE = "phlo"

_ENCODINGS = [e for e in ENCODINGS if e.partition("+")[2] not in CODECS_UNAVAILABLE]
"""Of rows that the server spools to storage, where it is set up so."""


class TrinoServer:
    """A coordinator, and the login to it.

    Args:
        settings: Where it is.
        seconds: Time that one query may take; ``None`` for no limit.
    """

    def __init__(self, settings: TrinoSettings, *, seconds: float | None = None) -> None:
        self.settings, self._seconds = settings, seconds

    def run(self, statement: Statement) -> RunningQuery:
        """Start a query; its columns are known when this returns.

        Raises:
            PhloError: Trino refuses it, or cannot be reached.
        """
        session = _Session()
        session.verify = str(self.settings.ca_file) if self.settings.ca_file else True
        statement = self._marked(statement)
        query = RunningQuery(self._request(session), session, statement, self.settings.address)
        return query.start(self._seconds)

    def _marked(self, statement: Statement) -> Statement:
        """Name a work catalog in its queries, by which the run that leases it next ends them."""
        if not self.settings.is_in_work_catalog:
            return statement
        mark = sql("{q} /* {c} */", q=Sql(statement.text), c=Identifier(self.settings.catalog))
        return replace(statement, text=mark)

    def _request(self, session: requests.Session) -> TrinoRequest:
        settings = self.settings
        labels = _labels()
        assert settings.host is not None
        return TrinoRequest(
            settings.host,
            settings.port or (443 if settings.tls else 8080),
            ClientSession(
                settings.user,
                catalog=settings.catalog,
                schema=WORK_NAMESPACE if settings.is_in_work_catalog else None,
                source=SOURCE,
                properties=settings.session_properties,
                client_tags=[SOURCE, *(f"{name}={value}" for name, value in labels.items())],
                headers={HEADER_CLIENT_INFO: " ".join(labels.values())} if labels else None,
                timezone="UTC",
                encoding=_ENCODINGS,
            ),
            session,
            "https" if settings.tls else "http",
            _authentication(settings),
        )


def connect(settings: TrinoSettings, seconds: float | None = None) -> dbapi.Connection:
    """Open a DB-API connection, with the login, the zone and the labels of phlo's own queries.

    Args:
        settings: Where Trino is, and the catalog.
        seconds: Time that one statement may take; ``None`` for no limit.
    """
    labels = _labels()
    limit = {"query_max_run_time": f"{seconds:.0f}s"} if seconds else {}
    return dbapi.connect(
        host=settings.host,
        port=settings.port or (443 if settings.tls else 8080),
        user=settings.user,
        catalog=settings.catalog,
        source=SOURCE,
        client_tags=[SOURCE, *(f"{name}={value}" for name, value in labels.items())],
        session_properties=limit | settings.session_properties,
        http_scheme="https" if settings.tls else "http",
        auth=_authentication(settings),
        verify=str(settings.ca_file) if settings.ca_file else True,
        timezone="UTC",
    )


def run_to_end(settings: TrinoSettings, text: str) -> list[Sequence[Any]]:
    """Run a statement of phlo's own to its end, and return its rows.

    Raises:
        PhloError: Trino refuses it, or cannot be reached.
    """
    return list(TrinoServer(settings).run(Statement(text, text)).rows())


class _Session(requests.Session):
    """Trusts its own certificates, also where ``REQUESTS_CA_BUNDLE`` names others."""

    def merge_environment_settings(self, *arguments: Any, **options: Any) -> Any:
        settings = super().merge_environment_settings(*arguments, **options)
        return settings if self.verify is True else {**settings, "verify": self.verify}


def _authentication(settings: TrinoSettings) -> Authentication | None:
    if settings.password is not None:
        return BasicAuthentication(settings.user, settings.password.get_secret_value())
    if settings.access_token is not None:
        return JWTAuthentication(settings.access_token.get_secret_value())
    if settings.client_certificate is not None:
        return CertificateAuthentication(str(settings.client_certificate), str(settings.client_key))
    return None


def _labels() -> Mapping[str, str]:
    """Return the run and the step that this query is part of, if it is of one.

    They are sent as headers, which hold ASCII alone; a comma separates tags.
    """
    if "dagster" not in sys.modules:
        return {}
    from phlo.orchestration.current import current_step

    return {name: _header(value) for name, value in current_step().items()}


def _header(text: str) -> str:
    """Write a text for a header.

    >>> _header("größe, neu").isascii()
    True
    """
    return text.replace(",", " ").encode("ascii", "backslashreplace").decode()


class _Stop:
    """Ends a query on the server, from any thread."""

    def __init__(self, query: TrinoQuery) -> None:
        self._query, self.is_stopped = query, False

    def interrupt(self) -> None:
        self.is_stopped = True
        self.cancel()

    def cancel(self) -> None:
        with contextlib.suppress(DatabaseError, HttpError, requests.RequestException):
            self._query.cancel()


class RunningQuery:
    """One query on the server; it ends there at the latest when nobody refers to this any more."""

    def __init__(
        self, request: TrinoRequest, session: requests.Session, statement: Statement, address: str
    ) -> None:
        # Values as the protocol sends them: phlo_trino.values makes them exact.
        self._query = TrinoQuery(request, statement.text, legacy_primitive_types=True)
        self._session, self._statement, self._address = session, statement, address
        self._stop = _Stop(self._query)  # no cycle leads back here, so that __del__ is in time
        self.columns: Sequence[Mapping[str, Any]] = ()

    def start(self, seconds: float | None) -> RunningQuery:
        """Send the query, and wait until its columns are known."""
        self._limit = TimeLimit(self._stop, seconds)
        interrupt_with_work(self._stop)
        try:
            with self._explained(), self._limit.counting():
                self._query.execute()
                self._raise_if_stopped()
                columns: Any = self._query.columns  # its annotation says list of texts
                self.columns = columns or ()
                self._raise_if_stopped()
        except BaseException:
            self.close()
            raise
        return self

    def rows(self) -> Iterator[Sequence[Any]]:
        """Stream the rows, each as the protocol sends it."""
        try:
            with self._explained():
                page: Any = self._query.result and self._query.result.rows
                while page is not None:
                    yield from page  # a spooled page is downloaded as it is read
                    page = self._fetch()
        finally:
            self.close()

    def close(self) -> None:
        """End the query if it still runs, and the connection."""
        if not self._query.finished:
            self._stop.cancel()
        self._session.close()

    def __del__(self) -> None:
        """End a query whose rows nobody read."""
        self.close()

    def _fetch(self) -> Any:
        if self._query.finished:
            return None
        with self._limit.counting():
            page = self._query.fetch()
            self._raise_if_stopped()
        return page

    def _raise_if_stopped(self) -> None:
        if self._stop.is_stopped:
            raise StoppedQueryError

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            explained = explain(error, self._statement, self._address)
            if explained is None:
                raise
            raise explained from error
