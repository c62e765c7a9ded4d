"""Rows as JSON text: every digit, every null, for any value and any name."""

import json
import math
from decimal import Decimal

import duckdb
import pyarrow as pa
import simplejson
from hypothesis import given, settings
from hypothesis import strategies as st
from phlo.contract import ContractColumn
from phlo.sql import Sql, sql
from phlo_dlt.kept.json_rows import json_object

DECIMALS = st.none() | st.decimals(
    min_value=Decimal(-(10**19)), max_value=Decimal(10**19), places=18, allow_nan=False
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | DECIMALS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
COLUMNS = [
    ContractColumn("we\"ird; -- 'name", pa.decimal128(38, 18)),
    ContractColumn("ratio", pa.float64()),
    ContractColumn("x", pa.string()),
]
CONNECTION = duckdb.connect()


def as_json(values, refused=None):
    row = dict(zip((c.name for c in COLUMNS), values, strict=True))
    table = pa.table({c.name: pa.array([row[c.name]], c.type) for c in COLUMNS})
    text = None if refused is None else simplejson.dumps(refused, separators=(",", ":"))
    table = table.append_column("refused", pa.array([text], pa.string()))
    CONNECTION.register("load", table)
    select = sql(
        "SELECT {r} FROM load r",
        r=json_object(COLUMNS, "r", None if refused is None else Sql("r.refused")),
    )
    return json.loads(CONNECTION.sql(select).fetchall()[0][0], parse_float=Decimal)


@settings(max_examples=60, deadline=None, database=None)
@given(DECIMALS, st.none() | st.floats(), st.none() | TEXTS)
def test_a_row_reads_back_as_it_is(amount, ratio, text):
    found = as_json((amount, ratio, text))

    assert found[COLUMNS[0].name] == amount
    assert found["x"] == text
    if ratio is None or math.isfinite(ratio):
        assert (ratio is None and found["ratio"] is None) or float(found["ratio"]) == ratio
    else:
        assert str(float(found["ratio"])) == str(ratio)


@settings(max_examples=60, deadline=None, database=None)
@given(st.dictionaries(TEXTS | st.sampled_from(["ratio", "x"]), JSON, max_size=4))
def test_a_refused_value_stands_in_place_of_its_column(refused):
    expected = {COLUMNS[0].name: Decimal("1.5"), "ratio": None, "x": None} | refused

    assert as_json((Decimal("1.5"), None, None), refused) == expected
