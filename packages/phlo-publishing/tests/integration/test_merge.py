"""Publishing changed rows leads to the table that a replace makes."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phlo.errors import DataQualityError, InvalidArgumentError
from phlo.lake import open_lake
from phlo.names import TableName
from phlo.values import Merge, Replace

pytestmark = pytest.mark.integration

SCHEMA = pa.schema(
    [
        ("k", pa.int64()),
        ("text", pa.string()),
        ("price", pa.decimal128(12, 3)),
        ("ratio", pa.float64()),
        ("at", pa.timestamp("us", "UTC")),
        ("tags", pa.list_(pa.string())),
    ]
)
MART = TableName("marts", "m")
START = datetime(2025, 1, 1, tzinfo=UTC)


def row(k, version=0):
    return {
        "k": k,
        "text": None if (k + version) % 7 == 0 else f"é{k} {version}",
        "price": Decimal(k * 10 + version).scaleb(-3),
        "ratio": [0.0, -0.0, float("nan"), None, 1.5][(k + version) % 5],
        "at": START + timedelta(days=k, microseconds=version),
        "tags": ["a", None] if version % 2 else None,
    }


def write(rows, how=None, deleted=()):
    store = open_lake().store
    how = how or Replace()
    schema = SCHEMA if isinstance(how, Replace) else SCHEMA.append(pa.field("gone", pa.bool_()))
    load = [r | {"gone": r["k"] in deleted} for r in rows]
    rows = ds.dataset(pa.Table.from_pylist(load, schema))
    store.publish([store.stage(MART, rows, how, schema=SCHEMA)])


def change(*keys, version=1, deleted=()):
    write([row(k, version) for k in keys], Merge(("k",), delete_column="gone"), deleted)


def checksum(database, table):
    query = f"SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {table} t"
    return database.execute(query).fetchone()


@pytest.fixture
def merge(publish):
    def call(**options):
        tables = {"m": "marts.m"}
        return publish(tables, mode="merge", key="k", max_shrink=1, **options)["m"]

    return call


@pytest.fixture
def published(postgres_database, merge):
    """A mart of 100 rows, published with its key."""
    write([row(k) for k in range(100)])
    assert merge().mode == "replace"


def test_changed_new_and_deleted_rows_are_written(published, merge, database):
    oid = database.execute("SELECT 'marts.m'::regclass::oid").fetchone()
    change(3, 5, 200, 7, deleted={7})
    result = merge()
    assert (result.mode, result.changed_rows, result.row_count) == ("merge", 4, 100)
    assert database.execute("SELECT 'marts.m'::regclass::oid").fetchone() == oid
    query = "SELECT k, text, price, at FROM marts.m WHERE k IN (3, 7, 200) ORDER BY k"
    at = timedelta(microseconds=1)
    assert database.execute(query).fetchall() == [
        (3, "é3 1", Decimal("0.031"), START + timedelta(days=3) + at),
        (200, "é200 1", Decimal("2.001"), START + timedelta(days=200) + at),
    ]
    query = "SELECT mode, changed_rows, row_count FROM phlo.published"
    assert database.execute(query).fetchone() == ("merge", 4, 100)
    assert merge().is_skipped


LOADS = st.lists(
    st.tuples(
        st.lists(st.integers(0, 110), max_size=6, unique=True),
        st.sets(st.integers(0, 110), max_size=3),
        st.booleans(),
    ),
    min_size=1,
    max_size=5,
)


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(loads=LOADS)
def test_a_merge_equals_a_replace(published, merge, publish, database, loads):
    for version, (keys, deleted, is_published) in enumerate(loads, start=1):
        change(*keys, *(deleted - set(keys)), version=version, deleted=deleted)
        if is_published:
            merge()
    merge()
    publish({"whole": "marts.m"}, max_shrink=1)
    assert checksum(database, "marts.m") == checksum(database, "marts.whole")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE marts.m SET text = 'edited' WHERE k = 3",
        "ALTER TABLE marts.m DROP CONSTRAINT m_pkey",
        "CREATE MATERIALIZED VIEW marts.mv AS SELECT * FROM marts.m",
        "CREATE TABLE marts.child (m bigint REFERENCES marts.m (k) ON DELETE CASCADE)",
        "CREATE RULE nothing AS ON DELETE TO marts.m DO INSTEAD NOTHING",
        "CREATE TRIGGER same BEFORE UPDATE ON marts.m FOR EACH ROW "
        "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    ],
)
def test_a_table_is_replaced_where_a_merge_would_not_equal_that(
    published, merge, publish, database, statement
):
    database.execute(statement)
    change(3, 5, deleted={5})
    assert merge().mode == "replace"
    publish({"whole": "marts.m"})
    assert checksum(database, "marts.m") == checksum(database, "marts.whole")


def test_a_table_is_replaced_where_much_has_changed_or_the_snapshot_is_gone(published, merge):
    change(*range(50))
    assert merge().mode == "replace"
    handle = open_lake().store._load(MART)
    change(1, 2, version=2)
    handle.refresh().maintenance.expire_snapshots().by_ids(
        [s.snapshot_id for s in handle.snapshots()[:-1]]
    ).commit()
    assert merge().mode == "replace"
    change(1, 2, version=3)
    assert merge().mode == "merge"


def test_a_mart_that_holds_a_key_twice_is_an_error_that_names_it(published, merge, database):
    before = checksum(database, "marts.m")
    write([row(k) for k in [*range(100), 5]])
    with pytest.raises(DataQualityError, match=r"\(k\)=\(5\)"):
        merge()
    assert checksum(database, "marts.m") == before


@pytest.mark.parametrize("options", [{"mode": "merge"}, {"mode": "upsert", "key": "k"}])
def test_a_mode_that_cannot_be_is_refused(published, publish, options):
    with pytest.raises(InvalidArgumentError, match="mode"):
        publish({"m": "marts.m"}, **options)
