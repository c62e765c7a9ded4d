"""Load rows out of quarantine again."""

from __future__ import annotations

import dataclasses
import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from dagster import AssetKey, DagsterEventType
from phlo.errors import ReplayError
from phlo.names import INGESTED_AT_COLUMN
from phlo.sql import Sql, identifiers, sql

from phlo_dlt.attempt import KeptRows, RemainingRows
from phlo_dlt.kept.quarantine import SCHEMA, of_partition, quarantine_snapshot
from phlo_dlt.kept.replay import as_refused
from phlo_dlt.rows.naming import resolve_name
from phlo_dlt.spec import MergeConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagster import DagsterInstance
    from phlo.contract import Contract
    from phlo.lake import Lake
    from phlo.names import Partition

    from phlo_dlt.spec import IngestionSpec


def as_requeue(spec: IngestionSpec) -> IngestionSpec:
    """Return the ingestion that loads rows beside those already loaded.

    What is still broken goes back to quarantine, and rows of an append or a replace are added.
    """
    spec = dataclasses.replace(
        spec, invalid_rows="quarantine" if spec.invalid_rows == "fail" else spec.invalid_rows
    )
    if spec.merge_strategy == "merge":
        return spec
    return dataclasses.replace(
        spec, merge_strategy="append", merge_config=MergeConfig(on_rerun="append")
    )


def quarantined_rows(
    lake: Lake,
    spec: IngestionSpec,
    partition: Partition | None,
    instance: DagsterInstance,
    run_id: str,
) -> KeptRows:
    """Read the rows of a partition that a run put into quarantine.

    Rows that were loaded all the same (``invalid_rows="keep"``) are loaded again only where a
    merge finds them by their key; else they stay in quarantine as they are, like those of other
    runs.

    Raises:
        ReplayError: There are none, or the load that found them published nothing.
    """
    snapshot = quarantine_snapshot(lake, spec)
    if snapshot is None:
        raise _nothing(spec, partition)
    is_merge = spec.merge_strategy == "merge"
    is_loaded = Sql("" if is_merge else " AND NOT is_loaded")
    is_of_run = sql("run_id = {r}{loaded}", r=run_id, loaded=is_loaded)
    chosen = sql("{p} AND {r}", p=of_partition(partition), r=is_of_run)
    others = sql("{p} AND NOT ({r})", p=of_partition(partition), r=is_of_run)
    first = lake.embedded_engine.query(_select(spec, chosen, limit=1)).read_all().to_pylist()
    if not first:
        raise _nothing(spec, partition)
    _refuse_unpublished(instance, spec, run_id)
    return KeptRows(
        run_id=run_id,
        rows=lambda: _rows(lake, _select(spec, chosen), spec.contract),
        began_at=first[0][INGESTED_AT_COLUMN],
        remaining=RemainingRows(
            lake.embedded_engine.query(_select(spec, others)).read_all().cast(SCHEMA), snapshot
        ),
    )


def _select(spec: IngestionSpec, condition: Sql, limit: int | None = None) -> Sql:
    return sql(
        "SELECT {columns} FROM {t} WHERE {p}{limit}",
        columns=identifiers(SCHEMA.names),
        t=spec.quarantine,
        p=condition,
        limit=Sql("") if limit is None else sql(" LIMIT {n}", n=limit),
    )


def _nothing(spec: IngestionSpec, partition: Partition | None) -> ReplayError:
    where = f" of partition {partition.key}" if partition else ""
    return ReplayError(
        f"No row of {spec.table}{where} waits in quarantine.",
        hint="`phlo quarantine list` shows the tables and partitions that have some.",
    )


def _refuse_unpublished(instance: DagsterInstance, spec: IngestionSpec, run_id: str) -> None:
    """Raise ReplayError if the run that quarantined these rows published nothing.

    Its valid rows are missing too, so the whole run is to be replayed.
    """
    if not instance.has_run(run_id):
        return
    kind = DagsterEventType.ASSET_MATERIALIZATION
    made = instance.get_records_for_run(run_id, of_type=kind).records
    events = [record.event_log_entry.dagster_event for record in made]
    if not any(e is not None and e.asset_key == AssetKey([spec.asset_name]) for e in events):
        raise ReplayError(
            f"The load of {spec.table} that found these rows (run {run_id}) published nothing, "
            "not its valid rows either.",
            hint=f"Load all of them: `phlo materialize {spec.table}+ --from-staged {run_id[:8]}`.",
        )


def _rows(lake: Lake, query: Sql, contract: Contract) -> Iterator[list[dict[str, Any]]]:
    for batch in lake.embedded_engine.query(query):
        yield [_row(r["row"], r["rules"], contract) for r in batch.to_pylist()]


def _row(text: str, rules: str, contract: Contract) -> dict[str, Any]:
    """Read a quarantined row as the source delivered it.

    A value that could not be cast stands under the source's own name for the column.
    """
    row = json.loads(text, parse_float=Decimal)
    refused = {r.partition(": cannot be cast")[0] for r in json.loads(rules) if ": cannot" in r}
    columns = {name: resolve_name(name, contract.column_names) or name for name in row}
    own = {c: _value(row[n], contract, c) for n, c in columns.items() if c not in refused}
    others = {columns[n]: v for n, v in row.items() if columns[n] in refused and v is not None}
    return own | {c: as_refused(v, contract, c) for c, v in others.items()}


def _value(value: Any, contract: Contract, name: str) -> Any:
    """Return a value of the contract's own type from its JSON.

    Bytes stand there as DuckDB writes them, NaN and infinity as text.
    """
    column = contract.column(name)
    if value is None or column is None:
        return value
    if isinstance(value, str) and pa.types.is_binary(column.type):
        return re.sub(rb"\\x([0-9A-F]{2})", lambda m: bytes([int(m[1], 16)]), value.encode())
    if isinstance(value, str | Decimal) and pa.types.is_floating(column.type):
        return float(value)
    return value
