"""What was published when, kept beside the tables in ``_phlo_published``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phlo.sql import Identifier, qualified, sql

from phlo_publishing.relations import Relation, rows, run

if TYPE_CHECKING:
    from psycopg import Connection

RECORDS_TABLE = "_phlo_published"


@dataclass(frozen=True, slots=True)
class PublishedMart:
    """One table of a publish.

    Attributes:
        source: The mart read, ``namespace.table``.
        target: The published table, with its schema.
        row_count: Its rows.
        column_count: Its columns.
        bytes: Its size in PostgreSQL, indexes included.
        seconds: Wall time it took to fill; 0.0 when skipped.
        snapshot_id: The mart's snapshot; ``None`` for a mart never written.
        is_skipped: Whether that snapshot was published already.
    """

    source: str
    target: str
    row_count: int
    column_count: int
    bytes: int
    seconds: float
    snapshot_id: int | None
    is_skipped: bool = False


def prepare_schema(connection: Connection[Any], schema: str) -> None:
    """Make the schema and its records where they are missing, in a transaction of their own."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"phlo {schema}"])
        if not rows(connection, "SELECT FROM pg_namespace WHERE nspname = %s", schema):
            run(connection, "CREATE SCHEMA {s}", s=Identifier(schema))
        run(connection, _CREATE, t=qualified(schema, RECORDS_TABLE))


def find_published(
    connection: Connection[Any], table: Relation, source: str, snapshot_id: int | None
) -> PublishedMart | None:
    """The publish of that very snapshot that the table still holds, if it does."""
    query = sql(
        "SELECT * FROM {t} WHERE table_name = {name} AND table_oid = {oid} AND source = {source} "
        "AND snapshot_id = {snapshot}",
        t=qualified(table.schema, RECORDS_TABLE),
        name=table.name,
        oid=table.oid,
        source=source,
        snapshot=snapshot_id,
    )
    found = rows(connection, query)
    if not found:
        return None
    (row,) = found
    counts = (row.row_count, row.column_count, row.byte_count)
    return PublishedMart(source, str(table), *counts, 0.0, snapshot_id, is_skipped=True)


def record_published(
    connection: Connection[Any], table: Relation, mart: PublishedMart, data_source: str, run_id: str
) -> None:
    """Note what a table now holds."""
    run(
        connection,
        _UPSERT,
        t=qualified(table.schema, RECORDS_TABLE),
        values=[
            table.name,
            table.oid,
            mart.source,
            mart.snapshot_id,
            data_source,
            mart.row_count,
            mart.column_count,
            mart.bytes,
            mart.seconds,
            run_id,
        ],
    )


_COLUMNS = """
table_name, table_oid, source, snapshot_id, data_source, row_count, column_count, byte_count,
seconds, run_id
"""

_CREATE = """
CREATE TABLE IF NOT EXISTS {t} (
    table_name text PRIMARY KEY, table_oid oid NOT NULL, source text NOT NULL,
    snapshot_id bigint, data_source text NOT NULL, row_count bigint NOT NULL,
    column_count integer NOT NULL, byte_count bigint NOT NULL,
    seconds double precision NOT NULL, run_id text NOT NULL,
    published_at timestamptz NOT NULL DEFAULT now()
)
"""

_UPSERT = f"""
INSERT INTO {{t}} ({_COLUMNS}) VALUES ({{values}})
ON CONFLICT (table_name) DO UPDATE SET ({_COLUMNS}, published_at) =
    (SELECT {", ".join(f"excluded.{name.strip()}" for name in _COLUMNS.split(","))}, now())
"""
