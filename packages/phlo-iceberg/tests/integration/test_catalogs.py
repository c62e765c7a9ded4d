"""The conformance suite on the other catalogs and stores: PostgreSQL, S3, REST (R170, R171)."""

import uuid
from pathlib import Path

import pytest
from phlo.values import TableName
from phlo_iceberg import publish
from phlo_iceberg.engine import DuckDBEngine
from phlo_iceberg.store import IcebergStore
from phlo_testing.stores import DAY_1, DAY_2, TableStoreConformance, merge
from pyiceberg.catalog import load_catalog
from tenacity import retry, stop_after_delay, wait_fixed

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("servers")]


class Conformance(TableStoreConformance):
    def read_rows(self, store, table):
        catalog = load_catalog("lake", **store.catalog.properties)
        rows = catalog.load_table((table.namespace, table.name)).scan().to_arrow().to_pylist()
        if hasattr(catalog, "engine"):
            catalog.engine.dispose()
        by_engine = DuckDBEngine(store).query(f'SELECT * FROM "{table.namespace}"."{table.name}"')
        assert sorted(map(repr, by_engine.read_all().to_pylist())) == sorted(map(repr, rows))
        return rows


class TestPostgresCatalogOnLocalFiles(Conformance):
    @pytest.fixture
    def store(self, postgres_database, tmp_path):
        address = postgres_database
        password = address.password.get_secret_value()
        catalog = load_catalog(
            "lake",
            type="sql",
            uri=f"postgresql+psycopg://{address.user}:{password}@{address.host}:{address.port}/"
            f"{address.database}",
            warehouse=(tmp_path / "warehouse").as_uri(),
        )
        yield IcebergStore(catalog)
        catalog.engine.dispose()


class TestSqliteCatalogOnS3(Conformance):
    @pytest.fixture
    def store(self, object_store, tmp_path):
        catalog = load_catalog(
            "lake",
            type="sql",
            uri=f"sqlite:///{Path(tmp_path) / 'catalog.db'}",
            warehouse=f"s3://phlo/{uuid.uuid4()}",
            **object_store.s3_properties,
        )
        yield IcebergStore(catalog)
        catalog.engine.dispose()


class TestRestCatalog(Conformance):
    has_transactions = False

    @pytest.fixture
    def store(self, object_store):
        catalog = load_catalog("lake", **object_store.rest_properties)
        wait_for_table_bucket(catalog)
        store = IcebergStore(catalog)
        for table in store.list_tables():
            store.drop(table)
        return store

    def test_that_tables_read_are_not_held_is_said_once(self, store, caplog):
        publish._warn_of_reads.cache_clear()
        other = TableName("silver", "other")
        read = self.load(store, [{"id": "z", "value": 9}], merge(DAY_1), table=other)
        for day in (DAY_1, DAY_2):
            staged = self.stage(store, [{"id": str(day), "value": 1}], merge(day))
            store.publish([staged], reads={other: read.snapshot_id})
        assert self.contents(store) == [(str(DAY_1), 1, 1), (str(DAY_2), 1, 2)]
        assert caplog.text.count("commits one table at a time") == 1


@retry(stop=stop_after_delay(30), wait=wait_fixed(0.2))
def wait_for_table_bucket(catalog):
    """The service answers a moment before its table bucket is there."""
    catalog.list_namespaces()
