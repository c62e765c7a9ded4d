"""Verdicts of the fused query equal a plain pandas oracle, with and without delete files."""

import math

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phlo.names import TableName
from phlo.values import Merge
from phlo_iceberg.write import stage
from phlo_quality import AcceptedValuesCheck, NullCheck, PatternCheck, RangeCheck, UniqueCheck

EVENTS = TableName("bronze", "events")
SCHEMA = pa.schema(
    [("key", pa.int64()), ("n", pa.int64()), ("x", pa.float64()), ("t", pa.string())]
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "n": st.none() | st.integers(-3, 3) | st.sampled_from([2**53, 2**53 + 1]),
            "x": st.none() | st.floats(-2, 2) | st.sampled_from([math.nan, math.inf, -0.0, 1.0]),
            "t": st.none() | st.sampled_from(["", "a", "ab", "A", "a\n", "é", "a'b", "𝒳"]),
        }
    ),
    max_size=12,
)
CHECKS = (
    NullCheck(columns=["n", "x"]),
    RangeCheck("n", min_value=-1, max_value=float(2**53)),
    RangeCheck("x", min_value=0, max_value=1, allow_threshold=0.3),
    UniqueCheck(columns=["n"]),
    UniqueCheck(columns=["n", "t"]),
    UniqueCheck(columns=["x"]),
    AcceptedValuesCheck("t", ["a", "a'b", "𝒳", ""]),
    PatternCheck("t", "[a-z]+"),
)


def oracle(df: pd.DataFrame) -> list[set[int]]:
    """Keys of the rows that break each of CHECKS, by pandas and Python alone."""
    n, x, t = df["n"], df["x"], df["t"]

    def repeated(*names):
        present = df[list(names)].notna().all(axis=1)
        return present & df[present].duplicated(list(names), keep=False).reindex(
            df.index, fill_value=False
        )

    broken = [
        n.isna() | x.isna(),
        n.map(lambda v: v is not pd.NA and (v < -1 or v > 2**53)).astype(bool),
        x.notna() & ((x < 0) | (x > 1)),
        repeated("n"),
        repeated("n", "t"),
        repeated("x"),
        t.notna() & ~t.isin(["a", "a'b", "𝒳", ""]),
        t.notna() & ~t.str.fullmatch("[a-z]+").fillna(value=False).astype(bool),
    ]
    return [set(df["key"][b.astype(bool)]) for b in broken]


def frame(rows):
    columns = {
        "key": pd.Series([r["key"] for r in rows], dtype="int64"),
        "n": pd.Series([r["n"] for r in rows], dtype="Int64"),
        "x": pd.Series([r["x"] for r in rows], dtype="float64"),
        "t": pd.Series([r["t"] for r in rows], dtype="object"),
    }
    return pd.DataFrame(columns)


@pytest.mark.parametrize("with_deletes", [False, True])
@given(rows=ROWS)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_verdicts_and_named_rows_equal_an_oracle(judge, lake, monkeypatch, with_deletes, rows):
    rows = [{"key": number, **row} for number, row in enumerate(rows)]
    table = pa.Table.from_pylist(rows, SCHEMA)
    if with_deletes and len(rows) > 1:
        monkeypatch.setattr(stage, "REWRITE_ROWS", -1)
        monkeypatch.setattr(stage, "MIN_TOUCHED_SHARE", 1)
        before = [rows[0], *({**row, "n": 7, "t": "zzz"} for row in rows[1:])]
        lake.write(EVENTS, pa.Table.from_pylist(before, SCHEMA))
        assert lake.write(EVENTS, table, Merge(key=("key",))).strategy == "merge-on-read"
        table = None
    results = judge(table, *CHECKS, scope="table")
    for result, broken in zip(results, oracle(frame(rows)), strict=True):
        if not rows:
            assert result.status == "skipped"
            continue
        allowed = 0.3 if result.check.endswith("x") and result.kind == "RangeCheck" else 0
        assert (result.row_count, result.failed_count) == (len(rows), len(broken)), result.check
        assert result.passed is (len(broken) <= allowed * len(rows)), result.check
        if not result.passed:
            assert {row["key"] for row in result.sample} == broken, result.check
