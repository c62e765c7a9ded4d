"""Columns that are converted at once: the same as value by value, for every pair of types."""

import datetime as dt
from decimal import Decimal
from typing import Annotated

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandera.engines import pandas_engine
from phlo.contract import Contract
from phlo_dlt.rows.casting import convert
from phlo_dlt.rows.conformer import as_python
from phlo_dlt.rows.whole import convert_array

COLUMNS = {
    "int64": int,
    "int8": np.int8,
    "uint32": np.uint32,
    "uint64": np.uint64,
    "float64": float,
    "float32": np.float32,
    "float16": Annotated[pd.ArrowDtype, pa.float16()],
    "bool": bool,
    "string": str,
    "binary": bytes,
    "timestamp": dt.datetime,
    "date": dt.date,
    "time": Annotated[pd.ArrowDtype, pa.time64("us")],
    **{
        f"decimal({precision}, {scale})": Annotated[pandas_engine.Decimal, precision, scale, None]
        for precision, scale in [(38, 0), (38, 10), (38, 38), (10, 2)]
    },
}
TEXTS = """1|-1|+1|1.5|1e5|nan|inf|true|False|0|-0|007|1_000|0x1F| 1|1.|.5|1e400|a|é|😀
12345678901234567890|2024-01-01|2024-1-1|20240101|2024-W01-1|2023-02-29|0001-01-01|0000-01-01|10000-01-01|-2024-01-01
2024-01-01T00:00:00|2024-01-01 10:00:00+02:00|2024-01-01T00:00:00Z|2024-01-01T00:00|2024-01-01T1
9999-12-31T23:59:59.999999|9999-12-31T23:59:59-05:00|2024-01-01T00:00:00.1234567|2024-01-01T24:00:00
2024-01-01T00:00:00+0530|2024-01-01T00:00:00,5|2024-06-30T23:59:60Z|10:00:00|24:00:00|00:00|"""
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799
FIRST_DAY, LAST_DAY = -719_162, 2_932_896


def around(lowest, highest, *edges):
    """Integers of a range, most of them near its ends, near zero, or near other edges."""
    near = [edge + step for edge in (lowest, highest, 0, *edges) for step in (-1, 0, 1)]
    kept = [number for number in near if lowest <= number <= highest]
    return st.sampled_from(kept) | st.integers(lowest, highest)


def moments(unit):
    per = PER_SECOND[unit]
    edges = [edge for edge in (FIRST_SECOND * per, LAST_SECOND * per) if abs(edge) < 2**63]
    today = st.integers(0, 2 * 10**9).map(lambda seconds: seconds * per)
    return around(-(2**63), 2**63 - 1, *edges) | today


def decimals(precision, scale):
    """Decimals of a type, half of them with zeros at their end."""
    digits = st.text("0123456789", min_size=precision, max_size=precision)
    zeros = "0" * (precision // 2)
    rounded = digits.map(lambda text: text[: precision - len(zeros)] + zeros)
    small = st.integers(0, 999).map(lambda number: str(number).zfill(precision)[-precision:])
    return st.builds(
        lambda sign, text: Decimal((sign, tuple(map(int, text)), -scale)),
        st.integers(0, 1),
        digits | rounded | small,
    )


def floats(width):
    return st.floats(width=width) | st.integers(-2048, 2048).map(float)


SOURCES = {
    **{pa.int64(): around(-(2**63), 2**63 - 1, 2**53), pa.uint64(): around(0, 2**64 - 1, 2**63)},
    **{pa.int8(): around(-128, 127), pa.uint32(): around(0, 2**32 - 1)},
    **{kind: floats(kind.bit_width) for kind in (pa.float16(), pa.float32(), pa.float64())},
    **{
        pa.timestamp(unit, zone): moments(unit)
        for unit in PER_SECOND
        for zone in (None, "UTC", "+05:00", "America/New_York")
    },
    **{pa.duration(unit): around(-(2**63) + 1, 2**63 - 1) for unit in PER_SECOND},
    pa.time32("ms"): around(0, 86_399_999),
    pa.time64("us"): around(0, 86_399_999_999),
    pa.time64("ns"): around(0, 86_399_999_999_999) | st.just(1000),
    pa.date32(): around(-(2**31), 2**31 - 1, FIRST_DAY, LAST_DAY) | st.integers(0, 20_000),
    pa.date64(): around(FIRST_DAY, LAST_DAY).map(lambda day: day * 86_400_000),
    pa.bool_(): st.booleans(),
    **{
        kind(most, scale): decimals(most, scale)
        for kind, most in [
            (pa.decimal32, 9),
            (pa.decimal64, 18),
            (pa.decimal128, 38),
            (pa.decimal256, 76),
        ]
        for scale in (0, 2, most // 2, most)
    },
    **{
        kind: st.sampled_from(TEXTS.replace("\n", "|").split("|"))
        for kind in (pa.string(), pa.large_string(), pa.string_view())
    },
    **{kind: st.binary(max_size=3) for kind in (pa.binary(), pa.large_binary(), pa.binary_view())},
    pa.binary(2): st.binary(min_size=2, max_size=2),
}


def column_of(kind, coerce):
    namespace = {
        "__annotations__": {"value": kind},
        "value": pandera.Field(nullable=True),
        "Config": type("Config", (), {"coerce": coerce}),
    }
    return Contract.of(type("Model", (pandera.DataFrameModel,), namespace)).columns[0]


CONTRACT_COLUMNS = {
    (name, coerce): column_of(kind, coerce)
    for name, kind in COLUMNS.items()
    for coerce in (False, True)
}


def array_of(values, kind):
    """An array of the numbers that Arrow stores for its times and dates."""
    if pa.types.is_temporal(kind):
        return pa.array(values, pa.int32() if kind.bit_width == 32 else pa.int64()).view(kind)
    return pa.array(values, kind)


def one_by_one(array, column):
    """The column's values, or ``None`` where one of them is refused."""
    try:
        converted = [convert(value, column) for value in as_python(pa.chunked_array([array]))]
    except ValueError:
        return None
    return pa.array(converted, column.type).to_pylist()


@pytest.mark.parametrize("name", [name for name in COLUMNS if name != "float16"])
def test_a_column_of_its_own_type_is_converted_at_once(name):
    column = CONTRACT_COLUMNS[name, False]
    value = {"string": "a", "binary": b"a", "bool": True}.get(name, 0)
    array = array_of([value, None], column.type)

    assert convert_array(array, column).equals(array)


@pytest.mark.parametrize("name", COLUMNS)
@given(st.data(), st.sampled_from(list(SOURCES)), st.booleans())
@settings(max_examples=200, deadline=None)
def test_an_arrow_column_of_any_type_is_converted_at_once_as_its_values_are(
    name, data, kind, coerce
):
    values = data.draw(st.lists(st.none() | SOURCES[kind], min_size=1, max_size=3))
    array, column = array_of(values, kind), CONTRACT_COLUMNS[name, coerce]

    at_once = convert_array(array, column)

    if at_once is not None:
        assert repr(at_once.to_pylist()) == repr(one_by_one(array, column))  # NaN and -0.0 count
