"""The Dagster resource ``postgres`` (R114)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dagster import ConfigurableResource
from phlo.config import get_settings, load_settings

from phlo_publishing.address import PostgresAddress
from phlo_publishing.server import EmbeddedServer, borrow
from phlo_publishing.settings import PostgresSettings

if TYPE_CHECKING:
    from psycopg import Connection


class PostgresResource(ConfigurableResource):
    """The PostgreSQL database that marts are published to.

    It takes no configuration of its own, so that no password reaches Dagster's storage: it reads
    ``PHLO_POSTGRES_*`` when it is used. Without ``PHLO_POSTGRES_HOST`` it is the project's own
    server, started on first use.

    Example:
        ``def publish(context, trino: ResourceParam[QueryEngine], postgres: PostgresResource)``
    """

    def address(self) -> PostgresAddress:
        """Where the database is; starts the embedded server where that is used.

        Raises:
            ConfigurationError: A setting is wrong.
            ServiceError: The embedded server does not start.
        """
        settings = load_settings(PostgresSettings)
        if settings.host is None:
            server = EmbeddedServer(get_settings().state_dir / "postgres", port=settings.port)
            return borrow(server, settings.database, keep_running=settings.keep_running)
        return PostgresAddress(
            settings.host,
            settings.port or 5432,
            settings.database,
            settings.user,
            settings.password,
            settings.sslmode,
            settings.connect_timeout_seconds,
        )

    def connect(self, **options: Any) -> Connection[Any]:  # noqa: ANN401 - psycopg's own options
        """Connect with psycopg.

        Args:
            **options: Further arguments of ``psycopg.connect``, such as ``autocommit``.

        Raises:
            ServiceError: The server does not answer.
            ConfigurationError: It does not know the role, the password or the database.
        """
        return self.address().connect(**options)
