"""Values of every type, loaded whole and read back by pyiceberg alone."""

import importlib.util
import json
import math
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

_path = Path(__file__).with_name("test_round_trip.py")
_spec = importlib.util.spec_from_file_location("round_trip", _path)
matrix = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(matrix)

FIELDS = {
    "int64": "int",
    "int32": "np.int32",
    "int8": "np.int8",
    "uint8": "np.uint8",
    "uint32": "pd.UInt32Dtype",
    "uint64": "np.uint64",
    "float64": "float",
    "float32": "np.float32",
    "decimal(38,10)": "Annotated[Places, 38, 10, None]",
    "decimal(10,2)": "Annotated[Places, 10, 2, None]",
    "bool": "bool",
    "str": "str",
    "bytes": "bytes",
    "datetime": "datetime",
    "date": "date",
    "time": 'Annotated[pd.ArrowDtype, pya.time64("us")]',
    "list": "list",
}
NAMES = {kind: f"c{i}" for i, kind in enumerate(FIELDS)}
SCHEMA = """
    from datetime import date, datetime
    from typing import Annotated
    import numpy as np
    import pandas as pd
    import pandera.pandas as pa
    import pyarrow as pya
    from pandera.engines.pandas_engine import Decimal as Places

    class EventSchema(pa.DataFrameModel):
        id: str
""" + "\n".join(f"        {NAMES[k]}: {t} = pa.Field(nullable=True)" for k, t in FIELDS.items())


def rows_of_every_type():
    """Rows whose values all fit, so that none is refused for another's sake."""
    fields = {
        NAMES[k]: (st.none() | kind.values).map(lambda v, kind=kind: _fitting(v, kind))
        for k, kind in matrix.KINDS.items()
    }
    return st.lists(st.fixed_dictionaries(fields), min_size=20, max_size=20)


def _fitting(value, kind):
    if value is None or isinstance(kind.expected(value), str) and kind.expected(value) == "refused":
        return None
    return value


def expected_of(row, *, nan_is_null):
    result = {}
    for name, kind in matrix.KINDS.items():
        value = row[NAMES[name]]
        value = None if value is None else kind.expected(value)
        is_nan = isinstance(value, float) and math.isnan(value)
        result[NAMES[name]] = None if is_nan and nan_is_null else value
    return result


@pytest.mark.parametrize("lane", ["rows", "arrow"])
def test_values_of_every_type_are_read_back_as_they_were(events, lane):
    events.declare(SCHEMA)
    print(f"PHLO_VALUES_SEED={matrix.SEED}")

    @seed(matrix.SEED)
    @settings(
        max_examples=max(1, matrix.VALUES // 20_000),
        deadline=None,
        database=None,
        suppress_health_check=HealthCheck,
    )
    @given(rows_of_every_type())
    def run(rows):
        delivered = [{"id": f"{i:02}", **row} for i, row in enumerate(rows)]
        expected = [expected_of(row, nan_is_null=lane == "rows") for row in rows]
        result = events.load(delivered if lane == "rows" else as_arrow(rows, expected))
        assert result.success, events.failure(result)
        for row, exact in zip(events.rows(), expected, strict=True):
            got = {n: row[n] for n in exact}
            lists = NAMES["list"]
            got[lists] = None if got[lists] is None else json.loads(got[lists])
            assert {n: matrix.spell(v) for n, v in got.items()} == {
                n: matrix.spell(v) for n, v in exact.items()
            }

    run()


def as_arrow(rows, expected):
    columns = {"id": [f"{i:02}" for i in range(len(rows))]}
    for name, kind in matrix.KINDS.items():
        values = [row[NAMES[name]] for row in expected]
        columns[NAMES[name]] = pa.array(matrix.map_lists(name, values), kind.arrow)
    return pa.table(columns)
