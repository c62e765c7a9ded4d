"""Remember the keys that loads deleted, so that an older partition brings no row back.

The table ``tombstones.<namespace>__<table>`` has a row per deleted key: the key, the column by
which rows compete, and partition and extraction of the load that deleted it. A load reads it before
it is planned, and what the load changes about it is published in the same commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from phlo.contract.types import TIMESTAMP
from phlo.names import INGESTED_AT_COLUMN, PARTITION_DATE_COLUMN
from phlo.sql import Identifier, Sql, identifiers, same_values, sql
from phlo.values import Merge, Replace

if TYPE_CHECKING:
    from phlo.protocols import Staged

    from phlo_dlt.attempt import Attempt
    from phlo_dlt.spec import IngestionSpec

_IS_BACK = "_phlo_is_back"
"""Column of a staged change: whether the key is to be forgotten."""


@dataclass(frozen=True)
class Tombstones:
    """Deleted keys as read when a load was planned.

    Attributes:
        standing: Those that the load's rows compete with.
        superseded: Those that an earlier extraction of the same partition left, which this one,
            delivering the whole partition again, takes the place of.
        snapshot_id: The table's snapshot that they were read from.
        is_new: Whether the table does not exist yet.
        is_stale: Whether the table outlived the table loaded, so that it is begun anew.
    """

    standing: ds.Dataset
    superseded: ds.Dataset
    snapshot_id: int | None
    is_new: bool
    is_stale: bool = False


def tombstone_schema(spec: IngestionSpec) -> pa.Schema:
    """Return the columns of an ingestion's tombstones."""
    names = dict.fromkeys([*spec.unique_key, spec.merge_config.order_by])
    columns = [spec.contract.arrow_schema.field(name) for name in names if name is not None]
    times = [pa.field(PARTITION_DATE_COLUMN, pa.date32()), pa.field(INGESTED_AT_COLUMN, TIMESTAMP)]
    return pa.schema([*(column.with_nullable(True) for column in columns), *times])


def read_tombstones(attempt: Attempt, *, is_whole: bool) -> Tombstones:
    """Read the deleted keys of an attempt's table.

    Args:
        attempt: The load.
        is_whole: Whether it delivers all rows of its partition, rather than what is new.
    """
    store, table = attempt.lake.store, attempt.spec.tombstones
    nothing = ds.dataset(tombstone_schema(attempt.spec).empty_table())
    if not store.exists(table):
        return Tombstones(nothing, nothing, None, is_new=True)
    snapshot_id = store.load(table).snapshot_id
    if snapshot_id is None or not store.exists(attempt.spec.table):
        is_stale = snapshot_id is not None
        return Tombstones(nothing, nothing, snapshot_id, is_new=False, is_stale=is_stale)
    old = _is_superseded(attempt) if is_whole else Sql("FALSE")
    return Tombstones(
        standing=_read(attempt, snapshot_id, "standing", sql("NOT ({o})", o=old)),
        superseded=_read(attempt, snapshot_id, "superseded", old),
        snapshot_id=snapshot_id,
        is_new=False,
    )


def _is_superseded(attempt: Attempt) -> Sql:
    if attempt.partition is None:
        return Sql("FALSE")
    return sql(
        "coalesce({p} = {day} AND {e} < {began}, FALSE)",
        p=Identifier(PARTITION_DATE_COLUMN),
        day=attempt.partition.date,
        e=Identifier(INGESTED_AT_COLUMN),
        began=attempt.began_at,
    )


def _read(attempt: Attempt, snapshot_id: int, name: str, condition: Sql) -> ds.Dataset:
    """Read tombstones into a file of the attempt's folder, to be scanned as often as needed."""
    table, schema = attempt.spec.tombstones, tombstone_schema(attempt.spec)
    there = attempt.lake.store.load(table).schema.names
    columns = [Identifier(n) if n in there else _null(n) for n in schema.names]
    query = sql("SELECT {c} FROM {t} WHERE {w}", c=columns, t=table, w=condition)
    path = attempt.folder / f"tombstones-{name}.parquet"
    with pq.ParquetWriter(path, schema) as writer:
        for batch in attempt.lake.embedded_engine.query(query, at={table: str(snapshot_id)}):
            writer.write_table(pa.Table.from_batches([batch]).cast(schema))
    return ds.dataset(path, format="parquet")


def _null(name: str) -> Sql:
    return sql("NULL AS {n}", n=Identifier(name))


def stage_tombstones(attempt: Attempt, staged: Staged, before: Tombstones) -> Staged:
    """Stage what a load changes about the deleted keys.

    Keys that it deletes are remembered. Those whose row stands again, or that an earlier extraction
    of the partition deleted and this one does not, are not remembered any more.

    Args:
        attempt: The load.
        staged: Its stage.
        before: The deleted keys that it was planned with.
    """
    spec = attempt.spec
    how = Merge(spec.unique_key, delete_column=_IS_BACK, compares_metadata=True)
    return attempt.lake.store.stage(
        spec.tombstones,
        _changes(spec, staged, before),
        Replace(revises=before.snapshot_id) if before.is_stale else how,
        schema=tombstone_schema(spec),
        summary={"phlo.run-id": attempt.run_id, **attempt.extraction_entry},
    )


def _changes(spec: IngestionSpec, staged: Staged, before: Tombstones) -> ds.Dataset:
    """Collect the changes, one row per key."""
    assert staged.deleted is not None
    names = tombstone_schema(spec).names
    there = staged.deleted.schema.names
    relations = {
        "deleted": staged.deleted,
        "standing": before.standing,
        "superseded": before.superseded,
        "delivered": staged.delivered,
    }
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, rows in relations.items():
            connection.register(name, rows)
        query = sql(
            "SELECT {new}, FALSE AS {back} FROM deleted UNION ALL "
            "SELECT {c}, TRUE AS {back} FROM standing s WHERE {is_here} UNION ALL "
            "SELECT {c}, TRUE AS {back} FROM superseded s WHERE NOT {is_deleted}",
            new=[Identifier(n) if n in there else _null(n) for n in names],
            c=identifiers(names),
            back=Identifier(_IS_BACK),
            is_here=_has("delivered", spec),
            is_deleted=_has("deleted", spec),
        )
        return ds.dataset(connection.sql(query).to_arrow_table())


def _has(relation: str, spec: IngestionSpec) -> Sql:
    return sql(
        "EXISTS (SELECT 1 FROM {r} o WHERE {same})",
        r=Identifier(relation),
        same=same_values("o", "s", spec.unique_key),
    )
