"""Drop the published marts of a branch that was deleted."""

from __future__ import annotations

import logging

from phlo.config import load_settings

from phlo_publishing.postgresql.branches import drop_schemas
from phlo_publishing.postgresql.records import RECORDS
from phlo_publishing.server import configured_address, embedded_server
from phlo_publishing.settings import PostgresSettings

logger = logging.getLogger(__name__)


def drop_marts(branch: str) -> None:
    """Drop the schemas of a branch's marts, where anything was ever published.

    Raises:
        ServiceError: PostgreSQL does not answer; its schemas stay.
    """
    if load_settings(PostgresSettings).host is None and not embedded_server().folder.exists():
        return
    with configured_address().connect(autocommit=True) as connection:
        for schema in drop_schemas(connection, branch, RECORDS):
            logger.info("Dropped the schema %s of the branch %s.", schema, branch)
