"""The Dagster resource ``postgres``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dagster import ConfigurableResource

from phlo_publishing.server import configured_address

if TYPE_CHECKING:
    from psycopg import Connection

    from phlo_publishing.address import PostgresAddress


class PostgresResource(ConfigurableResource):
    """The PostgreSQL database that marts are published to.

    It takes no configuration of its own, so that no password reaches Dagster's storage: it reads
    ``PHLO_POSTGRES_*`` when it is used. Without ``PHLO_POSTGRES_HOST`` it is the project's own
    server, started on first use.

    Example:
        ``def publish(context, trino: ResourceParam[QueryEngine], postgres: PostgresResource)``
    """

    def address(self) -> PostgresAddress:
        """Return where the database is; start the embedded server where that is used.

        Raises:
            ConfigurationError: A setting is wrong.
            ServiceError: The embedded server does not start.
        """
        return configured_address()

    def connect(self, **options: Any) -> Connection[Any]:
        """Connect with psycopg.

        Args:
            **options: Further arguments of ``psycopg.connect``, such as ``autocommit``.

        Raises:
            ServiceError: The server does not answer.
            ConfigurationError: It does not know the role, the password or the database.
        """
        return self.address().connect(**options)
