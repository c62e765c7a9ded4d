"""Schemas for the marts of a branch of the lake: made by its publishes, dropped with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phlo.config import get_settings
from phlo.errors import InvalidNameError
from phlo.sql import Identifier

from phlo_publishing.postgresql.relations import rows, run

if TYPE_CHECKING:
    from phlo.names import TableName
    from psycopg import Connection

_MAX_LENGTH = 63
"""Bytes of a name in PostgreSQL; it cuts longer ones."""


def branch_schema(schema: str) -> str:
    """Return the schema for marts of the current branch: main's own, or ``<schema>__<branch>``.

    Raises:
        InvalidNameError: The name is too long for PostgreSQL.
    """
    settings = get_settings()
    if not settings.is_on_branch:
        return schema
    name = f"{schema}__{settings.branch}"
    if len(name.encode()) > _MAX_LENGTH:
        raise InvalidNameError(
            f"The schema {name!r} of a branch's marts is too long.",
            got=f"{len(name.encode())} bytes",
            expected=f"at most {_MAX_LENGTH}",
            hint="Give the branch a shorter name.",
        )
    return name


def mark_schema(connection: Connection[Any], schema: str) -> None:
    """Note on a schema that was just made that it goes with the current branch."""
    settings = get_settings()
    if settings.is_on_branch:
        run(
            connection,
            "COMMENT ON SCHEMA {s} IS {c}",
            s=Identifier(schema),
            c=_comment(settings.branch),
        )


def drop_schemas(connection: Connection[Any], branch: str, records: TableName) -> list[str]:
    """Drop the schemas that publishes of a branch made, and the records of their tables.

    Returns:
        The schemas dropped, sorted.
    """
    found = rows(
        connection,
        "SELECT nspname FROM pg_namespace "
        "WHERE obj_description(oid, 'pg_namespace') = %s ORDER BY nspname",
        _comment(branch),
    )
    schemas = [row.nspname for row in found]
    with connection.transaction():
        for schema in schemas:
            run(connection, "DROP SCHEMA {s} CASCADE", s=Identifier(schema))
            run(connection, "DELETE FROM {t} WHERE schema_name = {s}", t=records, s=schema)
    return schemas


def _comment(branch: str) -> str:
    return f"Marts of the branch {branch}; phlo drops them with it."
