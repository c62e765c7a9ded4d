"""A merge of 100,000 rows into tables of 1, 5 and 20 million, beside an append and others' merges.

Sizes: ``PHLO_BENCH_MILLIONS=1,5`` (the default), 20 where there is time.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from dlt.common.libs.pyiceberg import merge_iceberg_table
from phlo.names import Partition, TableName
from phlo.values import Append, Merge
from phlo_iceberg.store import IcebergStore
from phlo_iceberg.write import stage
from pyiceberg.catalog import load_catalog
from pyiceberg.table import Table

from benchmarks.data import ROWS_PER_DAY, SCHEMA, changed, day_of, day_rows
from benchmarks.measure import compare

TABLE = TableName("bronze", "orders")
HERE = "benchmarks.merge"
ROUNDS = 3


def open_store(folder: str) -> IcebergStore:
    """A store in a folder."""
    return IcebergStore(
        load_catalog(
            "lake",
            type="sql",
            uri=f"sqlite:///{folder}/catalog.db",
            warehouse=Path(folder, "warehouse").as_uri(),
        )
    )


def build(folder: str, days: int) -> None:
    """A table of so many days, and the loads as files, so that making them costs no one."""
    store = open_store(folder)
    for day in range(days):
        publish(store, ds.dataset(day_rows(day)), Append(Partition(day_of(day)), on_rerun="append"))
    last, following = day_rows(days - 1), day_rows(days)
    half = ROWS_PER_DAY // 2
    save(folder, "next_day", following)
    save(folder, "two_days", pa.concat_tables([changed(last, 0.5, days), following[:half]]))
    save(folder, "same_day", changed(last, 1.0, days - 1))
    save(folder, "nothing", last)
    spread = [changed(day_rows(n), 1 / days, days) for n in range(days)]
    save(folder, "spread", pa.concat_tables(spread))


def save(folder: str, name: str, rows: pa.Table) -> None:
    pq.write_table(rows, f"{folder}/{name}.parquet")


def publish(store: IcebergStore, rows: ds.Dataset, how) -> None:
    staged = store.stage(
        TABLE,
        rows,
        how,
        schema=SCHEMA,
        partition_by=[("_phlo_partition_date", "identity")],
    )
    store.publish([staged])


def _copy(folder: str) -> IcebergStore:
    """The table anew for each round: its files are only read, its catalog is written."""
    shutil.copyfile(f"{folder}/catalog.db", f"{folder}/round.db")
    return IcebergStore(
        load_catalog(
            "lake",
            type="sql",
            uri=f"sqlite:///{folder}/round.db",
            warehouse=Path(folder, "warehouse").as_uri(),
        )
    )


def _load(folder: str, name: str, how):
    store, rows = _copy(folder), ds.dataset(f"{folder}/{name}.parquet")
    return lambda: publish(store, rows, how)


def append(folder: str, days: int):
    return _load(folder, "next_day", Append(Partition(day_of(days)), on_rerun="append"))


def merge(folder: str, days: int):
    return _load(folder, "two_days", Merge(("id",), Partition(day_of(days))))


def merge_confined(folder: str, days: int):
    how = Merge(("id",), Partition(day_of(days - 1)), key_scope="partition")
    return _load(folder, "same_day", how)


def merge_spread(folder: str, days: int):
    return _load(folder, "spread", Merge(("id",), Partition(day_of(days))))


def merge_nothing(folder: str, days: int):
    return _load(folder, "nothing", Merge(("id",), Partition(day_of(days - 1))))


def rewrite_spread(folder: str, days: int):
    """The merge of spread keys that rewrites every file, as it would without position deletes."""
    stage.MIN_TOUCHED_SHARE = 0
    return merge_spread(folder, days)


def upsert(folder: str, days: int):
    """pyiceberg's own merge."""
    table, rows = _table_and_rows(folder)
    return lambda: table.upsert(rows, join_cols=["id"])


def dlt_merge(folder: str, days: int):
    """What dlt's filesystem destination does with a load whose table format is Iceberg."""
    table, rows = _table_and_rows(folder)
    key = {"name": "id", "data_type": "text", "primary_key": True}
    schema = {"x-merge-strategy": "upsert", "columns": {"id": key}}
    return lambda: merge_iceberg_table(table, rows, schema, "orders")


def _table_and_rows(folder: str) -> tuple[Table, pa.Table]:
    table = _copy(folder).catalog.load_table("bronze.orders")
    return table, pq.read_table(f"{folder}/two_days.parquet").cast(table.schema().as_arrow())


def peers(millions: int) -> list[str]:
    """What is measured once, at the sizes at which it ends in bearable time."""
    largest = {"rewrite_spread": 5, "upsert": 5, "dlt_merge": 1}
    return [name for name, size in largest.items() if millions <= size]


def run() -> list[dict]:
    """One row per size and kind, each beside the append."""
    found = []
    for millions in map(int, os.environ.get("PHLO_BENCH_MILLIONS", "1,5").split(",")):
        with tempfile.TemporaryDirectory() as folder:
            days = millions * 10
            build(folder, days)
            kinds = ["append", "merge", "merge_confined", "merge_spread", "merge_nothing"]
            usages = compare(ROUNDS, **{k: (f"{HERE}:{k}", (folder, days)) for k in kinds})
            usages |= compare(1, **{k: (f"{HERE}:{k}", (folder, days)) for k in peers(millions)})
            found += [
                {
                    "rows": f"{millions}M",
                    "kind": kind,
                    "cpu_s": usage.cpu_seconds,
                    "wall_s": usage.wall_seconds,
                    "peak_mb": usage.peak_mb,
                    "x_append": usage.cpu_seconds / usages["append"].cpu_seconds,
                }
                for kind, usage in usages.items()
            ]
    return found
