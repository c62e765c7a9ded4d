"""The conformance suite on the other catalogs and stores: PostgreSQL, S3, REST (R170, R171)."""

import uuid
from pathlib import Path

import pytest
from phlo_iceberg.engine import DuckDBEngine
from phlo_iceberg.store import IcebergStore
from phlo_testing.stores import TableStoreConformance
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


@retry(stop=stop_after_delay(30), wait=wait_fixed(0.2))
def wait_for_table_bucket(catalog):
    """The service answers a moment before its table bucket is there."""
    catalog.list_namespaces()
