"""NaN in tables: Parquet's statistics leave it out, and DuckDB skips rows by them."""

import math

import pyarrow as pa
import pytest
from phlo.lake import open_lake
from phlo_testing.stores import DAY_1, EVENTS, merge, publish_rows

LEVELS = {"a": 1.5, "b": math.nan, "c": 1.5, "d": None}
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        ("level", pa.float64()),
        ("small", pa.float32()),
        ("place", pa.struct([("level", pa.float64())])),
    ]
)


@pytest.fixture
def lake(phlo_environment):
    lake = open_lake()
    rows = [
        {"id": k, "level": v, "small": v, "place": {"level": v} if v is not None else None}
        for k, v in LEVELS.items()
    ]
    publish_rows(lake.store, rows, merge(DAY_1), schema=SCHEMA)
    return lake


CONDITIONS = {
    "{c} <> 1.5": "b",
    "NOT ({c} <= 1.5)": "b",
    "{c} NOT BETWEEN 1 AND 2": "b",
    "is_nan({c})": "b",
    "{c} IS NOT DISTINCT FROM CAST('NaN' AS DOUBLE)": "b",
    "{c} = 1.5": "ac",
    "{c} IS NULL": "d",
}


def test_rows_of_nan_are_found(lake):
    for condition, expected in CONDITIONS.items():
        for column in ("level", "small", "place.level"):
            where = condition.format(c=column)
            rows = lake.engine.query(f"SELECT id FROM {EVENTS} WHERE {where} ORDER BY id")
            assert rows.read_all().column("id").to_pylist() == list(expected), where


def test_nan_is_passed_over_by_max_and_found_by_a_join(lake):
    greatest = lake.engine.query(f"SELECT max(level) AS m, min(small) AS n FROM {EVENTS}")
    (row,) = greatest.read_all().to_pylist()
    assert (row["m"], row["n"]) == (1.5, 1.5)
    joined = lake.engine.query(
        f"SELECT e.id FROM {EVENTS} AS e JOIN (SELECT CAST('NaN' AS DOUBLE) AS level) AS n "
        "ON e.level IS NOT DISTINCT FROM n.level"
    )
    assert joined.read_all().column("id").to_pylist() == ["b"]


def test_files_that_count_no_nan_are_skipped_by_their_statistics(phlo_environment):
    store = open_lake().store
    publish_rows(store, [{"id": "a", "level": 1.5, "small": 1.5}], merge(DAY_1), schema=SCHEMA)
    state = store.state(EVENTS)
    assert "isnan" not in state.relation(state.all_tasks, columns=["level", "small"])
