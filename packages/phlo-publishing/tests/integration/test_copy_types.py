"""Values that went through the COPY format, read back by psycopg."""

import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phlo.names import TableName
from phlo.sql import Identifier, Sql, sql
from phlo_publishing.copy_format import HEADER, TRAILER, encode_batch
from phlo_publishing.types import published_columns

pytestmark = pytest.mark.integration


@pytest.fixture
def round_trip(postgres_server):
    with postgres_server.connect() as connection:

        def copy(table):
            columns = published_columns(table.schema, TableName("marts", "m"))
            parts = [sql("{n} {t}", n=Identifier(c.name), t=c.type) for c in columns]
            with connection.transaction(force_rollback=True):
                connection.execute(sql("CREATE TEMP TABLE m ({c})", c=parts).encode())
                command = Sql("COPY m FROM STDIN WITH (FORMAT binary, FREEZE)")
                with connection.cursor() as cursor, cursor.copy(command.encode()) as stream:
                    stream.write(HEADER)
                    for batch in table.to_batches():
                        stream.write(encode_batch(batch, [c.encode for c in columns]))
                    stream.write(TRAILER)
                connection.execute("SET LOCAL TIME ZONE 'UTC'")
                return connection.execute("SELECT * FROM m").fetchall()

        yield copy


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.bool_(), [True, False]),
        (pa.int8(), [-128, 127]),
        (pa.uint8(), [0, 255]),
        (pa.int16(), [-(2**15), 2**15 - 1]),
        (pa.uint16(), [0, 2**16 - 1]),
        (pa.int32(), [-(2**31), 2**31 - 1]),
        (pa.uint32(), [0, 2**32 - 1]),
        (pa.int64(), [-(2**63), 2**63 - 1]),
        (pa.uint64(), [Decimal(0), Decimal(2**64 - 1)]),
        (pa.float32(), [1.5, -math.inf]),
        (pa.float64(), [0.1, 1e308, math.inf]),
        (pa.string(), ["", "naïve \N{SNOWMAN} 'quoted'\n\\.\n", "x" * 70_000]),
        (pa.string_view(), ["", "a string longer than twelve bytes"]),
        (pa.large_string(), ["a"]),
        (pa.dictionary(pa.int32(), pa.string()), ["a", "b", "a"]),
        (pa.binary(), [b"", b"\x00\xff"]),
        (pa.binary(3), [b"\x00\x01\x02"]),
        (pa.date32(), [date(1, 1, 1), date(1999, 12, 31), date(9999, 12, 31)]),
        (pa.date64(), [date(2025, 1, 15)]),
        (pa.time64("us"), [time(0), time(23, 59, 59, 999999)]),
        (pa.time32("s"), [time(12, 30)]),
        (pa.timestamp("us"), [datetime(1969, 7, 20, 20, 17, 40, 1), datetime(2025, 1, 15)]),
        (pa.timestamp("s"), [datetime(2025, 1, 15, 3)]),
        (pa.timestamp("us", "UTC"), [datetime(2025, 1, 15, 3, 4, 5, 678901, UTC)]),
        (pa.decimal128(9, 2), [Decimal("-0.01"), Decimal("1234567.89"), Decimal("0.00")]),
        (pa.decimal128(38, 0), [Decimal(10**38 - 1), Decimal(1 - 10**38)]),
        (pa.decimal128(38, 38), [Decimal("0." + "9" * 38)]),
        (pa.decimal128(4, 4), [Decimal("-0.0001")]),
    ],
    ids=str,
)
def test_values_and_nulls_come_back_as_they_were(round_trip, kind, values):
    array = pa.array([*values, None], kind)
    assert round_trip(pa.table({"c": array})) == [(v,) for v in [*values, None]]


def test_a_uuid_comes_back(round_trip):
    value = UUID("12345678-1234-5678-1234-567812345678")
    array = pa.array([value, None], pa.uuid())
    assert round_trip(pa.table({"c": array})) == [(value,), (None,)]


def test_nanoseconds_are_cut_to_microseconds(round_trip):
    array = pa.array([1_500], pa.timestamp("ns"))
    assert round_trip(pa.table({"c": array})) == [(datetime(1970, 1, 1, 0, 0, 0, 1),)]


def test_nested_values_become_json(round_trip):
    inner = pa.struct([("d", pa.decimal128(20, 3)), ("f", pa.float64()), ("b", pa.binary())])
    kind = pa.struct([("list", pa.list_(inner)), ("map", pa.map_(pa.date32(), pa.string()))])
    entry = {"d": Decimal("12345678901234567.125"), "f": math.nan, "b": b"\x01"}
    rows = pa.array([{"list": [entry, None], "map": [(date(2025, 1, 2), 'é"')]}, None], kind)
    (first,), (second,) = round_trip(pa.table({"c": rows}))
    assert second is None
    assert first == {
        "list": [{"d": 12345678901234567.125, "f": "NaN", "b": "\\x01"}, None],
        "map": {"2025-01-02": 'é"'},
    }


def test_many_batches_of_columns_with_nulls_keep_their_rows(round_trip):
    rows = [
        {"n": n, "t": None if n % 3 else f"row {n}", "d": None if n % 2 else Decimal(n)}
        for n in range(1000)
    ]
    schema = pa.schema([("n", pa.int64()), ("t", pa.string()), ("d", pa.decimal128(10, 0))])
    table = pa.Table.from_pylist(rows, schema)
    pieces = pa.Table.from_batches(table.to_batches(max_chunksize=7))
    assert round_trip(pieces) == [tuple(row.values()) for row in rows]


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_decimal_comes_back_exactly(round_trip, data):
    precision = data.draw(st.integers(1, 38))
    scale = data.draw(st.integers(0, precision))
    unscaled = st.integers(1 - 10**precision, 10**precision - 1)
    numbers = data.draw(st.lists(unscaled, min_size=1, max_size=20))
    values = [Decimal(f"{n}E-{scale}") for n in numbers]
    array = pa.array(values, pa.decimal128(precision, scale))
    assert round_trip(pa.table({"c": array})) == [(v,) for v in values]
