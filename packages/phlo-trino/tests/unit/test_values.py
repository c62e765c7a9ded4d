"""Values of the protocol; the types as a whole are in the conformance suite."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phlo.errors import QueryError
from phlo_trino.values import type_of


def read(name, *values, arguments=()):
    return type_of({"rawType": name, "arguments": list(arguments)}).array(values).to_pylist()


@given(st.dates())
def test_a_date_is_read_as_written(day):
    assert read("date", day.isoformat()) == [day]


def test_dates_outside_of_four_digit_years_are_days_since_1970():
    texts = ["-0001-12-31", "0000-03-01", "12000-01-01", "0001-01-01"]
    kind = type_of({"rawType": "date", "arguments": []})
    days = [kind.decode(text) for text in texts]
    assert days == [-719529, -719468, 3663382, -719162]


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)))
def test_a_timestamp_is_read_as_written(moment):
    assert read("timestamp", moment.isoformat(" ")) == [moment]
    aware = moment.replace(tzinfo=UTC)
    assert read("timestamp with time zone", f"{moment.isoformat(' ')} UTC") == [aware]
    offset = aware - timedelta(hours=5, minutes=45)
    assert read("timestamp with time zone", f"{moment.isoformat(' ')} +05:45") == [offset]


def test_a_local_time_that_is_there_twice_is_refused():
    berlin = "timestamp with time zone"
    assert read(berlin, "2025-10-26 01:59:59.9 Europe/Berlin") == [
        datetime(2025, 10, 25, 23, 59, 59, 900000, UTC)
    ]
    with pytest.raises(QueryError, match="there twice"):
        read(berlin, "2025-10-26 02:30:00.000 Europe/Berlin")


def test_digits_below_a_microsecond_are_refused_and_zeros_are_not():
    assert read("timestamp", "2025-01-02 03:04:05.123456000") == [
        datetime(2025, 1, 2, 3, 4, 5, 123456)
    ]
    with pytest.raises(QueryError, match="finer than a microsecond"):
        read("timestamp", "2025-01-02 03:04:05.1234567")


def test_keys_that_the_protocol_does_not_send_are_refused():
    key = {"kind": "TYPE", "value": {"rawType": "varbinary", "arguments": []}}
    value = {"kind": "TYPE", "value": {"rawType": "integer", "arguments": []}}
    with pytest.raises(QueryError, match="map_entries"):
        read("map", {"AA==": 1}, arguments=[key, value])


def test_nulls_stay_nulls_in_every_type():
    for name in ("bigint", "double", "date", "timestamp with time zone", "varbinary", "ipaddress"):
        assert read(name, None) == [None]
    assert read("date", None, "2025-01-02") == [None, date(2025, 1, 2)]
