"""Casts that lose nothing, names, unknown columns."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pandera.engines import pandas_engine
from phlo.contract import Contract
from phlo.errors import ContractError
from phlo_dlt.rows.conformer import ORIGINAL, PROBLEMS, Conformer, batches_of, resolve_name

NOON = datetime(2025, 1, 15, 12, tzinfo=UTC)


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
        (datetime, "2025-01-15T12:00:00Z", NOON),
        (datetime, "2025-01-15T14:00:00+02:00", NOON),
        (datetime, "2025-01-15 12:00:00", NOON),
        (datetime, datetime(2025, 1, 15, 12), NOON),
        (datetime, date(2025, 1, 15), NOON.replace(hour=0)),
        (datetime, pd.Timestamp("2025-01-15T12:00:00.000000999Z"), NOON),
        (datetime, pd.NaT, None),
        (date, "2025-01-15", date(2025, 1, 15)),
        (date, datetime(2025, 1, 15), date(2025, 1, 15)),
        (str, UUID(int=5), str(UUID(int=5))),
        (str, {"a": [1]}, '{"a":[1]}'),
        (str, float("nan"), None),
        (list, [1, {"b": date(2025, 1, 1)}], '[1,{"b":"2025-01-01"}]'),
        (list, [2**70], "[1180591620717411303424]"),
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
    ],
)
def test_a_schema_that_coerces_also_casts_between_text_and_numbers(kind, value, expected):
    assert conformed(model(kind, coerce=True), value) == [expected]


@pytest.mark.parametrize(("kind", "value"), [(int, 1.7), (int, "1.7"), (bool, "False"), (bool, 2)])
def test_a_schema_that_coerces_still_loses_nothing(kind, value):
    (outcome,) = conformed(model(kind, coerce=True), value)

    assert "cannot be cast" in outcome


def test_decimals_keep_all_their_digits():
    values = [Decimal("1.5"), 2, 0.25, Decimal("1.005"), Decimal("12345.67"), "1"]

    outcome = conformed(Contract.of(Money), *values)

    assert outcome[:3] == [Decimal("1.50"), Decimal("2.00"), Decimal("0.25")]
    assert all("cannot be cast" in text for text in outcome[3:])


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
@settings(max_examples=200, deadline=None)
def test_a_batch_conforms_as_its_rows_do_one_by_one(values, kind):
    contract = model(kind)

    together = conformed(contract, *values)

    alone = [conformed(contract, value)[0] for value in values]
    assert repr(together) == repr(alone)


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


@pytest.mark.parametrize(
    ("name", "column"),
    [("date_string", "date_string"), ("dateString", "date_string"), ("Sgv", None), ("S L", "S L")],
)
def test_names_meet_exactly_or_by_dlts_convention(name, column):
    assert resolve_name(name, ["date_string", "S L", "svg"]) == column


def test_two_source_fields_for_one_column_are_an_error():
    class Model(pandera.DataFrameModel):
        date_string: str

    with pytest.raises(ContractError, match="'dateString' and 'date_string'"):
        Conformer(Contract.of(Model)).rows([{"date_string": "x", "dateString": "y"}])


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
