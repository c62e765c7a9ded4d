"""PostgreSQL as the database that marts are published to."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg
from phlo.errors import DataQualityError
from phlo.sql import Identifier, identifiers, sql
from phlo.words import counted

from phlo_publishing.database_errors import database_errors
from phlo_publishing.marts import PublishedMart
from phlo_publishing.postgresql.copying import copy_rows
from phlo_publishing.postgresql.dependents import (
    build_materialized_view,
    find_materialized_views,
    read_query,
    refuse_hidden_names,
)
from phlo_publishing.postgresql.loaded import LoadedTable
from phlo_publishing.postgresql.locks import (
    Patience,
    lock_publish,
    lock_table,
    retry_until_free,
    set_lock_timeout,
)
from phlo_publishing.postgresql.merge import (
    MergedTable,
    TooManyChangesError,
    can_merge,
    is_worth_reading,
    merge_changes,
)
from phlo_publishing.postgresql.obstacles import find_obstacles, refuse_obstacles
from phlo_publishing.postgresql.outcome import commit_or_find_out
from phlo_publishing.postgresql.records import (
    PublishRecord,
    prepare_schemas,
    read_record,
    write_record,
)
from phlo_publishing.postgresql.relations import (
    STAGING_SCHEMA,
    Relation,
    Replacement,
    comment_on,
    find_table,
    resolve_names_in,
    rows,
    run,
    schemas_of,
)
from phlo_publishing.postgresql.structure import (
    Structure,
    build_structure,
    create_table,
    read_structure,
    set_not_null,
)
from phlo_publishing.postgresql.swap import Swap
from phlo_publishing.types import published_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa
    from phlo.protocols import Changes
    from psycopg import Connection

    from phlo_publishing.marts import Mart, PublishOptions
    from phlo_publishing.target import Connects


class PostgresTarget:
    """Publishes to PostgreSQL, every publish in one transaction.

    Args:
        postgres: Opens connections.
        lock_timeout_seconds: How long a publish waits for others and for readers, in all.
        log: Gets a line when a publish waits.
    """

    def __init__(
        self, postgres: Connects, lock_timeout_seconds: float, log: Callable[[str], None]
    ) -> None:
        self._postgres, self._log = postgres, log
        self._lock_timeout_seconds = lock_timeout_seconds

    @contextmanager
    def transaction(
        self, marts: Sequence[Mart], options: PublishOptions
    ) -> Iterator[PostgresTransaction]:
        """Open a publish (see :class:`phlo_publishing.target.PublishTarget`)."""
        names = ", ".join(str(mart.source) for mart in marts)
        patience = Patience(self._lock_timeout_seconds, self._log)
        with (
            database_errors(f"Publishing {names}"),
            self._postgres.connect(autocommit=True) as connection,
        ):
            prepare_schemas(connection, *{mart.schema for mart in marts})
            with commit_or_find_out(connection, self._postgres.connect, names):
                resolve_names_in(connection)
                set_lock_timeout(connection, self._lock_timeout_seconds)
                for mart in sorted(marts, key=lambda mart: mart.published_name):
                    lock_publish(connection, f"phlo {mart.published_name}", patience)
                patience = Patience(self._lock_timeout_seconds, self._log)
                yield PostgresTransaction(connection, options, patience, names)


class PostgresTransaction:
    """One publish to PostgreSQL (see :class:`phlo_publishing.target.PublishTransaction`)."""

    def __init__(
        self,
        connection: Connection[Any],
        options: PublishOptions,
        patience: Patience,
        names: str,
    ) -> None:
        self._connection, self._options = connection, options
        self._patience, self._names = patience, names
        self._views: list[tuple[Replacement, Structure]] = []

    def find_current(self, mart: Mart) -> PublishedMart | None:
        """Return the record of the last publish if the table still holds just that."""
        record = find_current_record(self._connection, mart)
        return record.mart.as_skipped() if record else None

    def merge(
        self, mart: Mart, find_changes: Callable[[int], Changes | None]
    ) -> PublishedMart | None:
        """Write the rows that changed since the last publish, where that equals a replace."""
        connection, key = self._connection, self._options.key.get(mart.target, ())
        published_key = mart.published_key(self._options)
        table = find_table(connection, mart.schema, mart.target)
        record = record_of(connection, mart, table)
        if table is None or record is None or record.mart.snapshot_id is None:
            return None
        # Nobody else may write it meanwhile; readers are not kept out.
        lock_table(connection, table, "SHARE ROW EXCLUSIVE", self._patience)
        if not (
            can_merge(connection, mart, table, record, published_key)
            and is_as_published(connection, table, record)
        ):
            return None
        changes = find_changes(record.mart.snapshot_id)
        if changes is None or not is_worth_reading(changes, mart):
            return None
        merged = None
        with suppress(TooManyChangesError), connection.transaction():
            merged = merge_changes(
                connection, mart, table, record, changes, key, self._options.batch_size
            )
            if merged is None:
                raise psycopg.Rollback
        return self._record_merge(merged) if merged else None

    def _record_merge(self, merged: MergedTable) -> PublishedMart:
        mart = merged.mart
        (row,) = rows(self._connection, _SIZE_AND_TRANSACTION, merged.table.oid)
        result = PublishedMart(
            str(mart.source),
            mart.published_name,
            merged.row_count,
            len(merged.record.columns),
            row.bytes,
            time.monotonic() - merged.started_at,
            mart.snapshot_id,
            mode="merge",
            changed_rows=merged.changed_rows,
        )
        write_record(
            self._connection,
            mart,
            merged.table,
            result,
            self._options,
            columns=merged.record.columns,
            transaction_ids=merged.transaction_ids,
        )
        return result

    def load(self, mart: Mart, reader: pa.RecordBatchReader) -> LoadedTable:
        """Load rows into a new table in the staging schema."""
        started_at = time.monotonic()
        connection = self._connection
        old = find_table(connection, mart.schema, mart.target)
        record = record_of(connection, mart, old)
        structure = None if old is None else self._open(old, record)
        columns = published_columns(reader.schema, mart.source, lower_case=mart.lower_case)
        resolve_names_in(connection, STAGING_SCHEMA, mart.schema)
        new = create_table(connection, mart.target, columns, structure)
        resolve_names_in(connection)
        row_count = copy_rows(connection, new, reader, columns, self._options.batch_size)
        if old is not None and not self._options.force:
            _refuse_shrink(connection, mart, old, row_count, self._options.max_shrink)
        table_columns = read_columns(connection, new)[: len(columns)]
        return LoadedTable(mart, new, old, structure, record, row_count, table_columns, started_at)

    def _open(self, old: Relation, record: PublishRecord | None) -> Structure:
        """Refuse what cannot be carried over, keep others from changing the rest, and read it."""
        connection = self._connection
        lock_table(connection, old, "SHARE UPDATE EXCLUSIVE", self._patience)
        resolve_names_in(connection)
        views = find_materialized_views(connection, [old])
        refuse_obstacles(old, find_obstacles(connection, [old, *views], own_columns(record)))
        resolve_names_in(connection, *schemas_of([old]))
        return read_structure(connection, old)

    def carry_over(self, loaded: Sequence[LoadedTable]) -> None:
        """Build on new tables what the old ones have, and materialized views over them."""
        connection = self._connection
        olds = [table.old for table in loaded if table.old]
        resolve_names_in(connection)
        old_views = find_materialized_views(connection, olds)
        schemas = schemas_of([*olds, *old_views])
        resolve_names_in(connection, *schemas)
        refuse_hidden_names(connection, [*olds, *old_views])
        structures = [read_structure(connection, view) for view in old_views]
        resolve_names_in(connection, STAGING_SCHEMA, *schemas)
        for table in loaded:
            self._finish(table)
        for old, structure in zip(old_views, structures, strict=True):
            view = self._build_view(old, structure, schemas)
            self._views.append((Replacement(old, view), structure))

    def _finish(self, table: LoadedTable) -> None:
        """Build keys and indexes on a new table, and set what the mart says of its columns."""
        connection, new = self._connection, table.new
        if table.structure is not None:
            build_structure(connection, table.structure, new)
        for column in table.mart.required_columns:
            set_not_null(connection, new, table.mart.column_name(column))
        key = table.mart.published_key(self._options)
        if key and not rows(connection, _HAS_PRIMARY_KEY, new.oid):
            run(connection, "ALTER TABLE {t} ADD PRIMARY KEY ({k})", t=new.sql, k=identifiers(key))
        for name, doc in table.mart.docs.items():
            column = sql("{t}.{c}", t=new.sql, c=Identifier(table.mart.column_name(name)))
            comment_on(connection, "COLUMN {c}", doc, c=column)
        run(connection, "ANALYZE {t}", t=new.sql)

    def _build_view(self, old: Relation, structure: Structure, schemas: Sequence[str]) -> Relation:
        connection = self._connection
        resolve_names_in(connection, *schemas)
        query = read_query(connection, old)
        resolve_names_in(connection, STAGING_SCHEMA, *schemas)
        return build_materialized_view(connection, old, query, structure)

    def swap(self, loaded: Sequence[LoadedTable]) -> list[PublishedMart]:
        """Put new tables in the place of the old ones as soon as no reader holds one."""
        swap = Swap(self._connection, loaded, self._views)
        retry_until_free(
            self._connection, swap.attempt, swap.held_oids, self._names, self._patience.anew()
        )
        return [self._record(table) for table in loaded]

    def _record(self, table: LoadedTable) -> PublishedMart:
        (row,) = rows(self._connection, _SIZE_AND_TRANSACTION, table.new.oid)
        result = PublishedMart(
            str(table.mart.source),
            table.mart.published_name,
            table.row_count,
            len(table.columns),
            row.bytes,
            time.monotonic() - table.started_at,
            table.mart.snapshot_id,
            changed_rows=table.row_count,
        )
        write_record(
            self._connection,
            table.mart,
            table.new,
            result,
            self._options,
            columns=table.columns,
            transaction_ids=[row.transaction_id],
        )
        return result


def read_columns(connection: Connection[Any], table: Relation) -> list[list[str]]:
    """Read name and type of a table's columns, in order."""
    return [[row.name, row.type] for row in rows(connection, _TABLE_COLUMNS, table.oid)]


def find_current_record(connection: Connection[Any], mart: Mart) -> PublishRecord | None:
    """Return the record of the last publish if the table still holds just that."""
    table = find_table(connection, mart.schema, mart.target)
    record = record_of(connection, mart, table)
    if table is None or record is None:
        return None
    is_same_mart = (
        record.mart.source == str(mart.source)
        and record.mart.snapshot_id == mart.snapshot_id
        and record.source_columns == mart.source_columns
    )
    return record if is_same_mart and is_as_published(connection, table, record) else None


def is_as_published(connection: Connection[Any], table: Relation, record: PublishRecord) -> bool:
    """Return whether a table has the columns and rows that a publish gave it.

    Rows that somebody wrote since have another ``xmin``; fewer rows were deleted or truncated.
    Rows that a row policy hides from the publishing role cannot be compared.
    """
    if read_columns(connection, table)[: len(record.columns)] != record.columns:
        return False
    if rows(connection, "SELECT row_security_active(%s::oid) AS hides", table.oid)[0].hides:
        return True
    query = sql(
        "SELECT count(*) AS n, count(*) FILTER (WHERE NOT xmin = ANY (ARRAY[{i}]::xid[])) AS "
        "changed FROM {t}",
        i=record.transaction_ids,
        t=table.sql,
    )
    (row,) = rows(connection, query)
    return row.n == record.mart.row_count and row.changed == 0


def record_of(
    connection: Connection[Any], mart: Mart, table: Relation | None
) -> PublishRecord | None:
    """Read the record of the publish that made a table; ``None`` where another hand made it."""
    record = read_record(connection, mart.schema, mart.target)
    is_of_table = record is not None and table is not None and record.table_oid == table.oid
    return record if is_of_table else None


def own_columns(record: PublishRecord | None) -> list[str]:
    """List the columns that a publish wrote, by a record of it."""
    return [name for name, _ in record.columns] if record else []


def _refuse_shrink(
    connection: Connection[Any], mart: Mart, old: Relation, row_count: int, max_shrink: float
) -> None:
    """Raise DataQualityError if a table would lose more rows than it may."""
    (before,) = rows(connection, sql("SELECT count(*) AS n FROM {t}", t=old.sql))
    if row_count >= before.n * (1 - max_shrink):
        return
    raise DataQualityError(
        f"Publishing {mart.source} would shrink {old} from {before.n:,} to "
        f"{counted(row_count, 'row')}.",
        got=f"a loss of {1 - row_count / before.n:.0%}",
        expected=f"at most {max_shrink:.0%}",
        hint="If that is right, publish once with force=True, or raise max_shrink "
        "(PHLO_POSTGRES_MAX_SHRINK).",
        table=str(old),
        row_count=row_count,
    )


_HAS_PRIMARY_KEY = "SELECT FROM pg_index WHERE indrelid = %s AND indisprimary"

_SIZE_AND_TRANSACTION = """
SELECT pg_total_relation_size(%s::oid) AS bytes,
    pg_current_xact_id()::xid::text AS transaction_id
"""

_TABLE_COLUMNS = """
SELECT attname AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute
WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
