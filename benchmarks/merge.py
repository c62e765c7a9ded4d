"""A merge of 100,000 rows into tables of 1, 5 and 20 million, beside an append and pyiceberg's own.

Sizes: ``PHLO_BENCH_MILLIONS=1,5`` (the default), 20 where there is time.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pyarrow.dataset as ds
from phlo.values import Append, Merge, Partition, TableName
from phlo_iceberg.store import IcebergStore
from pyiceberg.catalog import load_catalog

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
    """A table of so many days."""
    store = open_store(folder)
    for day in range(days):
        publish(store, day_rows(day), Append(Partition(day_of(day)), on_rerun="append"))


def publish(store: IcebergStore, rows, how) -> None:
    staged = store.stage(
        TABLE,
        ds.dataset(rows),
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


def _two_days(days: int):
    """Half of a day's rows with another amount, and as many new ones of the next."""
    import pyarrow as pa

    half = changed(day_rows(days - 1), 0.5, days)
    return pa.concat_tables([half, day_rows(days, ROWS_PER_DAY // 2)])


def append(folder: str, days: int):
    store, rows = _copy(folder), day_rows(days)
    return lambda: publish(store, rows, Append(Partition(day_of(days)), on_rerun="append"))


def merge(folder: str, days: int, scope: str = "table"):
    store, rows = _copy(folder), _two_days(days)
    how = Merge(("id",), Partition(day_of(days)), key_scope=scope)
    return lambda: publish(store, rows, how)


def merge_confined(folder: str, days: int):
    store, rows = _copy(folder), changed(day_rows(days - 1), 1.0, days - 1)
    how = Merge(("id",), Partition(day_of(days - 1)), key_scope="partition")
    return lambda: publish(store, rows, how)


def merge_spread(folder: str, days: int):
    import pyarrow as pa

    store, share = _copy(folder), 1 / days
    rows = pa.concat_tables([changed(day_rows(n), share, days) for n in range(days)])
    return lambda: publish(store, rows, Merge(("id",), Partition(day_of(days))))


def merge_nothing(folder: str, days: int):
    store, rows = _copy(folder), day_rows(days - 1)
    return lambda: publish(store, rows, Merge(("id",), Partition(day_of(days - 1))))


def upsert(folder: str, days: int):
    table = _copy(folder).catalog.load_table("bronze.orders")
    rows = _two_days(days).cast(table.schema().as_arrow())
    return lambda: table.upsert(rows, join_cols=["id"])


def run() -> list[dict]:
    """One row per size and kind, each beside the append."""
    found = []
    for millions in map(int, os.environ.get("PHLO_BENCH_MILLIONS", "1,5").split(",")):
        with tempfile.TemporaryDirectory() as folder:
            days = millions * 10
            build(folder, days)
            kinds = ["append", "merge", "merge_confined", "merge_spread", "merge_nothing"]
            usages = compare(ROUNDS, **{k: (f"{HERE}:{k}", (folder, days)) for k in kinds})
            if millions == 1:
                usages |= compare(1, upsert=(f"{HERE}:upsert", (folder, days)))
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
