"""Casts that lose nothing, names, unknown columns."""

import json
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from ipaddress import ip_address, ip_interface
from typing import Annotated, NamedTuple
from uuid import UUID

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import polars
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pandera.engines import pandas_engine
from phlo.contract import Contract
from phlo.errors import ContractError
from phlo_dlt.rows.batches import batches_of
from phlo_dlt.rows.conformer import ORIGINAL, PROBLEMS, Conformer
from phlo_dlt.rows.naming import resolve_name
from phlo_dlt.rows.plain import WrittenFloat
from phlo_dlt.rows.whole import convert_cells

REFUSED_TEXT = ["value: cannot be cast to string (no text)"]
NOON = datetime(2025, 1, 15, 12, tzinfo=UTC)


class Color(str, Enum):  # noqa: UP042 - its str() is its name
    RED = "red"


def model(kind, **options):
    """A model with one nullable column ``value`` of a kind."""

    class Config:
        coerce = options.pop("coerce", False)
        strict = options.pop("strict", False)

    namespace = {
        "__annotations__": {"value": kind},
        "value": pandera.Field(nullable=True, **options),
        "Config": Config,
    }
    return Contract.of(type("Model", (pandera.DataFrameModel,), namespace))


def conformed(contract, *values):
    """Each value as it lands, or the rule it breaks."""
    table = Conformer(contract).rows([{"value": value} for value in values])
    return _outcome(table)


def _outcome(table):
    rows = zip(table["c0"].to_pylist(), table[PROBLEMS].to_pylist(), strict=True)
    return [value if problems is None else json.loads(problems)[0] for value, problems in rows]


class Money(pandera.DataFrameModel):
    value: Annotated[pandas_engine.Decimal, 6, 2, None] = pandera.Field(nullable=True)


@pytest.mark.parametrize(
    ("kind", "given_value", "expected"),
    [
        (int, 1.0, 1),
        (int, Decimal("2"), 2),
        (float, 3, 3.0),
        (float, Decimal("0.5"), 0.5),
        (float, Decimal("19.99"), 19.99),
        (float, float("nan"), None),
        (float, pd.NA, None),
        (int, np.int64(7), 7),
        (np.float32, 0.1, float(np.float32(0.1))),
        (str, Color.RED, "red"),
        (datetime, "2025-01-15T12:00:00Z", NOON),
        (datetime, "2025-01-15T14:00:00+02:00", NOON),
        (datetime, "2025-01-15 12:00:00", NOON),
        (datetime, datetime(2025, 1, 15, 12), NOON),
        (datetime, date(2025, 1, 15), NOON.replace(hour=0)),
        (datetime, datetime(2025, 1, 15, 7, tzinfo=timezone(timedelta(hours=-5))), NOON),
        (datetime, pd.Timestamp("2025-01-15T07:00", tz="America/New_York"), NOON),
        (datetime, np.datetime64("2025-01-15T12:00:00", "ns"), NOON),
        (datetime, pd.NaT, None),
        (date, "2025-01-15", date(2025, 1, 15)),
        (date, datetime(2025, 1, 15), date(2025, 1, 15)),
        (str, UUID(int=5), str(UUID(int=5))),
        (str, ip_interface("10.0.0.1/24"), "10.0.0.1/24"),
        (list, [ip_address("::1")], '["::1"]'),
        (str, {"a": [1]}, '{"a":[1]}'),
        (str, float("nan"), None),
        (list, [1, {"b": date(2025, 1, 1)}], '[1,{"b":"2025-01-01"}]'),
        (list, [2**70], "[1180591620717411303424]"),
        (list, np.arange(1200), json.dumps(list(range(1200)), separators=(",", ":"))),
        (dict, {"a": np.array([1, 2]), "b": np.int64(3)}, '{"a":[1,2],"b":3}'),
        (dict, {"a": 2**70, "b": float("nan")}, '{"a":1180591620717411303424,"b":null}'),
        (dict, {"a": Decimal("1.10"), "b": b"x"}, '{"a":"1.10","b":"eA=="}'),
        (dict, '{"a": 1}', '{"a": 1}'),
        (bool, np.bool_(True), True),
        (bytes, bytearray(b"x"), b"x"),
    ],
)
def test_a_cast_that_loses_nothing_is_made(kind, given_value, expected):
    contract = model(kind)

    assert conformed(contract, given_value) == [expected]
    assert conformed(contract, None, given_value, None) == [None, expected, None]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, 1.7),
        (int, "1"),
        (int, True),
        (int, 2**63),
        (float, "1.5"),
        (float, True),
        (float, 2**53 + 1),
        (bool, "False"),
        (bool, 1),
        (str, 5),
        (str, b"x"),
        (datetime, 1736942400),
        (datetime, "tomorrow"),
        (date, datetime(2025, 1, 15, 12)),
        (date, 20250115),
        (bytes, "x"),
        (list, "x"),
        (str, "\ud800"),
        (str, np.timedelta64(5, "s")),
        (int, np.datetime64("2025-01-15", "ns")),
        (int, np.array([5])),
        (float, np.timedelta64(5, "s")),
        (float, Decimal("sNaN")),
        (np.int8, 300),
        (np.uint8, -1),
        (pd.UInt32Dtype, -5),
        (np.uint64, 2**63),
        (np.float32, 1e300),
        (np.float32, 16777217),
        (datetime, pd.Timestamp("2025-01-15T12:00:00.000000999Z")),
        (datetime, "2025-01-15T12:00:00.1234567Z"),
        (datetime, "9999-12-31T23:59:59-05:00"),
        (date, pd.Timestamp("2025-01-15T00:00:00.000000001")),
        (dict, [1]),
        (list, {"a": 1}),
        (list, {1, 2}),
        (dict, {"a": {1, 2}}),
        (dict, {"a": float("inf")}),
        (dict, {"a": object()}),
        (dict, {1: "a", "1": "b"}),
        (int, np.datetime64("20240-01-01")),
        (datetime, np.datetime64(2**62, "D")),
        (float, np.timedelta64(2**62, "D")),
        (list[int], ["x"]),
        (list[int], ["1"]),
        (Annotated[pd.ArrowDtype, pa.list_(pa.int64())], ["x"]),
        (Annotated[pd.ArrowDtype, pa.struct([("a", pa.int8())])], {"a": 300}),
        (Annotated[pd.ArrowDtype, pa.map_(pa.string(), pa.int64())], {"a": "x"}),
    ],
)
def test_a_cast_that_would_lose_something_makes_the_row_invalid(kind, value):
    (outcome,) = conformed(model(kind), value)

    assert outcome.startswith("value: cannot be cast to ")


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (int, " 12 ", 12),
        (int, True, 1),
        (float, "1.5", 1.5),
        (bool, 1, True),
        (str, 5, "5"),
        (str, NOON.date(), "2025-01-15"),
        (float, "1e3", 1000.0),
        (list[int], ["1"], "[1]"),
    ],
)
def test_a_schema_that_coerces_also_casts_between_text_and_numbers(kind, value, expected):
    assert conformed(model(kind, coerce=True), value) == [expected]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, 1.7),
        (int, "1.7"),
        (int, "1_000"),
        (int, "0x1F"),
        (int, "\u0661"),
        (float, "1e400"),
        (float, "1_0.5"),
        (float, "9007199254740993"),
        (bool, "False"),
        (bool, 2),
    ],
)
def test_a_schema_that_coerces_still_loses_nothing(kind, value):
    (outcome,) = conformed(model(kind, coerce=True), value)

    assert "cannot be cast" in outcome


class Named(pandera.DataFrameModel):
    a: str = pandera.Field(nullable=True)
    n: int = pandera.Field(nullable=True)


@pytest.mark.parametrize(
    "rows",
    [
        [{"a": "x", "n": 1}, {"a": "y"}],
        [{"a": "x", "n": 1}, {"a": "y", "other": 2}],
        [{"n": 1, "a": "x"}, defaultdict(int, a="y")],
        [{"a": "x", "n": 1}, defaultdict(int, a="y", other=2)],
    ],
    ids=["fewer keys", "other keys", "fewer keys with a default", "other keys with a default"],
)
def test_a_key_that_a_row_lacks_is_null_and_the_row_stays_as_it_is(rows):
    before = [dict(row) for row in rows]
    table = Conformer(Contract.of(Named)).rows(rows)
    assert table.column(0).to_pylist() == ["x", "y"]
    assert table.column(1).to_pylist() == [1, None]
    assert [dict(row) for row in rows] == before


def test_decimals_keep_all_their_digits():
    values = [Decimal("1.5"), 2, 0.25, WrittenFloat("0.10"), Decimal("1.005"), Decimal("12345.67")]

    outcome = conformed(Contract.of(Money), *values, "1")

    assert outcome[:4] == [Decimal("1.50"), Decimal("2.00"), Decimal("0.25"), Decimal("0.10")]
    assert all("cannot be cast" in text for text in outcome[4:])


def test_decimals_of_38_digits_are_exact_beside_any_other():
    class Wide(pandera.DataFrameModel):
        value: Annotated[pandas_engine.Decimal, 38, 10, None] = pandera.Field(nullable=True)

    longest = Decimal("1234567890123456789012345678.0123456789")

    assert conformed(Contract.of(Wide), longest, 0.5, 2**63 - 1) == [
        longest,
        Decimal("0.5"),
        Decimal(2**63 - 1),
    ]


def test_a_number_of_json_keeps_its_digits_where_text_or_json_is_kept():
    number = WrittenFloat("12345678901234567.890")

    assert conformed(model(str, coerce=True), number) == ["12345678901234567.890"]
    assert conformed(model(list), [number]) == ["[12345678901234567.890]"]
    # Beside what only the slower writer knows.
    assert conformed(model(list), [number, 2**70]) == [f"[12345678901234567.890,{2**70}]"]
    assert conformed(model(float), number) == [12345678901234567.890]


def test_a_category_takes_the_values_it_lists():
    kind = Annotated[pd.CategoricalDtype, ("x", "y"), False]

    assert conformed(model(kind), "x", None) == ["x", None]
    assert conformed(model(kind), "zzz") == [
        "value: cannot be cast to category (not one of the categories)"
    ]


def test_one_bad_value_spoils_no_other_and_is_kept_as_it_was():
    table = Conformer(model(int)).rows([{"value": 1}, {"value": "x"}, {"value": 3}])

    assert table["c0"].to_pylist() == [1, None, 3]
    assert table[ORIGINAL].to_pylist() == [None, '{"value":"x"}', None]


@given(
    st.lists(
        st.none()
        | st.integers(-(2**70), 2**70)
        | st.floats()
        | st.booleans()
        | st.text(max_size=3)
        | st.datetimes()
        | st.dates()
        | st.binary(max_size=2)
        | st.lists(st.integers(0, 3), max_size=2),
        max_size=4,
    ),
    st.sampled_from([int, float, str, bool, datetime, date, bytes, list]),
)
@example(["", b""], bytes)
@example([np.datetime64("2024-01-01", "ns"), np.int64(5)], int)
@example([Decimal("12345678901234567890123456789.1"), 2**53 + 1], float)
@settings(max_examples=200, deadline=None)
def test_a_batch_conforms_as_its_rows_do_one_by_one(values, kind):
    contract = model(kind)

    together = conformed(contract, *values)

    alone = [conformed(contract, value)[0] for value in values]
    assert repr(together) == repr(alone)


def decimals(most_digits, places):
    """Decimals of that many digits, most of them zeros, with their point anywhere."""
    return st.builds(
        lambda sign, start, zeros, last, place: Decimal(
            (sign, (*start, *[0] * zeros, last)[:most_digits], place)
        ),
        st.integers(0, 1),
        st.lists(st.integers(0, 9), min_size=1, max_size=8).map(tuple),
        st.integers(0, most_digits),
        st.integers(0, 9),
        places,
    )


def as_a_decimal(value, precision, scale):
    units = Fraction(value) * 10**scale
    fits = units.denominator == 1 and abs(units) < 10**precision
    return (
        Decimal((int(units < 0), Decimal(abs(units.numerator)).as_tuple().digits, -scale))
        if fits
        else None
    )


@given(
    st.lists(decimals(120, st.integers(-120, 120)), min_size=1, max_size=4),
    st.sampled_from([(38, 0), (38, 2), (38, 10), (38, 38), (10, 2), (1, 1)]),
)
@example([Decimal("2.788899999999977552976097051E-22")], (38, 10))
@example([Decimal("7050000." + "0" * 103 + "1")], (38, 1))
@example([Decimal(0.1), Decimal("0.1")], (38, 10))
@settings(max_examples=500, deadline=None)
def test_a_decimal_of_any_length_is_taken_whole_or_refused(values, column):
    contract = model(Annotated[pandas_engine.Decimal, *column, None])

    outcome = conformed(contract, *values)

    for value, got in zip(values, outcome, strict=True):
        expected = as_a_decimal(value, *column)
        assert got == expected if expected is not None else "too many digits" in got


@given(
    st.sampled_from([(pa.decimal128, 38), (pa.decimal256, 76)]).flatmap(
        lambda kind: st.tuples(st.just(kind), decimals(38, st.integers(-kind[1], 0)))
    ),
    st.sampled_from([(38, 0), (38, 10), (38, 38), (10, 2)]),
)
@example(((pa.decimal128, 38), Decimal(11)), (38, 38))
@settings(max_examples=500, deadline=None)
def test_an_arrow_decimal_of_any_scale_is_taken_whole_or_refused(source, column):
    (kind, precision), value = source
    array = pa.array([value], kind(precision, -value.as_tuple().exponent))
    contract = model(Annotated[pandas_engine.Decimal, *column, None])

    (got,) = _outcome(Conformer(contract).table(pa.table({"value": array})))

    expected = as_a_decimal(value, *column)
    assert got == expected if expected is not None else "too many digits" in got


@given(decimals(76, st.integers(-60, 0)), st.sampled_from([(38, 0), (38, 10), (38, 38), (10, 2)]))
@example(Decimal("4587321.3723530411597610160"), (38, 38))
@settings(max_examples=500, deadline=None)
def test_cells_of_a_file_are_read_at_once_only_where_the_decimal_is_kept(value, column):
    (target,) = model(Annotated[pandas_engine.Decimal, *column, None]).columns

    at_once = convert_cells(pa.chunked_array([[f"{value:f}"]]), target)

    assert at_once is None or at_once.to_pylist() == [as_a_decimal(value, *column)]


def test_arrow_columns_of_other_types_are_cast_or_refused_value_by_value():
    table = pa.table({"value": pa.array([1.0, 1.5, None, float("nan")])})

    outcome = _outcome(Conformer(model(int)).table(table))

    assert outcome == [1, "value: cannot be cast to int64 (no whole number)", None, None]


@pytest.mark.parametrize(
    "array",
    [
        pa.array(["a", None]).dictionary_encode(),
        pa.array(["a", None], pa.large_string()),
        pa.chunked_array([["a"], [None]]),
    ],
)
def test_arrow_text_of_any_encoding_is_text(array):
    assert _outcome(Conformer(model(str)).table(pa.table({"value": array}))) == ["a", None]


def test_a_missing_column_is_its_default_else_null():
    contract = model(str, default="pending")

    assert _outcome(Conformer(contract).rows([{"other": 1}])) == ["pending"]
    assert conformed(contract, None, "done") == ["pending", "done"]
    assert _outcome(Conformer(model(str)).rows([{"other": 1}])) == [None]


def test_a_value_that_cannot_be_cast_does_not_become_the_default():
    contract = model(int, default=7)

    table = Conformer(contract).rows([{"value": "x"}, {"value": None}, {}])

    assert table["c0"].to_pylist() == [None, 7, 7]


def test_nan_is_no_value_in_rows_and_frames_but_a_number_in_arrow_data():
    frame = pd.DataFrame({"value": [1.0, None]})
    array = pa.table({"value": pa.array([1.0, float("nan"), None])})

    assert conformed(model(float), *frame["value"]) == [1.0, None]
    assert [_outcome(t) for t in batches_of(frame, Conformer(model(float)))] == [[1.0, None]]
    assert repr(_outcome(Conformer(model(float)).table(array))) == "[1.0, nan, None]"
    assert _outcome(Conformer(model(float, default=7.0)).table(array)) == [1.0, 7.0, 7.0]


@pytest.mark.parametrize(
    ("array", "kind", "outcome"),
    [
        (pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())), dict, ['{"k":1}', "{}"]),
        (pa.array([10**15], pa.timestamp("ms")), datetime, "no point in time"),
        (pa.array([1], pa.timestamp("ns")), datetime, "finer than a microsecond"),
        (
            pa.array([1001], pa.time64("ns")),
            Annotated[pd.ArrowDtype, pa.time64("us")],
            "finer than a microsecond",
        ),
        (pa.array([Decimal("19.99")], pa.decimal128(38, 2)), float, [19.99]),
        (pa.array([Decimal(2**53 + 1)], pa.decimal128(38, 2)), float, "too many digits"),
        (pa.array([1e300]), np.float32, "out of range"),
    ],
)
def test_arrow_data_is_converted_as_its_values_are(array, kind, outcome):
    got = _outcome(Conformer(model(kind)).table(pa.table({"value": array})))

    assert got == outcome or outcome in got[0]


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("date_string", "date_string"),
        ("dateString", "date_string"),
        ("Sgv", None),
        ("S L", "S L"),
        ("имя", "имя"),
        ("город", None),
        ("€", None),
        ("price (€)", None),
        ("", None),
    ],
)
def test_names_meet_exactly_or_by_dlts_convention_where_it_loses_no_letter(name, column):
    assert resolve_name(name, ["date_string", "S L", "svg", "имя", "x", "pricex"]) == column


def test_a_name_that_two_columns_share_by_convention_is_neither():
    assert resolve_name("aB", ["a_b", "a b"]) is None


class Dated(pandera.DataFrameModel):
    date_string: str


def test_two_source_fields_for_one_column_are_an_error():
    with pytest.raises(ContractError, match="'DateString' and 'dateString'"):
        Conformer(Contract.of(Dated)).rows([{"DateString": "x", "dateString": "y"}])


def test_a_field_of_the_exact_name_wins_row_by_row():
    conformer = Conformer(Contract.of(Dated))

    table = conformer.rows(
        [{"dateString": "a"}, {"date_string": "b"}, {"date_string": "c", "dateString": "d"}]
    )

    assert table["c0"].to_pylist() == ["a", "b", "c"]
    assert conformer.dropped == {"dateString": 1}


def test_two_arrow_columns_of_one_name_are_an_error():
    table = pa.table([[1], [2]], names=["value", "value"])

    with pytest.raises(ContractError, match="several columns called 'value'"):
        Conformer(model(int)).table(table)


def test_unknown_columns_are_counted_and_dropped():
    conformer = Conformer(model(int))

    conformer.rows([{"value": 1, "extra": 5}, {"value": 2, "extra": None, "_dlt_id": "x"}])

    assert conformer.dropped == {"extra": 1}


def test_a_strict_schema_refuses_rows_with_a_value_in_an_unknown_column():
    table = Conformer(model(int, strict=True)).rows(
        [{"value": 1, "extra": 5}, {"value": 2, "extra": None}, {"value": 3}]
    )

    assert _outcome(table) == ["extra: unknown column", 2, 3]


def test_what_is_no_row_is_an_error():
    with pytest.raises(ContractError, match="yields a int"):
        list(batches_of([1, 2], Conformer(model(int))))


def test_a_frame_with_a_column_of_mixed_types_is_read_row_by_row():
    frame = pd.DataFrame({"value": [1, "x"]})

    (table,) = batches_of(frame, Conformer(model(int)))

    assert _outcome(table) == [1, "value: cannot be cast to int64 (no number)"]


class Pair(NamedTuple):
    x: int
    y: int


OBJECTS = [
    datetime(2025, 1, 15, 12),
    date(2025, 1, 15),
    {"x": 1},
    {"y": None, "z": {"deep": 2**70}},
    {"at": pd.Timestamp("2025-01-15T00:00:00.000000001")},
    {1, 2},
    2**70,
    2**53 + 1,
    0.5,
    Decimal("1.10"),
    Decimal("2.345"),
    b"x",
    "y",
    True,
    None,
    float("nan"),
    pd.Period("2025-01"),
    1 + 2j,
]


@pytest.mark.parametrize("kind", [int, float, str, bytes, bool, date, datetime, dict])
def test_an_object_in_a_frame_means_what_it_means_in_a_row(kind):
    contract = model(kind)
    frame = pd.DataFrame({"value": pd.Series(OBJECTS, dtype=object)})

    (table,) = batches_of(frame, Conformer(contract))
    rows = Conformer(contract).rows([{"value": value} for value in OBJECTS])

    assert repr(_outcome(table)) == repr(_outcome(rows))
    assert table[ORIGINAL] == rows[ORIGINAL]


@pytest.mark.parametrize(
    ("column", "outcome"),
    [
        (pd.Series(pd.arrays.SparseArray([0, 3])), ["0", "3"]),
        (pd.Series([1 + 2j]), ["value: cannot be cast to string (no text)"]),
        (pd.Series(pd.period_range("2025", periods=1)), REFUSED_TEXT),
        (pd.Series(pd.interval_range(0, 1)), REFUSED_TEXT),
        (pd.Series(pd.Categorical(["x", None])), ["x", None]),
    ],
)
def test_a_column_that_only_pandas_has_is_read_value_by_value(column, outcome):
    (table,) = batches_of(pd.DataFrame({"value": column}), Conformer(model(str, coerce=True)))

    assert _outcome(table) == outcome


def test_a_frame_with_two_columns_of_one_name_is_an_error():
    frame = pd.DataFrame([[1, 2]], columns=["value", "value"])

    with pytest.raises(ContractError, match="several columns called 'value'"):
        list(batches_of(frame, Conformer(model(int))))


def test_a_polars_column_that_arrow_lacks_is_read_value_by_value():
    frame = polars.DataFrame({"value": polars.Series([1, 2**100], dtype=polars.Int128)})
    objects = polars.DataFrame({"value": polars.Series([b"x", {1}], dtype=polars.Object)})

    (integers,) = batches_of(frame, Conformer(model(int)))
    (texts,) = batches_of(objects, Conformer(model(bytes)))

    assert _outcome(integers) == [1, "value: cannot be cast to int64 (out of range)"]
    assert _outcome(texts) == [b"x", "value: cannot be cast to binary (no bytes)"]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_arrow_text_that_is_no_unicode_is_refused_and_shown(kind):
    size = pa.binary() if kind == pa.string() else pa.large_binary()
    table = pa.table({"value": pa.array([b"\xff", b"ok"], size).view(kind)})

    conformed_table = Conformer(model(str)).table(table)

    assert _outcome(conformed_table) == ["value: cannot be cast to string (no text)", "ok"]
    assert json.loads(conformed_table[ORIGINAL][0].as_py()) == {"value": "b'\\xff'"}


def test_a_value_nested_too_deeply_or_within_itself_is_refused_alone():
    within, deep = {}, 1
    within["k"] = within
    for _ in range(600):
        deep = {"k": deep}

    rule = "value: cannot be cast to json (nested too deeply, or within itself)"
    assert conformed(model(dict), within, deep, {"k": 1}) == [rule, rule, '{"k":1}']


LISTS = pa.list_(pa.struct([("b", pa.int16())]))
NESTED = [
    (pa.list_(pa.int8()), [[127, None], [], [5.0]], [[128], ["x"], {"a": 1}]),
    (pa.list_(pa.string()), [["a", None]], [[1], [b"x"], ["\ud83d"]]),
    (pa.list_(pa.int64(), 2), [[1, 2]], [[1], [1, 2, 3]]),
    (pa.list_(pa.float32()), [[0.1]], [[1e39], [2**24 + 1]]),
    (pa.list_(pa.bool_()), [[True]], [[1], ["true"]]),
    (pa.list_(pa.decimal128(5, 2)), [[Decimal("1.10")]], [[Decimal("1.005")], [1000]]),
    (pa.list_(pa.timestamp("us")), [["2025-01-15T12:00:00"], [NOON]], [["soon"], [5]]),
    (pa.list_(pa.date32()), [["2025-01-15"]], [["2025-02-30"]]),
    (pa.list_(pa.binary()), [[b"x"]], [["x"]]),
    (pa.list_(pa.duration("s")), [[]], [[1]]),
    (pa.struct([("a", pa.uint8()), ("b", LISTS)]), [{"a": 255}, {"b": [{"b": 1}]}], [{"a": -1}]),
    (pa.struct([("b", LISTS)]), [{"b": None}, {}], [{"b": [{"b": 70000}]}, {"c": 1}]),
    (pa.map_(pa.string(), pa.uint8()), [{"k": 255}, {}], [{"k": 256}, [("k", 1)]]),
]


@pytest.mark.parametrize(("kind", "held", "refused"), NESTED, ids=lambda kind: str(kind)[:40])
def test_a_nested_type_of_arrow_takes_what_fits_and_refuses_what_does_not(kind, held, refused):
    contract = model(Annotated[pd.ArrowDtype, kind])

    assert conformed(contract, *held) == conformed(model(type(held[0])), *held)
    assert all(f"cannot be cast to {kind} (" in o for o in conformed(contract, *refused))


def test_a_named_tuple_is_a_list_whatever_it_holds():
    assert conformed(model(list), Pair(1, 2), Pair(1, 2**70)) == ["[1,2]", f"[1,{2**70}]"]


def test_a_table_may_have_the_columns_own_name_beside_another_spelling():
    conformer = Conformer(model(int))
    table = conformer.table(pa.table({"Value": [1], "value": [2], "VALUE": [3]}))
    assert _outcome(table) == [2]
    assert conformer.dropped == {"Value": 1, "VALUE": 1}


@pytest.mark.parametrize("names", [("Value", "VALUE"), ("VALUE", "Value")])
def test_a_table_with_two_spellings_of_a_column_is_ambiguous(names):
    table = pa.table({name: [1] for name in names})
    with pytest.raises(ContractError, match=f"'{names[0]}' and '{names[1]}' are both the column"):
        Conformer(model(int)).table(table)


@pytest.mark.parametrize("column", ["value", "VALUE"])
def test_a_row_with_two_spellings_of_a_column_is_ambiguous_whatever_their_order(column):
    others = sorted({"VALUE", "Value", "value"} - {column})
    fields = {"__annotations__": {column: int}, column: pandera.Field(nullable=True)}
    contract = Contract.of(type("Model", (pandera.DataFrameModel,), fields))
    with pytest.raises(ContractError, match=f"'{others[0]}' and '{others[1]}' are both the column"):
        Conformer(contract).rows([dict.fromkeys(others, 1)])


def test_dropped_values_of_a_table_are_counted_without_nulls():
    conformer = Conformer(model(int))
    conformer.table(pa.table({"value": [1, 2, 3], "extra": ["a", None, "c"]}))
    assert conformer.dropped == {"extra": 2}


def test_rows_are_counted_over_all_batches():
    conformer = Conformer(model(int))
    conformer.rows([{"value": 1}, {"value": 2}])
    conformer.table(pa.table({"value": [3]}))
    assert conformer.extracted == 3


def test_the_first_of_several_repeated_columns_is_named():
    table = pa.Table.from_arrays([pa.array([1])] * 4, names=["a", "b", "b", "a"])
    with pytest.raises(ContractError, match="several columns called 'a'") as raised:
        Conformer(model(int)).table(table)
    assert raised.value.parts["column"] == "a"


def test_text_without_a_value_is_null_and_other_text_is_cast():
    text = pa.table({"value": pa.array(["1", None, "x", "2.5"])})
    conformed_text = Conformer(model(int)).text(text)
    assert conformed_text["c0"].to_pylist() == [1, None, None, None]
    broken = [problems is not None for problems in conformed_text[PROBLEMS].to_pylist()]
    assert broken == [False, False, True, True]
