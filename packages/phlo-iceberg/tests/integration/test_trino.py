"""A real Trino beside phlo on one catalog: each reads right what the other wrote (R43, R171)."""

import pyarrow as pa
import pytest
from phlo.values import Merge, TableName
from phlo_iceberg.engine import DuckDBEngine
from phlo_iceberg.store import IcebergStore
from phlo_testing.loads import BY_PARTITION_DATE, load_rows, with_metadata
from phlo_testing.stores import DAY_1, DAY_2
from pyiceberg.catalog import load_catalog

pytestmark = [pytest.mark.trino, pytest.mark.integration, pytest.mark.xdist_group("servers")]

EVENTS = TableName("bronze", "events")
SCHEMA = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("value", pa.int64())])


@pytest.fixture
def store(trino_lake):
    catalog = load_catalog("lake", **trino_lake.catalog_properties)
    store = IcebergStore(catalog)
    for table in store.list_tables():
        store.drop(table)
    yield store
    catalog.engine.dispose()


def stage(store, pairs, how, extraction=0):
    rows = [{"id": id_, "value": value} for id_, value in pairs]
    return store.stage(
        EVENTS,
        load_rows(SCHEMA, rows, how.partition, extraction),
        how,
        schema=with_metadata(SCHEMA),
        partition_by=BY_PARTITION_DATE,
    )


def load(store, pairs, how, extraction=0):
    (published,) = store.publish([stage(store, pairs, how, extraction)])
    return published


def merge(partition):
    return Merge(("id",), partition)


def by_trino(trino_lake):
    rows = trino_lake.execute("SELECT id, value FROM bronze.events ORDER BY id, value")
    return [tuple(row) for row in rows]


def by_duckdb(store):
    query = "SELECT id, value FROM bronze.events ORDER BY id, value"
    rows = DuckDBEngine(store).query(query).read_all().to_pylist()
    return [(r["id"], r["value"]) for r in rows]


def by_pyiceberg(store):
    rows = store.catalog.load_table(("bronze", "events")).scan().to_arrow().to_pylist()
    return sorted((r["id"], r["value"]) for r in rows)


def everywhere(trino_lake, store):
    """The rows, which all readers must agree on."""
    rows = by_duckdb(store)
    assert by_trino(trino_lake) == rows
    assert by_pyiceberg(store) == rows
    assert store.load(EVENTS).row_count == len(rows)
    return rows


def test_trino_reads_what_phlo_wrote(trino_lake, store):
    load(store, [("a", 1), ("b", 2), ("é'", None)], merge(DAY_1))
    load(store, [("b", 3)], merge(DAY_2))
    assert everywhere(trino_lake, store) == [("a", 1), ("b", 3), ("é'", None)]


def test_phlo_reads_what_trino_deletes_updates_and_merges(trino_lake, store):
    load(store, [(f"k{n}", n) for n in range(6)], merge(DAY_1))
    trino_lake.execute("DELETE FROM bronze.events WHERE id = 'k0'")
    trino_lake.execute("UPDATE bronze.events SET value = 20 WHERE id = 'k2'")
    trino_lake.execute(
        "MERGE INTO bronze.events t USING (VALUES ('k4', 40), ('k9', 90)) s(id, value)"
        " ON t.id = s.id WHEN MATCHED THEN UPDATE SET value = s.value"
        " WHEN NOT MATCHED THEN INSERT (id, value) VALUES (s.id, s.value)"
    )
    expected = [("k1", 1), ("k2", 20), ("k3", 3), ("k4", 40), ("k5", 5), ("k9", 90)]
    assert everywhere(trino_lake, store) == expected


def test_phlo_goes_on_from_what_trino_left(trino_lake, store):
    load(store, [(f"k{n}", n) for n in range(4)], merge(DAY_1))
    trino_lake.execute("DELETE FROM bronze.events WHERE id = 'k0'")
    trino_lake.execute("UPDATE bronze.events SET value = 20 WHERE id = 'k2'")
    load(store, [("k0", 100), ("k2", 20), ("k3", 30)], merge(DAY_2))
    expected = [("k0", 100), ("k1", 1), ("k2", 20), ("k3", 30)]
    assert everywhere(trino_lake, store) == expected
