"""Databases for tests."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from phlo.sql import Identifier, sql

if TYPE_CHECKING:
    from phlo_publishing.address import PostgresAddress


def fresh_database(server: PostgresAddress) -> PostgresAddress:
    """Make an empty database with a name of its own.

    Args:
        server: A server, as a role that may make databases.

    Returns:
        The same server with the new database.
    """
    name = f"test_{secrets.token_hex(6)}"
    with server.connect(autocommit=True) as connection:
        connection.execute(sql("CREATE DATABASE {name}", name=Identifier(name)).encode())
    return replace(server, database=name)
