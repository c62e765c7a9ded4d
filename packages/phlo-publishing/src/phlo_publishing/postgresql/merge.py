"""Write only the rows that changed into a published table, where that equals a replace."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from phlo.sql import Identifier, Sql, all_of, identifiers, qualified, sql

from phlo_publishing.postgresql.copying import copy_rows
from phlo_publishing.postgresql.relations import STAGING_SCHEMA, Relation, rows, run
from phlo_publishing.types import published_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from phlo.protocols import Changes
    from psycopg import Connection

    from phlo_publishing.marts import Mart
    from phlo_publishing.postgresql.records import PublishRecord
    from phlo_publishing.types import PublishedColumn

MAX_CHANGED_SHARE = 0.1
"""Share of its rows up to which writing changed rows costs less than writing all of them."""

_MAX_READ_SHARE = 0.5
_MAX_READ_ROWS = 500_000
"""Rows that are always looked through for changed ones; more cost memory to compare."""

_MAX_TRANSACTIONS = 100


@dataclass(frozen=True, slots=True)
class MergedTable:
    """A published table with the changed rows written.

    Attributes:
        mart: The mart.
        table: The table.
        record: The record of the publish before.
        row_count: Rows of the table now.
        changed_rows: Rows written or deleted.
        transaction_id: What PostgreSQL's ``xmin`` says of the written rows; ``None``: of none.
        started_at: When the merge began, by ``time.monotonic``.
    """

    mart: Mart
    table: Relation
    record: PublishRecord
    row_count: int
    changed_rows: int
    transaction_id: str | None
    started_at: float

    @property
    def transaction_ids(self) -> list[str]:
        """The transactions that wrote the rows of the table."""
        new = [] if self.transaction_id is None else [self.transaction_id]
        return [*self.record.transaction_ids, *new]


def can_merge(
    connection: Connection[Any],
    mart: Mart,
    table: Relation,
    record: PublishRecord,
    key: Sequence[str],
) -> bool:
    """Return whether changed rows can be written into a table as it is.

    The key must be unique there. Triggers, rules, row policies, foreign keys to the table and
    materialized views on it would do more, or less, than a replace does.
    """
    columns_are_same = [c[:2] for c in record.source_columns] == [
        c[:2] for c in mart.source_columns
    ]
    if not (key and columns_are_same and len(record.transaction_ids) < _MAX_TRANSACTIONS):
        return False
    return bool(rows(connection, _CAN_MERGE, table.oid, sorted(key)))


def is_worth_reading(changes: Changes, mart: Mart) -> bool:
    """Return whether looking for changed rows costs less than writing the whole mart."""
    return changes.row_bound <= max(_MAX_READ_SHARE * mart.row_count, _MAX_READ_ROWS)


def merge_changes(
    connection: Connection[Any],
    mart: Mart,
    table: Relation,
    record: PublishRecord,
    changes: Changes,
    key: Sequence[str],
    batch_size: int,
) -> MergedTable | None:
    """Delete the rows that are gone, and write those that are new or changed.

    Args:
        connection: In the transaction of the publish.
        mart: The mart, at the snapshot to which the changes lead.
        table: The published table, which holds the snapshot from which they lead.
        record: What it holds.
        changes: The changed rows.
        key: Columns that are unique, as the mart names them.
        batch_size: Rows sent at a time.

    Returns:
        ``None`` where the table would not hold the mart's rows then; the caller undoes the merge.

    Raises:
        TooManyChangesError: A replace costs less; the caller undoes the merge.
    """
    started_at = time.monotonic()
    published_key = [mart.column_name(column) for column in key]
    keys = _load(connection, changes.deleted_keys(key), mart, "deletes", batch_size)
    written = _load(connection, changes.upserts(key), mart, "upserts", batch_size)
    deleted = _delete(connection, table, keys, published_key)
    (counts,) = rows(connection, _upsert_sql(table, written, published_key))
    run(connection, "DROP TABLE {tables}", tables=[keys.table.sql, written.table.sql])
    row_count = record.mart.row_count + counts.inserted - deleted
    is_complete = counts.written == written.row_count and row_count == mart.row_count
    merged = MergedTable(mart, table, record, row_count, counts.written + deleted, None, started_at)
    return replace(merged, transaction_id=counts.transaction_id) if is_complete else None


@dataclass(frozen=True, slots=True)
class _LoadedRows:
    table: Relation
    columns: list[PublishedColumn]
    row_count: int


def _load(
    connection: Connection[Any],
    reader: pa.RecordBatchReader,
    mart: Mart,
    what: str,
    batch_size: int,
) -> _LoadedRows:
    """Load rows into a table of the staging schema."""
    columns = published_columns(reader.schema, mart.source, lower_case=mart.lower_case)
    limit = int(MAX_CHANGED_SHARE * mart.row_count)
    name = f"{what} of {mart.target}"[:60]
    run(
        connection,
        "CREATE UNLOGGED TABLE {t} ({c})",
        t=qualified(STAGING_SCHEMA, name),
        c=[sql("{n} {t}", n=Identifier(c.name), t=c.type) for c in columns],
    )
    table = Relation(0, STAGING_SCHEMA, name)
    row_count = copy_rows(
        connection, table, _bounded(reader, limit), columns, batch_size, freeze=False
    )
    return _LoadedRows(table, columns, row_count)


class TooManyChangesError(Exception):
    """More rows changed than are worth writing one by one."""


def _bounded(reader: pa.RecordBatchReader, limit: int) -> Iterator[pa.RecordBatch]:
    """Hand batches on until they hold more rows than a merge may write.

    Raises:
        TooManyChangesError: They do.
    """
    row_count = 0
    for batch in reader:
        row_count += batch.num_rows
        if row_count > limit:
            raise TooManyChangesError
        yield batch


def _delete(
    connection: Connection[Any], table: Relation, keys: _LoadedRows, key: Sequence[str]
) -> int:
    if not keys.row_count:
        return 0
    run(connection, "ANALYZE {t}", t=keys.table.sql)
    same_key = [sql("t.{c} = d.{c}", c=Identifier(column)) for column in key]
    statement = sql(
        "DELETE FROM {t} AS t USING {d} AS d WHERE {same}",
        t=table.sql,
        d=keys.table.sql,
        same=all_of(same_key),
    )
    return connection.execute(statement.encode()).rowcount


def _upsert_sql(table: Relation, written: _LoadedRows, key: Sequence[str]) -> Sql:
    """Build the statement that writes rows in the order of their key.

    Each page of the key's index is then read, changed and logged once, and not once a row.
    """
    names = [column.name for column in written.columns]
    return sql(
        "WITH written AS (INSERT INTO {t} ({c}) SELECT {c} FROM {s} ORDER BY {key} "
        "ON CONFLICT ({key}) DO UPDATE SET {values} "
        "RETURNING xmin::text AS id, xmax = 0 AS is_new) "
        "SELECT count(*) AS written, count(*) FILTER (WHERE is_new) AS inserted, "
        "max(id) AS transaction_id FROM written",
        t=table.sql,
        c=identifiers(names),
        s=written.table.sql,
        key=identifiers(key),
        values=[sql("{c} = excluded.{c}", c=Identifier(name)) for name in names],
    )


# A row where the key has a unique index, and nothing else would act on changed rows.
_CAN_MERGE = """
SELECT FROM pg_class c
WHERE c.oid = %s AND NOT row_security_active(c.oid)
    AND EXISTS (
        SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate
        AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indisvalid
        AND (SELECT array_agg(a.attname::text ORDER BY a.attname)
            FROM unnest(i.indkey[0:i.indnkeyatts - 1]) AS key (number)
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = key.number) = %s::text[])
    AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal)
    AND NOT EXISTS (SELECT FROM pg_rewrite WHERE ev_class = c.oid)
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE confrelid = c.oid)
    AND NOT EXISTS (
        SELECT FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
        JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'm'
        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
            AND d.classid = 'pg_rewrite'::regclass)
"""
