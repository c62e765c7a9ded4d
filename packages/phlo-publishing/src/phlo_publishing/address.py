"""Where a PostgreSQL server is, and how it is reached."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from phlo.errors import ConfigurationError, ServiceError
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

if TYPE_CHECKING:
    from psycopg import Connection

# What is no part of a host's name, an address or the folder of a socket.
_NO_HOST = re.compile(r"://|[@=?#\s]")

# A failed connection has no SQLSTATE, so its message has to tell.
_REFUSALS = ("authentication", "does not exist", "pg_hba.conf", "no password", "permission denied")


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """A database on a server; printing it shows no password.

    Attributes:
        host: Name or address.
        port: TCP port.
        database: Name of the database.
        user: Role to log in as.
        password: Its password; ``None``: as libpq finds it.
        sslmode: libpq's ``sslmode``; ``None``: its default.
        connect_timeout_seconds: How long to wait for an answer.

    Example:
        >>> print(PostgresAddress("db", 5432, "marts", "phlo", SecretStr("x")))
        phlo@db:5432/marts
    """

    host: str
    port: int
    database: str
    user: str
    password: SecretStr | None = None
    sslmode: str | None = None
    connect_timeout_seconds: int = 10

    def __post_init__(self) -> None:
        """Refuse a URL as host, without showing it: it may hold a password.

        Raises:
            ConfigurationError: The host, or the database, is a URL or a connection string.
        """
        for setting, value in (("HOST", self.host), ("DATABASE", self.database)):
            if _NO_HOST.search(value) if setting == "HOST" else "://" in value:
                raise ConfigurationError(
                    f"PHLO_POSTGRES_{setting} is no name, but a URL or a connection string, "
                    "which is not shown because it may hold a password.",
                    expected="the name alone",
                    hint="Set PHLO_POSTGRES_HOST, PHLO_POSTGRES_PORT, PHLO_POSTGRES_DATABASE, "
                    "PHLO_POSTGRES_USER and PHLO_POSTGRES_PASSWORD apart.",
                )

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}/{self.database}"

    def conninfo(self) -> SecretStr:
        """Return the connection string for libpq, with the password."""
        parts = {
            "host": self.host,
            "port": self.port,
            "dbname": self.database,
            "user": self.user,
            "password": self.password.get_secret_value() if self.password else None,
            "sslmode": self.sslmode,
            "connect_timeout": self.connect_timeout_seconds,
            "application_name": "phlo",
        }
        return SecretStr(make_conninfo(**{k: v for k, v in parts.items() if v is not None}))

    def libpq_environment(self) -> dict[str, str]:
        """Return the variables by which programs such as psql find the server and its password."""
        found = {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGDATABASE": self.database,
            "PGUSER": self.user,
            "PGPASSWORD": self.password.get_secret_value() if self.password else None,
            "PGSSLMODE": self.sslmode,
        }
        return {name: value for name, value in found.items() if value is not None}

    def connect(self, **options: Any) -> Connection[Any]:
        """Connect with psycopg.

        Args:
            **options: Further arguments of ``psycopg.connect``, such as ``autocommit``.

        Raises:
            ServiceError: The server does not answer.
            ConfigurationError: It does not know the role, the password or the database.
        """
        try:
            return psycopg.connect(self.conninfo().get_secret_value(), **options)
        except psycopg.Error as exc:
            failure = self._failure(exc)
        raise failure  # outside the handler: libpq's own message must not ride along

    def scrub(self, text: str) -> str:
        """Take the password out of a text."""
        secret = self.password.get_secret_value() if self.password else ""
        return text.replace(secret, "***") if secret else text

    def _failure(self, exc: psycopg.Error) -> ConfigurationError | ServiceError:
        reason = " ".join(self.scrub(str(exc)).split()).rstrip(".")
        if any(refusal in reason for refusal in _REFUSALS):
            return ConfigurationError(
                f"PostgreSQL refuses {self}: {reason}.",
                hint="Correct PHLO_POSTGRES_USER, PHLO_POSTGRES_PASSWORD and "
                "PHLO_POSTGRES_DATABASE in the environment or in .env.",
            )
        return ServiceError(
            f"PostgreSQL at {self.host}:{self.port} cannot be reached: {reason}.",
            hint="Start the server or correct PHLO_POSTGRES_HOST and PHLO_POSTGRES_PORT; "
            "without PHLO_POSTGRES_HOST phlo runs a server of its own.",
        )
