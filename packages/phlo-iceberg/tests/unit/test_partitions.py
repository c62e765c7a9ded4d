"""Rows go to the partitions that Iceberg's transforms say, against pyiceberg's own in Python."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import hypothesis.strategies as st
import pyarrow as pa
import pytest
from hypothesis import given, settings
from phlo.errors import SchemaChangeError, UnsupportedTypeError
from phlo.lake import open_lake
from phlo_iceberg.schema import arrow_to_iceberg, build_spec
from phlo_iceberg.write.data_files import split_by_partition
from phlo_testing.stores import DAY_1, DAY_2, merge, publish_rows
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.transforms import (
    BucketTransform,
    DayTransform,
    HourTransform,
    IdentityTransform,
    MonthTransform,
    TruncateTransform,
    VoidTransform,
    YearTransform,
)
from pyiceberg.typedef import Record

EPOCH = datetime(1970, 1, 1)
MICROSECOND = timedelta(microseconds=1)
TIMES = st.datetimes()
TIMED = (YearTransform(), MonthTransform(), DayTransform(), HourTransform())
SOURCES = [
    (pa.date32(), st.dates(), (*TIMED[:3], BucketTransform(4))),
    (pa.timestamp("us"), TIMES, (*TIMED, BucketTransform(4))),
    (pa.timestamp("us", tz="UTC"), TIMES.map(lambda t: t.replace(tzinfo=UTC)), TIMED),
    (pa.string(), st.text(max_size=6), (BucketTransform(8), TruncateTransform(2))),
    (pa.int32(), st.integers(-(2**31) + 8, 2**31 - 1), (BucketTransform(3), TruncateTransform(10))),
    (pa.int64(), st.integers(-(2**63) + 8, 2**63 - 1), (BucketTransform(3), TruncateTransform(10))),
    (
        pa.decimal128(9, 2),
        st.decimals("-9999999.99", "9999999.99", places=2),
        (BucketTransform(3), TruncateTransform(50)),
    ),
    (pa.binary(), st.binary(max_size=6), (BucketTransform(5), TruncateTransform(3))),
    (pa.bool_(), st.booleans(), (IdentityTransform(), VoidTransform())),
]
CASES = [(kind, values, t) for kind, values, transforms in SOURCES for t in transforms]


@pytest.mark.parametrize(
    ("kind", "values", "transform"), CASES, ids=[f"{t}-{kind}" for kind, _, t in CASES]
)
@given(st.data())
@settings(max_examples=25, deadline=None)
def test_every_row_goes_where_its_transform_says(kind, values, transform, data):
    found = data.draw(st.lists(st.none() | values, min_size=1, max_size=8))
    schema = arrow_to_iceberg(pa.schema([("c", kind), ("row", pa.int64())]), "the test")
    spec = build_spec(schema, [("c", str(transform))])
    rows = {"c": found, "row": list(range(len(found)))}
    batch = pa.RecordBatch.from_pydict(rows, schema_to_pyarrow(schema))
    placed = {
        row["row"]: key.partition
        for key, part in split_by_partition(batch, spec, schema)
        for row in part.to_pylist()
    }
    expected = transform.transform(schema.find_type("c"))
    assert placed == {n: Record(expected(_internal(v))) for n, v in enumerate(found)}


@pytest.mark.parametrize(("kind", "smallest"), [(pa.int32(), -(2**31)), (pa.int64(), -(2**63))])
def test_a_number_cut_off_to_below_its_type_is_refused(kind, smallest):
    schema = arrow_to_iceberg(pa.schema([("c", kind)]), "the test")
    spec = build_spec(schema, [("c", "truncate[10]")])
    rows = pa.RecordBatch.from_pydict({"c": [5, None, smallest + 7]}, schema_to_pyarrow(schema))
    with pytest.raises(UnsupportedTypeError, match="'c_truncate'") as caught:
        split_by_partition(rows, spec, schema)
    assert str(smallest + 7) in str(caught.value)


def test_a_load_with_such_a_number_leaves_the_table_and_no_file(phlo_environment):
    store = open_lake().store
    schema = pa.schema([("id", pa.int32()), ("value", pa.int64())])

    def load(*ids, value):
        rows = [{"id": id_, "value": value} for id_ in ids]
        options = {"schema": schema, "partition_by": [("id", "truncate[10]")], "extraction": value}
        return publish_rows(store, rows, merge(DAY_1), **options).account

    smallest = -(2**31) + 8  # whose tens begin where the type does
    load(smallest, 7, value=1)
    files = set(phlo_environment.rglob("*.parquet"))
    with pytest.raises(UnsupportedTypeError, match="bucket"):
        load(7, smallest - 1, value=2)
    assert set(phlo_environment.rglob("*.parquet")) == files

    account = load(smallest, 7, value=3)
    assert (account.inserted, account.updated) == (0, 2)
    found = open_lake().engine.query("SELECT id, value FROM bronze.events ORDER BY id").read_all()
    assert found.to_pylist() == [{"id": smallest, "value": 3}, {"id": 7, "value": 3}]


def _internal(value):
    """A value as Iceberg's transforms take it: days and microseconds since 1970."""
    match value:
        case datetime():
            return (value.replace(tzinfo=None) - EPOCH) // MICROSECOND
        case date():
            return (value - EPOCH.date()).days
    return value


def test_a_table_may_be_partitioned_by_any_transform(phlo_environment):
    store = open_lake().store
    schema = pa.schema(
        [("id", pa.string()), ("at", pa.timestamp("us", tz="UTC")), ("price", pa.decimal128(9, 2))]
    )
    spec = [("at", "month"), ("id", "bucket[4]"), ("id", "truncate[1]"), ("price", "truncate[9]")]

    def load(rows, partition, extraction):
        options = {"schema": schema, "partition_by": spec, "extraction": extraction}
        return publish_rows(store, rows, merge(partition), **options).account

    noon = datetime(2025, 1, 1, 12, tzinfo=UTC)
    rows = [{"id": f"k{n}", "at": noon + timedelta(days=n), "price": Decimal(n)} for n in range(40)]
    assert load([*rows, {"id": "none"}], DAY_1, 0).inserted == 41
    later = {"id": "k7", "at": noon + timedelta(days=90), "price": Decimal(7)}
    account = load([later, rows[8], {"id": "none"}], DAY_2, 1)
    assert (account.updated, account.unchanged) == (1, 2)

    found = open_lake().engine.query("SELECT id, at, price FROM bronze.events").read_all()
    expected = {r["id"]: r for r in rows} | {"k7": later}
    expected["none"] = {"id": "none", "at": None, "price": None}
    assert {r["id"]: r for r in found.to_pylist()} == expected
    scan = store.catalog.load_table("bronze.events").scan("at >= '2025-03-01T00:00:00+00:00'")
    assert [row["id"] for row in scan.to_arrow().to_pylist()] == ["k7"]


@pytest.mark.parametrize(
    "spec",
    [
        [("nothing", "identity")],
        [("at", "fortnight")],
        [("id", "day")],
        [("place", "identity")],
        [("place.city", "identity")],
        [("at", "month"), ("at", "day")],
        [("id", "identity"), ("id", "identity")],
        [("id", "bucket[2]"), ("id", "bucket[4]")],
        [("at", "year")],
    ],
    ids=str,
)
def test_what_cannot_be_partitioned_is_told(spec):
    place = pa.struct([("city", pa.string())])
    columns = [("id", pa.string()), ("at", pa.timestamp("us")), ("at_year", pa.int64())]
    schema = arrow_to_iceberg(pa.schema([*columns, ("place", place)]), "the test")
    with pytest.raises(SchemaChangeError, match="partition_spec"):
        build_spec(schema, spec)
