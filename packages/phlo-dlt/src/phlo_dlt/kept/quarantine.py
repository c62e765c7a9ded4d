"""Keep invalid rows in the quarantine of their table, with the rules they broke."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as ds
from phlo.contract.types import TIMESTAMP
from phlo.names import INGESTED_AT_COLUMN, PARTITION_DATE_COLUMN
from phlo.retry import retry_on_moved_head
from phlo.sql import Identifier, Sql, all_of, identifiers, partition_predicate, qualified, sql
from phlo.values import Replace

from phlo_dlt.attempt import RemainingRows
from phlo_dlt.kept.json_rows import json_object
from phlo_dlt.rows.conformer import ORIGINAL
from phlo_dlt.rows.workspace import ROW_NUMBER

if TYPE_CHECKING:
    from phlo.lake import Lake
    from phlo.names import Partition
    from phlo.protocols import Staged

    from phlo_dlt.attempt import Attempt, QuarantinedRows
    from phlo_dlt.rows.workspace import Workspace
    from phlo_dlt.spec import IngestionSpec

SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), metadata={"doc": "The row's key, as JSON."}),
        pa.field("rules", pa.string(), metadata={"doc": "The rules it broke, a JSON list."}),
        pa.field("row", pa.string(), metadata={"doc": "The row as delivered, as JSON."}),
        pa.field(
            "is_loaded",
            pa.bool_(),
            metadata={"doc": "Whether it was loaded all the same (invalid_rows='keep')."},
        ),
        # Content, unlike _phlo_run_id: the same rows found by another run are written anew.
        pa.field("run_id", pa.string(), metadata={"doc": "Dagster's run that found it."}),
        pa.field("attempt", pa.int32(), metadata={"doc": "Attempt of the run, from 0."}),
        pa.field(INGESTED_AT_COLUMN, TIMESTAMP),
        pa.field(PARTITION_DATE_COLUMN, pa.date32()),
    ]
)


def select_broken(attempt: Attempt, work: Workspace) -> Sql:
    """Build the SELECT of the invalid rows, in the form of :data:`SCHEMA`.

    A value that could not be cast stands in ``row`` as the source delivered it.
    """
    spec = attempt.spec
    return sql(
        'SELECT {key} AS key, to_json(b._phlo_rules) AS rules, {row} AS "row", '
        "r.{n} NOT IN (SELECT {n} FROM {excluded}) AND {is_kept} AS is_loaded, "
        "CAST({attempt} AS INTEGER) AS attempt, {began} AS {began_name}, "
        "CAST({partition} AS DATE) AS {partition_name}, {run} AS run_id "
        "FROM {rows} r JOIN (SELECT {n}, list(rule ORDER BY rule) AS _phlo_rules FROM {broken} "
        "GROUP BY {n}) b ON r.{n} = b.{n}",
        key=_key(spec),
        row=json_object(spec.contract.columns, "r", refused=qualified("r", ORIGINAL)),
        n=Identifier(ROW_NUMBER),
        excluded=work.excluded,
        is_kept=spec.invalid_rows == "keep",
        attempt=attempt.number,
        began=attempt.began_at,
        began_name=Identifier(INGESTED_AT_COLUMN),
        partition=attempt.partition.date if attempt.partition else None,
        partition_name=Identifier(PARTITION_DATE_COLUMN),
        run=attempt.run_id,
        rows=work.rows,
        broken=work.broken,
    )


def _key(spec: IngestionSpec) -> Sql:
    columns = [column for name in spec.unique_key if (column := spec.contract.column(name))]
    return json_object(columns, "r")


def select_keys(attempt: Attempt, work: Workspace) -> Sql:
    """Build the SELECT of all keys without a null, in the form that quarantine keeps them."""
    keys = attempt.spec.unique_key
    present = [sql("r.{c} IS NOT NULL", c=name) for name in identifiers(keys)]
    return sql(
        "SELECT DISTINCT {key} AS key FROM {rows} r WHERE {p}",
        key=_key(attempt.spec),
        rows=work.rows,
        p=all_of(present),
    )


def publish_quarantine(attempt: Attempt, quarantined: QuarantinedRows) -> None:
    """Replace the quarantined rows of the table and partition by those of this attempt.

    Args:
        attempt: The attempt.
        quarantined: Its invalid rows.
    """
    store = attempt.lake.store
    if quarantined.rows is None and not store.exists(attempt.spec.quarantine):
        return

    def publish() -> None:
        snapshot = quarantine_snapshot(attempt.lake, attempt.spec)
        remaining = None
        if quarantined.keys is not None and snapshot is not None:
            remaining = RemainingRows(_remaining_rows(attempt, quarantined), snapshot)
        store.publish([stage_quarantine(attempt, quarantined.rows, remaining)])

    retry_on_moved_head(publish, attempt.settings.publish_attempts)


def _remaining_rows(attempt: Attempt, quarantined: QuarantinedRows) -> pa.Table:
    """Read the rows of earlier loads that this one neither delivered nor rejected again."""
    assert quarantined.keys is not None
    broken = quarantined.rows if quarantined.rows is not None else ds.dataset(SCHEMA.empty_table())
    query = sql(
        "SELECT {columns} FROM {t} WHERE {p} AND key NOT IN (SELECT key FROM delivered) "
        'AND "row" NOT IN (SELECT "row" FROM broken)',
        columns=identifiers(SCHEMA.names),
        t=attempt.spec.quarantine,
        p=of_partition(attempt.partition),
    )
    relations = {"delivered": quarantined.keys, "broken": broken}
    return attempt.lake.embedded_engine.query(query, relations=relations).read_all().cast(SCHEMA)


def of_partition(partition: Partition | None) -> Sql:
    """Build the condition that a quarantined row is of a partition, or of a load without one."""
    if partition is None:
        return sql("{c} IS NULL", c=Identifier(PARTITION_DATE_COLUMN))
    return partition_predicate(partition)


def quarantine_snapshot(lake: Lake, spec: IngestionSpec) -> int | None:
    """Return the snapshot of the quarantine table; ``None`` where it has none."""
    store = lake.store
    return store.load(spec.quarantine).snapshot_id if store.exists(spec.quarantine) else None


def stage_quarantine(
    attempt: Attempt, rows: ds.Dataset | None, remaining: RemainingRows | None
) -> Staged:
    """Stage these rows as all that the quarantine holds of the table and partition.

    Raises:
        MovedHeadError: It was changed since the remaining rows were read.
    """
    return attempt.lake.store.stage(
        attempt.spec.quarantine,
        _union(rows, remaining.rows if remaining else SCHEMA.empty_table()),
        Replace(attempt.partition, revises=remaining.snapshot_id if remaining else None),
        schema=SCHEMA,
        partition_by=((PARTITION_DATE_COLUMN, "identity"),) if attempt.partition else (),
        summary=attempt.extraction_entry,
    )


def _union(rows: ds.Dataset | None, remaining: pa.Table) -> ds.Dataset:
    """Join both; a Parquet file of DuckDB has times in UTC without a zone."""
    if rows is None:
        return ds.dataset(remaining)
    return ds.dataset([rows, ds.dataset(remaining.select(rows.schema.names).cast(rows.schema))])
