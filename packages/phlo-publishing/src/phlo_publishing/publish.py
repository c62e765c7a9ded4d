"""Publish marts: fill new tables, swap them in, all in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, get_args

from phlo.config import load_settings
from phlo.errors import InvalidArgumentError, InvalidNameError
from phlo.events import PublishEvent
from phlo.interrupts import run_interruptible, uninterrupted
from phlo.lake import open_lake
from phlo.names import TableName
from phlo.plugins import notify
from phlo.protocols import ReadsChanges
from phlo.sql import sql

from phlo_publishing.marts import Mart, Mode, PublishedMart, PublishOptions, PublishSpec
from phlo_publishing.metadata import report
from phlo_publishing.postgresql.branches import branch_schema
from phlo_publishing.postgresql.records import RECORDS
from phlo_publishing.postgresql.relations import STAGING_SCHEMA
from phlo_publishing.postgresql.target import PostgresTarget
from phlo_publishing.settings import PostgresSettings
from phlo_publishing.types import check_name, published_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dagster import AssetExecutionContext
    from phlo.protocols import Changes, QueryEngine, TableStore

    from phlo_publishing.plan import MartPlan
    from phlo_publishing.target import Connects, PublishTarget, PublishTransaction

logger = logging.getLogger(__name__)


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
    mode: Mode = "replace",
    key: str | Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    lower_case: bool = False,
    store: TableStore | None = None,
) -> dict[str, PublishedMart]:
    """Publish marts as PostgreSQL tables, all of them or none.

    Readers see the whole old tables until the whole new ones take their place, in one moment;
    transactions that are open meanwhile too. Whatever PostgreSQL keeps about the old tables is
    carried over. Any failure, a kill included, leaves the old tables.

    Args:
        context: Dagster's; gets the output's metadata and the log.
        trino: The query engine that reads the marts.
        postgres: The resource to write to.
        tables_to_publish: The mart (``namespace.table``) by the name of its published table.
            ``marts.x`` that no asset makes means the one table ``x`` (a warning names it).
        data_source: The domain that the marts belong to, recorded in ``phlo.published``.
        target_schema: Schema of the published tables, made where missing; ``None`` takes
            ``PHLO_POSTGRES_TARGET_SCHEMA`` (``marts``).
        batch_size: Rows sent at a time, at least 1.
        force: Publish a snapshot that is published already, and let a table shrink.
        max_shrink: Share of its rows (0 to 1) that a table may lose; ``None`` takes
            ``PHLO_POSTGRES_MAX_SHRINK`` (0.5).
        mode: ``replace`` writes a whole new table. ``merge`` writes only the rows that changed
            since the last publish, in place; by itself it replaces the table where that costs less
            or merging cannot lead to the mart's rows.
        key: Columns that are unique in the mart, or such columns by published name; the published
            table gets them as its primary key. ``merge`` needs them.
        lower_case: Give the published columns lower-case names, which SQL need not quote.
        store: The marts' table store; ``None`` is the project's.

    Returns:
        By published name: rows, columns, bytes, seconds, snapshot id. A mart that its table holds
        already is skipped, and its numbers are those of that publish.

    Raises:
        TableNotFoundError: A mart does not exist; names the nearest ones.
        UnsupportedTypeError: A column's type has no counterpart; names the column.
        DataQualityError: A table would shrink too far, or rows break its constraints.
        ConfigurationError: Names, rights or what hangs on the tables stand in the way.
        ServiceError: The server cannot be reached, or others hold a table for too long.
    """
    settings = load_settings(PostgresSettings)
    options = PublishOptions(
        data_source,
        _run_id(context),
        _checked_batch_size(batch_size),
        force,
        _checked_share(settings.max_shrink if max_shrink is None else max_shrink),
        mode,
        _checked_key(mode, key, tables_to_publish),
    )
    schema = branch_schema(_checked_schema(target_schema or settings.target_schema))
    lake_store = store or open_lake().store
    marts = [
        _mart(lake_store, schema, target, source, context.log.warning, lower_case=lower_case)
        for target, source in _checked_tables(tables_to_publish).items()
    ]
    target = PostgresTarget(postgres, settings.lock_timeout_seconds, context.log.info)
    results: dict[str, PublishedMart] = {}
    try:
        run_interruptible(lambda: publish_marts(target, trino, lake_store, marts, options, results))
    except (Exception, GeneratorExit):
        raise
    except BaseException:
        _log_cancel(context, results)
        raise
    _tell(context, marts, results)
    return results


def _log_cancel(context: AssetExecutionContext, results: Mapping[str, PublishedMart]) -> None:
    names = ", ".join(result.target for result in results.values())
    context.log.warning(
        f"Canceled while {names} were put in place: the new tables are published."
        if results
        else "Canceled: nothing was published, the old tables are in place."
    )


def publish_marts(
    target: PublishTarget,
    engine: QueryEngine,
    store: TableStore,
    marts: Sequence[Mart],
    options: PublishOptions,
    results: dict[str, PublishedMart] | None = None,
) -> dict[str, PublishedMart]:
    """Publish marts to a database, all of them or none (:func:`publish_marts_to_postgres`).

    From the swap to the commit a signal waits; ``results`` is filled as soon as it is committed.
    """
    results = {} if results is None else results
    with ExitStack() as committing, target.transaction(marts, options) as transaction:
        current = _publish(transaction, engine, store, marts, options)
        committing.enter_context(uninterrupted())
        in_order = {mart.target: current[mart.target] for mart in marts}
        committing.push(lambda error, *_: None if error else results.update(in_order))
    return results


def _publish(
    transaction: PublishTransaction,
    engine: QueryEngine,
    store: TableStore,
    marts: Sequence[Mart],
    options: PublishOptions,
) -> dict[str, PublishedMart]:
    """Skip what is current, merge what can be merged, and replace the rest."""
    results = {} if options.force else _find_current(transaction, marts)
    stale = [mart for mart in marts if mart.target not in results]
    merged = {mart.target: _merge(transaction, store, mart, options) for mart in stale}
    results |= {target: result for target, result in merged.items() if result is not None}
    rest = [mart for mart in stale if mart.target not in results]
    loaded = [transaction.load(mart, _read(engine, mart)) for mart in rest]
    transaction.carry_over(loaded)
    published = transaction.swap(loaded)
    return results | {mart.target: result for mart, result in zip(rest, published, strict=True)}


def _find_current(
    transaction: PublishTransaction, marts: Sequence[Mart]
) -> dict[str, PublishedMart]:
    """Find the marts that their tables hold already, by published name."""
    current = {mart.target: transaction.find_current(mart) for mart in marts}
    return {target: result for target, result in current.items() if result is not None}


def _merge(
    transaction: PublishTransaction, store: TableStore, mart: Mart, options: PublishOptions
) -> PublishedMart | None:
    """Write only changed rows, if that is asked for and the store can tell which they are."""
    if options.mode != "merge" or options.force:
        return None
    return transaction.merge(mart, _changes_since(store, mart))


def _read(engine: QueryEngine, mart: Mart) -> Any:
    at = {} if mart.snapshot_id is None else {mart.source: str(mart.snapshot_id)}
    return engine.query(sql("SELECT * FROM {t}", t=mart.source), at=at)


def _tell(
    context: AssetExecutionContext, marts: Sequence[Mart], results: Mapping[str, PublishedMart]
) -> None:
    """Tell Dagster and observers; the marts are published, so nothing here may raise."""
    try:
        report(context, results)
    except Exception as exc:  # noqa: BLE001 - the commit is done, and stays
        logger.warning("The marts are published, but their metadata could not be added: %s", exc)
    for mart in marts:
        result = results[mart.target]
        if not result.is_skipped:
            event = PublishEvent(
                mart.source, result.target, result.row_count, mart.snapshot_id, result.seconds
            )
            notify("phlo_on_publish", event)


def plan_publish(
    spec: PublishSpec,
    trino: QueryEngine,
    postgres: Connects,
    store: TableStore,
    key: Mapping[str, Sequence[str]],
) -> list[MartPlan]:
    """Find out what publishing a declaration would do, and change nothing.

    Args:
        spec: The declaration.
        trino: The query engine that reads the marts.
        postgres: The resource that would be written to.
        store: The marts' table store.
        key: Unique columns by published name.
    """
    from phlo_publishing.postgresql.planning import plan_mart

    settings = load_settings(PostgresSettings)
    max_shrink = settings.max_shrink if spec.max_shrink is None else spec.max_shrink
    keys = _checked_key(spec.mode, key, spec.tables)
    options = PublishOptions(spec.data_source, "", 1, False, max_shrink, spec.mode, keys)
    schema = branch_schema(_checked_schema(spec.schema or settings.target_schema))
    plans = []
    for target, source in spec.tables.items():
        mart = _mart(store, schema, target, source, logger.warning, lower_case=spec.lower_case)
        columns = published_columns(
            _read(trino, mart).schema, mart.source, lower_case=spec.lower_case
        )
        plans.append(plan_mart(postgres, mart, columns, options, _changes_since(store, mart)))
    return plans


def _changes_since(store: TableStore, mart: Mart) -> Callable[[int], Changes | None]:
    """Return what finds the rows that changed between a snapshot and the mart's."""
    until = mart.snapshot_id
    if until is None or not isinstance(store, ReadsChanges):
        return lambda since: None
    return lambda since: store.changes(mart.source, since, until)


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


def _checked_share(max_shrink: float) -> float:
    if not 0 <= max_shrink <= 1:
        raise InvalidArgumentError(
            "publish_marts_to_postgres got a max_shrink that is no share of rows.",
            got=repr(max_shrink),
            expected="a number from 0 to 1",
            hint="Write 0.5 to let a table lose half of its rows.",
        )
    return max_shrink


def _checked_tables(tables: Mapping[str, str]) -> Mapping[str, str]:
    if not isinstance(tables, dict) or not tables:
        raise InvalidArgumentError(
            "publish_marts_to_postgres got no tables_to_publish.",
            got=repr(tables),
            expected="marts by the name of their published table",
            hint='Name one, such as {"daily_aggregates": "marts.daily_aggregates"}.',
        )
    return tables


def _checked_key(
    mode: Mode,
    key: str | Sequence[str] | Mapping[str, Sequence[str]] | None,
    tables: Mapping[str, str],
) -> dict[str, tuple[str, ...]]:
    """Return the key of each published table that has one."""
    if mode not in get_args(Mode) or (mode == "merge" and not key):
        raise InvalidArgumentError(
            "publish_marts_to_postgres got a mode that it cannot publish by.",
            got=f"mode={mode!r}, key={key!r}",
            expected='"replace", or "merge" with a key',
            hint='Write mode="merge", key="id" with the columns that are unique in the mart.',
        )
    keys = key if isinstance(key, Mapping) else dict.fromkeys(tables, key or ())
    return {t: (k,) if isinstance(k, str) else tuple(k) for t, k in keys.items()}


def _checked_schema(schema: str) -> str:
    if schema.startswith("pg_") or schema in (RECORDS.namespace, STAGING_SCHEMA):
        raise InvalidNameError(
            f"{schema!r} is a schema that PostgreSQL or phlo keeps for itself.",
            hint="Set target_schema, or PHLO_POSTGRES_TARGET_SCHEMA, to another name.",
        )
    return check_name(schema, "The schema")


def _mart(
    store: TableStore,
    schema: str,
    target: str,
    source: str,
    warn: Callable[[str], Any],
    *,
    lower_case: bool,
) -> Mart:
    table = store.load(_find_source(store, TableName.parse(source), warn))
    return Mart(
        table.name,
        table.snapshot_id,
        schema,
        check_name(target, "The table"),
        table.schema,
        table.row_count,
        lower_case,
    )


def _find_source(store: TableStore, table: TableName, warn: Callable[[str], Any]) -> TableName:
    """Find the table that is meant: ``marts.x`` may stand in another layer."""
    if table.namespace != "marts" or store.exists(table):
        return table
    from phlo.orchestration.assembly import resolve_table
    from phlo.project import load_project

    real = resolve_table(str(table), load_project())
    if real != table:
        warn(f"No asset makes {table}; publishing {real}, which is what is there.")
    return real
