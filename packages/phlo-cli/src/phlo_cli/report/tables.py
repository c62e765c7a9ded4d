"""Describe one table: size, rows by partition, columns, quarantine."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dagster import AssetKey
from phlo.errors import PhloError
from phlo.names import PARTITION_DATE_COLUMN, TableName
from phlo.orchestration.missing import made_partitions
from phlo.redaction import MASK
from phlo.sql import Identifier, sql
from phlo.undo import undone_runs
from phlo.values import LoadAccount

from phlo_cli.report.values import ColumnRow, PartitionRows, Reason, TableRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from dagster import DagsterInstance
    from phlo.lake import Lake
    from phlo.values import Snapshot

    from phlo_cli.lineage import Lineage
    from phlo_cli.project_index import IndexedAsset
    from phlo_cli.report.values import CheckRun
    from phlo_cli.status import AssetState

TOTALS = 400
"""Snapshots whose row counts are drawn."""

_DAY = Identifier(PARTITION_DATE_COLUMN)
_EXAMPLES = 3


def describe_table(
    asset: IndexedAsset,
    state: AssetState,
    checks: Mapping[str, Sequence[CheckRun]],
    lake: Lake | None,
    instance: DagsterInstance,
    lineage: Lineage,
    sensitive: Mapping[str, frozenset[str] | None],
) -> TableRow:
    """Read what the page shows of an asset; a table that cannot be read says why."""
    if asset.table is None or lake is None or not _exists(lake, asset.table):
        return TableRow(state, checks=checks)
    try:
        return _of_table(asset, state, checks, lake, instance, lineage, sensitive)
    except PhloError as error:
        return TableRow(state, checks=checks, problem=str(error))


def _exists(lake: Lake, table: str) -> bool:
    return lake.store.exists(TableName.parse(table))


def _of_table(
    asset: IndexedAsset,
    state: AssetState,
    checks: Mapping[str, Sequence[CheckRun]],
    lake: Lake,
    instance: DagsterInstance,
    lineage: Lineage,
    sensitive: Mapping[str, frozenset[str] | None],
) -> TableRow:
    table = TableName.parse(asset.table or "")
    stored, history = lake.store.load(table), lake.store.history(table)
    by_day = _quarantined_by_day(lake, table)
    masked = sensitive.get(str(table), frozenset())
    return TableRow(
        state=state,
        size_bytes=_size(history),
        snapshots=len(history),
        account=_account(history),
        partitions=_partitions(asset, stored.schema, lake, instance, by_day),
        totals=_totals(history),
        columns=_columns(stored.schema, table, lineage, masked),
        checks=checks,
        reasons=_reasons(lake, table, masked),
        quarantined=sum(by_day.values()),
    )


def _size(history: Sequence[Snapshot]) -> int | None:
    size = history[0].summary.get("total-files-size", "") if history else "0"
    return int(size) if size.isdigit() else None


def _account(history: Sequence[Snapshot]) -> dict[str, int] | None:
    """Return the account of the last load that was not undone; ``None`` without one."""
    undone = {run for snapshot in history for run in undone_runs(snapshot.summary)}
    standing = (s.summary for s in history if s.summary.get("phlo.run-id") not in undone)
    accounts = (LoadAccount.of_summary(summary) for summary in standing)
    account = next((one for one in accounts if one is not None), None)
    return {n: count for n, count in account.as_dict().items() if count} if account else None


def _totals(history: Sequence[Snapshot]) -> list[tuple[datetime, int]]:
    known = [
        (s.committed_at, int(s.summary.get("phlo.row-count") or s.summary["total-records"]))
        for s in history[:TOTALS]
        if "phlo.row-count" in s.summary or "total-records" in s.summary
    ]
    return known[::-1]


def _columns(
    schema: pa.Schema, table: TableName, lineage: Lineage, masked: frozenset[str] | None
) -> list[ColumnRow]:
    node = lineage.nodes.get(str(table))
    known = node.columns if node else None
    return [
        ColumnRow(
            name=field.name,
            type=str(field.type).removeprefix("large_"),
            description=(field.metadata or {}).get(b"doc", b"").decode(),
            made_of=None if known is None else tuple(map(str, known.get(field.name, ()))),
            is_sensitive=masked is None or field.name in masked,
        )
        for field in schema
    ]


def _partitions(
    asset: IndexedAsset,
    schema: pa.Schema,
    lake: Lake,
    instance: DagsterInstance,
    quarantined: Mapping[date | None, int],
) -> list[PartitionRows]:
    """Count rows by partition, with the partitions between that have none."""
    if PARTITION_DATE_COLUMN not in schema.names:
        return []
    counted = lake.engine.query(
        sql(
            "SELECT {d} AS day, count(*) AS row_count FROM {t} WHERE {d} IS NOT NULL GROUP BY 1",
            d=_DAY,
            t=TableName.parse(asset.table or ""),
        )
    ).read_all()
    rows = {row["day"]: row["row_count"] for row in counted.to_pylist()}
    days = sorted({*rows, *(day for day in quarantined if day)})
    if not days:
        return []
    made = _made_days(asset, instance)
    return [
        PartitionRows(day, rows.get(day, 0), quarantined.get(day, 0), day in made or day in rows)
        for day in sorted({*days, *_expected_days(asset, days[0], days[-1])})
    ]


def _made_days(asset: IndexedAsset, instance: DagsterInstance) -> set[date]:
    fmt = asset.partitions.fmt if asset.partitions else "%Y-%m-%d"
    made = made_partitions(instance, AssetKey.from_user_string(asset.key))
    return {day for key in made if (day := _day(key, fmt)) is not None}


def _expected_days(asset: IndexedAsset, first: date, last: date) -> list[date]:
    """List the days of the partitions between two of them, by the asset's own calendar."""
    if asset.partitions is None:
        return []
    definition, fmt = asset.partitions.definition(), asset.partitions.fmt
    after = datetime.combine(last + timedelta(days=2), datetime.min.time()).astimezone()
    days = (_day(key, fmt) for key in definition.get_partition_keys(current_time=after))
    return [day for day in days if day is not None and first <= day <= last]


def _day(key: str, fmt: str) -> date | None:
    try:
        return datetime.strptime(key, fmt).date()
    except ValueError:
        return None


def _quarantine(table: TableName) -> TableName:
    return TableName("quarantine", f"{table.namespace}__{table.name}")


def _quarantined_by_day(lake: Lake, table: TableName) -> dict[date | None, int]:
    if not lake.store.exists(_quarantine(table)):
        return {}
    statement = sql(
        "SELECT {d} AS day, count(*) AS row_count FROM {t} GROUP BY 1",
        d=_DAY,
        t=_quarantine(table),
    )
    return {r["day"]: r["row_count"] for r in lake.engine.query(statement).read_all().to_pylist()}


def _reasons(lake: Lake, table: TableName, masked: frozenset[str] | None) -> list[Reason]:
    """Count the rows in quarantine by the rule they break; a row may break several."""
    if not lake.store.exists(_quarantine(table)):
        return []
    statement = sql("SELECT rules, key FROM {t}", t=_quarantine(table))
    counts, keys = Counter[str](), defaultdict[str, list[str]](list)
    for batch in lake.engine.query(statement):
        for row in batch.to_pylist():
            for rule in json.loads(row["rules"]):
                counts[rule] += 1
                if len(keys[rule]) < _EXAMPLES:
                    keys[rule].append(_masked_key(row["key"], masked))
    return [Reason(rule, n, tuple(keys[rule])) for rule, n in counts.most_common()]


def _masked_key(key: str, masked: frozenset[str] | None) -> str:
    values: dict[str, Any] = json.loads(key)
    hidden = {n: MASK if masked is None or n in masked else v for n, v in values.items()}
    return json.dumps(hidden, ensure_ascii=False)
