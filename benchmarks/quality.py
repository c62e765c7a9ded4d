"""Suites of checks over an Iceberg table, beside pandas loading the table once per check.

Millions of rows: ``PHLO_BENCH_MILLIONS=1,5`` (the default).
"""

from __future__ import annotations

import os
import re
import tempfile
from datetime import UTC, datetime

from benchmarks.measure import compare

HERE = "benchmarks.quality"
ROUNDS = 3
DAYS_PER_MILLION = 10


def _suite(kind: str):
    from phlo.specs import spec_of
    from phlo_quality import (
        AcceptedValuesCheck,
        CountCheck,
        FreshnessCheck,
        NullCheck,
        PatternCheck,
        RangeCheck,
        UniqueCheck,
        phlo_quality,
    )

    by_metadata = [
        NullCheck(columns=["id", "ts"]),
        CountCheck(min_count=1),
        FreshnessCheck(column="ts", max_age_hours=1_000_000),
        RangeCheck(column="amount", min_value=0, max_value=1e9),
    ]
    by_scan = [
        PatternCheck(column="id", pattern=r"[0-9a-f-]{36}"),
        UniqueCheck(columns=["id"]),
        AcceptedValuesCheck(column="status", values=["new", "open", "paid", "sent", "done"]),
        NullCheck(columns=["amount", "note"]),
    ]

    @phlo_quality(
        table="bronze.orders",
        checks=by_metadata if kind == "metadata" else [*by_metadata, *by_scan],
        scope="table",
    )
    def orders():
        pass

    return spec_of(orders)


def build(folder: str, days: int) -> None:
    """A table of so many days of 100,000 rows."""
    os.environ["PHLO_PROJECT_DIR"] = folder
    import pyarrow.dataset as ds
    from phlo.lake import open_lake
    from phlo.names import TableName
    from phlo.values import Append

    from benchmarks.data import day_rows

    store, table = open_lake().store, TableName("bronze", "orders")
    for day in range(days):
        rows = day_rows(day)
        how = Append(on_rerun="append")
        store.publish([store.stage(table, ds.dataset(rows), how, schema=rows.schema)])


def judge(folder: str, kind: str):
    """Evaluate the suite, every check of which passes."""
    os.environ["PHLO_PROJECT_DIR"] = folder
    from phlo.lake import open_lake

    lake, suite = open_lake(), _suite(kind)

    def evaluate() -> None:
        results = suite.evaluate(lake.engine, lake.store)
        assert all(result.passed for result in results), results

    return evaluate


def pandas(folder: str, kind: str):
    """The same questions, each asked of a frame of the whole table."""
    os.environ["PHLO_PROJECT_DIR"] = folder
    from phlo.lake import open_lake
    from phlo.names import TableName
    from pyiceberg.catalog import load_catalog

    properties = open_lake().store.catalog.properties
    table = load_catalog("lake", **properties).load_table("bronze.orders")
    assert open_lake().store.exists(TableName("bronze", "orders"))
    questions = [
        lambda df: df[["id", "ts"]].notna().all(axis=None),
        lambda df: len(df) > 0,
        lambda df: (datetime.now(UTC) - df["ts"].max()).total_seconds() < 3.6e9,
        lambda df: df["amount"].between(0, 1e9).all(),
    ]
    if kind == "all":
        whole = re.compile(r"[0-9a-f-]{36}")
        questions += [
            lambda df: df["id"].str.fullmatch(whole).all(),
            lambda df: df["id"].is_unique,
            lambda df: df["status"].isin(["new", "open", "paid", "sent", "done"]).all(),
            lambda df: df[["amount", "note"]].notna().all(axis=None),
        ]

    def ask() -> None:
        assert all(question(table.scan().to_pandas()) for question in questions)

    return ask


def run() -> list[dict]:
    """One row per size and suite."""
    rows = []
    for millions in map(int, os.environ.get("PHLO_BENCH_MILLIONS", "1,5").split(",")):
        with tempfile.TemporaryDirectory() as folder:
            compare(1, build=(f"{HERE}:build", (folder, millions * DAYS_PER_MILLION)))
            rows += [_row(folder, millions, kind) for kind in ("metadata", "all")]
    return rows


def _row(folder: str, millions: int, kind: str) -> dict:
    found = compare(
        ROUNDS, phlo=(f"{HERE}:judge", (folder, kind)), pandas=(f"{HERE}:pandas", (folder, kind))
    )
    phlo, peer = found["phlo"], found["pandas"]
    goal = {"metadata": "at most 1/100", "all": "at most 1/4 CPU, 1/3 memory"}[kind]
    return {
        "rows": f"{millions}M",
        "checks": {"metadata": "4, by metadata", "all": "8, regex and uniqueness too"}[kind],
        "phlo CPU s": phlo.cpu_seconds,
        "pandas CPU s": peer.cpu_seconds,
        "ratio": phlo.cpu_seconds / peer.cpu_seconds,
        "phlo MB": phlo.peak_mb,
        "pandas MB": peer.peak_mb,
        "goal": goal,
    }
