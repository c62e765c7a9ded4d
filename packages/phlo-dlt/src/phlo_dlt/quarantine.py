"""Invalid rows, kept with the rules they broke (R40)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as ds
from phlo.contract_types import TIMESTAMP
from phlo.sql import Identifier, Sql, identifiers, sql
from phlo.values import INGESTED_AT_COLUMN, PARTITION_DATE_COLUMN, Replace

from phlo_dlt.conform import ORIGINAL
from phlo_dlt.judge import BROKEN, EXCLUDED
from phlo_dlt.publishing import until_head_rests
from phlo_dlt.workspace import ROW_NUMBER, ROWS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phlo.protocols import Staged

    from phlo_dlt.load import Attempt

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


def select_broken(attempt: Attempt) -> Sql:
    """All broken rows in the form of :data:`SCHEMA`.

    A value that could not be cast stands in ``row`` as the source delivered it.
    """
    spec = attempt.spec
    return sql(
        "SELECT to_json({key}) AS key, to_json(b._phlo_rules) AS rules, "
        "json_merge_patch(to_json({row}), coalesce(r.{original}, '{{}}')) AS \"row\", "
        "r.{n} NOT IN (SELECT {n} FROM {excluded}) AND {is_kept} AS is_loaded, "
        "CAST({attempt} AS INTEGER) AS attempt, {began} AS {began_name}, "
        "CAST({partition} AS DATE) AS {partition_name}, {run} AS run_id "
        "FROM {rows} r JOIN (SELECT {n}, list(rule ORDER BY rule) AS _phlo_rules FROM {broken} "
        "GROUP BY {n}) b ON r.{n} = b.{n}",
        key=_struct(spec.unique_key),
        row=_struct(spec.contract.column_names),
        original=Identifier(ORIGINAL),
        n=Identifier(ROW_NUMBER),
        excluded=EXCLUDED,
        is_kept=spec.invalid_rows == "keep",
        attempt=attempt.number,
        began=attempt.began_at,
        began_name=Identifier(INGESTED_AT_COLUMN),
        partition=attempt.partition.date if attempt.partition else None,
        partition_name=Identifier(PARTITION_DATE_COLUMN),
        run=attempt.run_id,
        rows=ROWS,
        broken=BROKEN,
    )


def _struct(columns: Sequence[str]) -> Sql:
    return sql("struct_pack({f})", f=[sql("{c} := r.{c}", c=name) for name in identifiers(columns)])


def publish_quarantine(attempt: Attempt, rows: ds.Dataset | None) -> None:
    """Make the quarantine of this table and partition what this attempt found.

    Args:
        attempt: The attempt.
        rows: Broken rows in the form of :data:`SCHEMA`; ``None``: there are none.
    """
    store = attempt.lake.store
    if rows is None and not store.exists(attempt.spec.quarantine):
        return
    until_head_rests(
        lambda: store.publish([stage_quarantine(attempt, rows)]), attempt.settings.publish_attempts
    )


def stage_quarantine(attempt: Attempt, rows: ds.Dataset | None) -> Staged:
    """Stage the quarantine of this table and partition as these rows alone."""
    return attempt.lake.store.stage(
        attempt.spec.quarantine,
        rows if rows is not None else ds.dataset(SCHEMA.empty_table()),
        Replace(attempt.partition),
        schema=SCHEMA,
        partition_by=((PARTITION_DATE_COLUMN, "identity"),) if attempt.partition else (),
    )
