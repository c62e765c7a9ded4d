"""Record in the table ``phlo.published`` what was published when."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phlo.names import TableName
from phlo.sql import Identifier, Sql, qualified, sql

from phlo_publishing.marts import PublishedMart
from phlo_publishing.postgresql.branches import mark_schema
from phlo_publishing.postgresql.relations import STAGING_SCHEMA, rows, run

if TYPE_CHECKING:
    from psycopg import Connection

    from phlo_publishing.marts import Mart, PublishOptions
    from phlo_publishing.postgresql.relations import Relation

RECORDS = TableName("phlo", "published")


@dataclass(frozen=True, slots=True)
class PublishRecord:
    """What ``phlo.published`` says of a table.

    Attributes:
        mart: The numbers of the last publish.
        table_oid: The table that it wrote.
        source_columns: Name, type and comment of the mart's columns then.
        columns: Name and type of the published columns, as PostgreSQL has them, in order.
        transaction_ids: Transactions that wrote its rows, as PostgreSQL's ``xmin`` has them.
    """

    mart: PublishedMart
    table_oid: int
    source_columns: list[list[str]]
    columns: list[list[str]]
    transaction_ids: list[str]


def prepare_schemas(connection: Connection[Any], *schemas: str) -> None:
    """Create schemas and the table of records where they are missing, in a transaction."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('phlo schemas'))")
        for schema in (RECORDS.namespace, STAGING_SCHEMA, *schemas):
            if not rows(connection, "SELECT FROM pg_namespace WHERE nspname = %s", schema):
                run(connection, "CREATE SCHEMA {s}", s=Identifier(schema))
                if schema in schemas:
                    mark_schema(connection, schema)
        if not rows(connection, "SELECT WHERE to_regclass(%s) IS NOT NULL", str(RECORDS)):
            run(connection, _CREATE, t=RECORDS)


def read_record(connection: Connection[Any], schema: str, table: str) -> PublishRecord | None:
    """Read the record of a published table; ``None`` where there is none."""
    if not rows(connection, "SELECT WHERE to_regclass(%s) IS NOT NULL", str(RECORDS)):
        return None
    query = sql(
        "SELECT * FROM {t} WHERE schema_name = {s} AND table_name = {n}",
        t=RECORDS,
        s=schema,
        n=table,
    )
    matches = rows(connection, query)
    return _record(matches[0]) if matches else None


def _record(row: Any) -> PublishRecord:
    mart = PublishedMart(
        row.source,
        f"{row.schema_name}.{row.table_name}",
        row.row_count,
        row.column_count,
        row.byte_count,
        row.seconds,
        row.snapshot_id,
        mode=row.mode,
        changed_rows=row.changed_rows,
    )
    return PublishRecord(mart, row.table_oid, row.source_columns, row.columns, row.transaction_ids)


def published_docs(record: PublishRecord | None) -> dict[str, str]:
    """Return the comments that a publish gave to columns, by column."""
    return {name: doc for name, _, doc in record.source_columns if doc} if record else {}


def write_record(
    connection: Connection[Any],
    mart: Mart,
    table: Relation,
    result: PublishedMart,
    options: PublishOptions,
    *,
    columns: list[list[str]],
    transaction_ids: list[str],
) -> None:
    """Record what a table holds from the end of this transaction on."""
    ids = sql("ARRAY[{i}]::text[]", i=transaction_ids)
    values = {
        "schema_name": mart.schema,
        "table_name": mart.target,
        "table_oid": table.oid,
        "transaction_ids": ids,
        "source": str(mart.source),
        "snapshot_id": mart.snapshot_id,
        "source_columns": sql("{j}::jsonb", j=json.dumps(mart.source_columns)),
        "columns": sql("{j}::jsonb", j=json.dumps(columns)),
        "data_source": options.data_source,
        "mode": result.mode,
        "row_count": result.row_count,
        "changed_rows": result.changed_rows,
        "column_count": result.column_count,
        "byte_count": result.bytes,
        "seconds": result.seconds,
        "run_id": options.run_id,
        "published_at": Sql("clock_timestamp()"),
    }
    names = [Identifier(name) for name in values]
    run(
        connection,
        "INSERT INTO {t} ({names}) VALUES ({values}) ON CONFLICT (schema_name, table_name) "
        "DO UPDATE SET ({names}) = ROW ({excluded})",
        t=RECORDS,
        names=names,
        values=list(values.values()),
        excluded=[qualified("excluded", name) for name in values],
    )


_CREATE = """
CREATE TABLE {t} (
    schema_name text, table_name text, table_oid oid NOT NULL, transaction_ids text[] NOT NULL,
    source text NOT NULL, snapshot_id bigint, source_columns jsonb NOT NULL,
    columns jsonb NOT NULL, data_source text NOT NULL,
    mode text NOT NULL, row_count bigint NOT NULL, changed_rows bigint NOT NULL,
    column_count integer NOT NULL, byte_count bigint NOT NULL, seconds double precision NOT NULL,
    run_id text NOT NULL, published_at timestamptz NOT NULL,
    PRIMARY KEY (schema_name, table_name)
)
"""
