"""Marts to PostgreSQL: fill new tables, swap them in, all in one transaction."""

from __future__ import annotations

import itertools
import random
import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from phlo.config import load_settings
from phlo.errors import (
    DataQualityError,
    InvalidArgumentError,
    InvalidNameError,
    ServiceError,
)
from phlo.events import PublishEvent
from phlo.lake import open_lake
from phlo.names import TableName
from phlo.plugins import notify
from phlo.sql import Identifier, qualified, sql
from psycopg import errors

from phlo_publishing.copy_format import HEADER, TRAILER, encode_batch
from phlo_publishing.database_errors import database_errors
from phlo_publishing.metadata import report
from phlo_publishing.records import (
    RECORDS_TABLE,
    PublishedMart,
    find_published,
    prepare_schema,
    record_published,
)
from phlo_publishing.relations import (
    Relation,
    carry_rights,
    carry_structure,
    dependent_views,
    find_table,
    lock_views,
    redefine_views,
    rename_indexes,
    rows,
    run,
)
from phlo_publishing.settings import PostgresSettings
from phlo_publishing.types import check_name, published_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa
    from dagster import AssetExecutionContext
    from phlo.protocols import QueryEngine, TableStore
    from psycopg import Connection

    from phlo_publishing.relations import CarriedIndex
    from phlo_publishing.types import PublishedColumn

_BLOCK_BYTES = 32 * 2**20
_PATIENT_ATTEMPTS = 10


class Connects(Protocol):
    """What ``publish_marts_to_postgres`` needs of its ``postgres``."""

    def connect(self, **options: Any) -> Connection[Any]:
        """Open a connection."""
        ...


@dataclass(frozen=True, slots=True)
class _Mart:
    """A mart to publish, at the snapshot that is published."""

    source: TableName
    snapshot_id: int | None
    schema: str
    target: str


@dataclass(frozen=True, slots=True)
class _Options:
    data_source: str
    batch_size: int
    force: bool
    max_shrink: float
    lock_timeout_seconds: float


@dataclass(frozen=True, slots=True)
class _Filled:
    """A new table, filled and indexed, and the one that it replaces."""

    mart: _Mart
    new: Relation
    old: Relation | None
    indexes: list[CarriedIndex]
    result: PublishedMart


def publish_marts_to_postgres(
    context: AssetExecutionContext,
    trino: QueryEngine,
    postgres: Connects,
    tables_to_publish: Mapping[str, str],
    data_source: str,
    target_schema: str | None = None,
    batch_size: int = 50_000,
    *,
    force: bool = False,
    max_shrink: float | None = None,
    store: TableStore | None = None,
) -> dict[str, PublishedMart]:
    """Publish marts as PostgreSQL tables, all of them or none.

    Readers see the whole old tables until the whole new ones take their place, in one moment;
    transactions that are open meanwhile too. Grants, comments, indexes, constraints, row policies
    and views on the tables are kept. Any failure, a kill included, leaves the old tables.

    Args:
        context: Dagster's; gets the output's metadata and the log.
        trino: The query engine that reads the marts.
        postgres: The resource to write to.
        tables_to_publish: The mart (``namespace.table``) by the name of its published table.
            ``marts.x`` that no asset makes means the one table ``x`` (a warning names it).
        data_source: The domain that the marts belong to, noted in ``_phlo_published``.
        target_schema: Schema of the published tables, made where missing; ``None`` takes
            ``PHLO_POSTGRES_TARGET_SCHEMA`` (``marts``).
        batch_size: Rows sent at a time, at least 1.
        force: Publish a snapshot that is published already, and let a table shrink.
        max_shrink: Share of its rows (0 to 1) that a table may lose; ``None`` takes
            ``PHLO_POSTGRES_MAX_SHRINK`` (0.5).
        store: The marts' table store; ``None`` is the project's.

    Returns:
        By published name: rows, columns, bytes, seconds, snapshot id. A mart whose snapshot is
        published already is skipped, and its numbers are those of that publish.

    Raises:
        TableNotFoundError: A mart does not exist; names the nearest ones.
        UnsupportedTypeError: A column's type has no counterpart; names the column.
        DataQualityError: A table would shrink too far, or rows break its constraints.
        ConfigurationError: Names, rights or what hangs on the tables stand in the way.
        ServiceError: The server cannot be reached, or readers hold a table for too long.
    """
    settings = load_settings(PostgresSettings)
    options = _Options(
        data_source,
        _checked_batch_size(batch_size),
        force,
        settings.max_shrink if max_shrink is None else max_shrink,
        settings.lock_timeout_seconds,
    )
    store = store or open_lake().store
    schema = check_name(target_schema or settings.target_schema, "The schema")
    marts = [
        _mart(context, store, schema, *pair) for pair in _checked_tables(tables_to_publish).items()
    ]
    with postgres.connect(autocommit=True) as connection:
        results = _publish(connection, trino, marts, options, _run_id(context))
    report(context, results)
    for mart in marts:
        _notify(mart, results[mart.target])
    return results


def _run_id(context: AssetExecutionContext) -> str:
    # An asset called directly, as a test does, has an id and no run.
    return context.op_execution_context.run_id


def _checked_batch_size(batch_size: int) -> int:
    if batch_size < 1:
        raise InvalidArgumentError(
            "publish_marts_to_postgres got a batch_size that holds no row.",
            got=repr(batch_size),
            expected="a number of rows of at least 1",
            hint="Leave batch_size out.",
        )
    return batch_size


def _checked_tables(tables: Mapping[str, str]) -> Mapping[str, str]:
    if not tables:
        raise InvalidArgumentError(
            "publish_marts_to_postgres got no tables_to_publish.",
            got="{}",
            expected="marts by the name of their published table",
            hint='Name one, such as {"daily_aggregates": "marts.daily_aggregates"}.',
        )
    return tables


def _mart(
    context: AssetExecutionContext, store: TableStore, schema: str, target: str, source: str
) -> _Mart:
    if target == RECORDS_TABLE:
        raise InvalidNameError(
            f"{target!r} is where phlo notes what it published.",
            hint="Give the published table another name.",
        )
    table = _find_source(context, store, TableName.parse(source))
    return _Mart(table, store.load(table).snapshot_id, schema, check_name(target, "The table"))


def _find_source(context: AssetExecutionContext, store: TableStore, table: TableName) -> TableName:
    """The table meant: ``marts.x`` may stand in another layer."""
    if table.namespace != "marts" or store.exists(table):
        return table
    from phlo.orchestration.assembly import resolve_table
    from phlo.project import load_project

    real = resolve_table(str(table), load_project())
    if real != table:
        context.log.warning(f"No asset makes {table}; publishing {real}, which is what is there.")
    return real


def _publish(
    connection: Connection[Any],
    engine: QueryEngine,
    marts: list[_Mart],
    options: _Options,
    run_id: str,
) -> dict[str, PublishedMart]:
    names = ", ".join(str(mart.source) for mart in marts)
    with database_errors(f"Publishing {names}"):
        prepare_schema(connection, marts[0].schema)
        with connection.transaction():
            _begin(connection, marts, options)
            done = [_skip_or_fill(connection, engine, mart, options) for mart in marts]
            filled = [item for item in done if isinstance(item, _Filled)]
            _swap_when_free(connection, filled, options.lock_timeout_seconds)
            for item in filled:
                table = replace(item.new, name=item.mart.target)
                record_published(connection, table, item.result, options.data_source, run_id)
    results = [item.result if isinstance(item, _Filled) else item for item in done]
    return {mart.target: result for mart, result in zip(marts, results, strict=True)}


def _begin(connection: Connection[Any], marts: list[_Mart], options: _Options) -> None:
    """Let no other publish of these tables in; always in one order, so that none waits in a ring.

    Without a search path PostgreSQL writes definitions with full names, whoever owns what.
    """
    milliseconds = round(options.lock_timeout_seconds * 1000)
    connection.execute("SELECT set_config('search_path', '', true)")
    connection.execute("SELECT set_config('lock_timeout', %s, true)", [str(milliseconds)])
    for mart in sorted(marts, key=lambda mart: mart.target):
        name = f"phlo {mart.schema}.{mart.target}"
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [name])


def _skip_or_fill(
    connection: Connection[Any], engine: QueryEngine, mart: _Mart, options: _Options
) -> _Filled | PublishedMart:
    old = find_table(connection, mart.schema, mart.target)
    if old is not None and mart.snapshot_id is not None and not options.force:
        published = find_published(connection, old, str(mart.source), mart.snapshot_id)
        if published is not None:
            return published
    if old is not None:  # nobody may add an index meanwhile, which would be lost
        run(connection, "LOCK TABLE ONLY {t} IN SHARE UPDATE EXCLUSIVE MODE", t=old.sql)
    return _fill(connection, engine, mart, old, options)


def _fill(
    connection: Connection[Any],
    engine: QueryEngine,
    mart: _Mart,
    old: Relation | None,
    options: _Options,
) -> _Filled:
    started = time.monotonic()
    at = {} if mart.snapshot_id is None else {mart.source: str(mart.snapshot_id)}
    reader = engine.query(sql("SELECT * FROM {t}", t=mart.source), at=at)
    columns = published_columns(reader.schema, mart.source)
    new = _create(connection, mart, columns)
    row_count = _copy(connection, new, reader, columns, options.batch_size)
    if old is not None and not options.force:
        _refuse_shrink(connection, mart, old, row_count, options.max_shrink)
    indexes = [] if old is None else carry_structure(connection, old, new)
    run(connection, "ANALYZE {t}", t=new.sql)
    (size,) = rows(connection, "SELECT pg_total_relation_size(%s::oid) AS bytes", new.oid)
    seconds = time.monotonic() - started
    target = f"{mart.schema}.{mart.target}"
    result = PublishedMart(
        str(mart.source), target, row_count, len(columns), size.bytes, seconds, mart.snapshot_id
    )
    return _Filled(mart, new, old, indexes, result)


def _create(connection: Connection[Any], mart: _Mart, columns: list[PublishedColumn]) -> Relation:
    name = f"_phlo_new_{secrets.token_hex(8)}"
    parts = [sql("{n} {t}", n=Identifier(c.name), t=c.type) for c in columns]
    run(connection, "CREATE TABLE {t} ({columns})", t=qualified(mart.schema, name), columns=parts)
    made = find_table(connection, mart.schema, name)
    assert made is not None
    return made


def _copy(
    connection: Connection[Any],
    new: Relation,
    reader: pa.RecordBatchReader,
    columns: list[PublishedColumn],
    batch_size: int,
) -> int:
    """Fill the new table; its rows are frozen, so that older transactions see them too."""
    encoders = [column.encode for column in columns]
    command = sql("COPY {t} FROM STDIN WITH (FORMAT binary, FREEZE)", t=new.sql)
    row_count = 0
    with connection.cursor() as cursor, cursor.copy(command.encode()) as stream:
        stream.write(HEADER)
        for block in _blocks(reader, batch_size):
            stream.write(encode_batch(block, encoders))
            row_count += block.num_rows
        stream.write(TRAILER)
    return row_count


def _blocks(reader: pa.RecordBatchReader, batch_size: int) -> Iterator[pa.RecordBatch]:
    """Batches of bounded rows and bytes."""
    for batch in reader:
        row_bytes = batch.nbytes // max(batch.num_rows, 1) + 1
        step = max(1, min(batch_size, _BLOCK_BYTES // row_bytes))
        for start in range(0, batch.num_rows, step):
            yield batch.slice(start, step)


def _refuse_shrink(
    connection: Connection[Any], mart: _Mart, old: Relation, row_count: int, max_shrink: float
) -> None:
    (before,) = rows(connection, sql("SELECT count(*) AS n FROM {t}", t=old.sql))
    if row_count >= before.n * (1 - max_shrink):
        return
    raise DataQualityError(
        f"Publishing {mart.source} would shrink {old} from {before.n} to {row_count} rows.",
        got=f"a loss of {1 - row_count / before.n:.0%}",
        expected=f"at most {max_shrink:.0%}",
        hint="If that is right, publish once with force=True, or raise max_shrink "
        "(PHLO_POSTGRES_MAX_SHRINK).",
        table=str(old),
        row_count=row_count,
    )


def _swap_when_free(
    connection: Connection[Any], filled: list[_Filled], timeout_seconds: float
) -> None:
    """Swap as soon as no reader holds a table; readers are let through between the attempts."""
    deadline = time.monotonic() + timeout_seconds
    for attempt in itertools.count():
        try:
            with connection.transaction():
                _swap(connection, filled, attempt)
                return
        except (errors.LockNotAvailable, errors.DeadlockDetected):
            if time.monotonic() > deadline:
                raise _held(connection, filled, timeout_seconds) from None
        time.sleep(random.uniform(0.01, 0.1))


def _be_patient(connection: Connection[Any], attempt: int, lock_count: int) -> None:
    """Set how long the swap waits for one lock, while new readers queue behind it.

    One lock can be waited for as long as readers take. With several, a reader may hold one and
    wait for another: PostgreSQL would end one of the two after ``deadlock_timeout`` (1 s), so
    the first attempts give way before that, and a superuser has itself chosen always.
    """
    seconds = min(0.3 * 2**attempt, 5.0)
    if lock_count > 1 and attempt < _PATIENT_ATTEMPTS:
        seconds = 0.3
    connection.execute(_PATIENCE, [str(round(seconds * 1000))])


def _swap(connection: Connection[Any], filled: list[_Filled], attempt: int) -> None:
    """Put the new tables in the old ones' place; lasts some milliseconds."""
    replaced = [item.old for item in filled if item.old is not None]
    views = dependent_views(connection, replaced)
    _be_patient(connection, attempt, len(views) + len(replaced))
    lock_views(connection, views)
    for old in replaced:
        run(connection, "LOCK TABLE ONLY {t} IN ACCESS EXCLUSIVE MODE", t=old.sql)
    if dependent_views(connection, replaced) != views:
        raise errors.LockNotAvailable("A view was made in this very moment.")
    for item in filled:
        if item.old is not None:
            carry_rights(connection, item.old, item.new)
            _rename(connection, item.old, f"{item.new.name}_old")
        _rename(connection, item.new, item.mart.target)
    redefine_views(connection, views)
    for item in filled:
        if item.old is not None:
            gone = qualified(item.old.schema, f"{item.new.name}_old")
            run(connection, "DROP TABLE {t}", t=gone)
        rename_indexes(connection, replace(item.new, name=item.mart.target), item.indexes)


def _rename(connection: Connection[Any], table: Relation, name: str) -> None:
    run(connection, "ALTER TABLE {t} RENAME TO {n}", t=table.sql, n=Identifier(name))


def _held(connection: Connection[Any], filled: list[_Filled], seconds: float) -> ServiceError:
    oids = [item.old.oid for item in filled if item.old is not None]
    holders = rows(connection, _HOLDERS, oids)
    who = "; ".join(f"process {h.pid} ({h.usename}, {h.application_name})" for h in holders)
    return ServiceError(
        f"Readers have held {', '.join(str(f.old) for f in filled if f.old)} for {seconds:g} s, "
        f"so the new tables could not take their place: {who or 'they left just now'}.",
        hint="End those transactions, or raise PHLO_POSTGRES_LOCK_TIMEOUT_SECONDS.",
    )


_PATIENCE = """
SELECT set_config('lock_timeout', %s, true),
    CASE current_setting('is_superuser') WHEN 'on'
        THEN set_config('deadlock_timeout', '100', true) END
"""

_HOLDERS = """
SELECT DISTINCT a.pid, a.usename, a.application_name
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.relation = ANY (%s::oid[]) AND l.granted AND a.pid <> pg_backend_pid()
"""


def _notify(mart: _Mart, result: PublishedMart) -> None:
    if not result.is_skipped:
        event = PublishEvent(
            mart.source, result.target, result.row_count, mart.snapshot_id, result.seconds
        )
        notify("phlo_on_publish", event)
