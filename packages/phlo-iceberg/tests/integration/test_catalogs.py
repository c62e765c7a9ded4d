"""The conformance suite on the other catalogs and stores: PostgreSQL, S3, REST."""

import threading
import time
import uuid
from pathlib import Path

import pytest
from phlo.config import Settings
from phlo.errors import MovedHeadError
from phlo.names import TableName
from phlo_iceberg import commit
from phlo_iceberg.branches.records import has_tables, make_tables
from phlo_iceberg.catalog import open_catalog
from phlo_iceberg.commit import rest
from phlo_iceberg.commit.branch_lock import BRANCH_TABLES
from phlo_iceberg.read.engine import DuckDBEngine
from phlo_iceberg.settings import IcebergSettings
from phlo_iceberg.store import TABLE_PROPERTIES, IcebergStore
from phlo_testing.stores import (
    DAY_1,
    DAY_2,
    EVENTS,
    TableStoreConformance,
    merge,
    publish_rows,
    stage_rows,
)
from pydantic import SecretStr
from pyiceberg.catalog import load_catalog
from pyiceberg.catalog.sql import IcebergTables
from pyiceberg.exceptions import ServerError
from sqlalchemy import event

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("servers")]


class Conformance(TableStoreConformance):
    def read_rows(self, store, table):
        catalog = load_catalog(store.catalog.name, **store.catalog.properties)
        rows = catalog.load_table((table.namespace, table.name)).scan().to_arrow().to_pylist()
        if hasattr(catalog, "engine"):
            catalog.engine.dispose()
        by_engine = DuckDBEngine(store).query(f'SELECT * FROM "{table.namespace}"."{table.name}"')
        assert sorted(map(repr, by_engine.read_all().to_pylist())) == sorted(map(repr, rows))
        return rows


def uri_of(address) -> str:
    password = address.password.get_secret_value()
    place = f"{address.host}:{address.port}/{address.database}"
    return f"postgresql+psycopg://{address.user}:{password}@{place}"


def test_another_machine_may_make_the_catalogs_tables_at_the_same_moment(
    postgres_database, tmp_path
):
    """It shares no file lock with this one; both see a database that has no tables yet."""

    def open_as(machine):
        settings = Settings(project_dir=tmp_path / machine)
        uri = SecretStr(uri_of(postgres_database))
        return open_catalog(settings, IcebergSettings(catalog_uri=uri))

    def make(*_, **__):
        open_as("b").engine.dispose()

    event.listen(IcebergTables.__table__, "before_create", make, once=True)
    catalog = open_as("a")
    assert catalog.list_namespaces() == []
    catalog.engine.dispose()


class TestPostgresCatalogOnLocalFiles(Conformance):
    @pytest.fixture
    def store(self, postgres_database, tmp_path):
        catalog = load_catalog(
            "lake",
            type="sql",
            uri=uri_of(postgres_database),
            warehouse=(tmp_path / "warehouse").as_uri(),
        )
        yield IcebergStore(catalog)
        catalog.engine.dispose()


@pytest.mark.slow
class TestBranchOnPostgres(Conformance):
    @pytest.fixture
    def store(self, postgres_database, tmp_path):
        catalog = load_catalog(
            "lake",
            type="sql",
            uri=uri_of(postgres_database),
            warehouse=(tmp_path / "warehouse").as_uri(),
        )
        main = IcebergStore(catalog)
        main.create_branch("dev")
        yield main.on_branch("dev")
        assert main.list_tables() == []
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


@pytest.fixture
def rest_store(object_store):
    catalog = load_catalog("lake", **object_store.rest_properties)
    store = IcebergStore(catalog)
    for table in store.list_tables():
        store.drop(table)
    return store


OTHER = TableName("silver", "other")


class TestRestCatalog(Conformance):
    @pytest.fixture
    def store(self, rest_store):
        return rest_store

    def test_a_new_table_of_a_refused_transaction_has_no_rows(self, store, monkeypatch):
        """Refused by the server alone: the table moves after the last look at it."""
        publish_rows(store, [{"id": "a", "value": 1}], merge(DAY_1))
        stages = [
            stage_rows(store, [{"id": "b", "value": 2}], merge(DAY_1)),
            stage_rows(store, [{"id": "z", "value": 9}], merge(DAY_1), table=OTHER),
        ]
        create = rest._create_empty

        def create_late(catalog, commit):
            publish_rows(store, [{"id": "c", "value": 3}], merge(DAY_1))
            create(catalog, commit)

        monkeypatch.setattr(rest, "_create_empty", create_late)
        with pytest.raises(MovedHeadError):
            store.publish(stages)
        assert self.contents(store) == [("a", 1, 1), ("c", 3, 1)]
        assert self.contents(store, OTHER) == []
        monkeypatch.setattr(rest, "_create_empty", create)
        publish_rows(store, [{"id": "z", "value": 9}], merge(DAY_1), table=OTHER)
        assert self.contents(store, OTHER) == [("z", 9, 1)]

    def test_a_server_that_fails_after_a_transaction_has_committed_it(self, store, monkeypatch):
        publish_rows(store, [{"id": "a", "value": 1}], merge(DAY_1))
        publish_rows(store, [{"id": "y", "value": 8}], merge(DAY_1), table=OTHER)
        stages = [
            stage_rows(store, [{"id": "b", "value": 2}], merge(DAY_1)),
            stage_rows(store, [{"id": "z", "value": 9}], merge(DAY_1), table=OTHER),
        ]
        commit_transaction = rest.commit_transaction

        def commit_and_fail(catalog, changes):
            commit_transaction(catalog, changes)
            monkeypatch.setattr(catalog, "load_table", fail)

        def fail(name):
            raise ServerError("no answer")

        monkeypatch.setattr(rest, "commit_transaction", commit_and_fail)
        commit.commit_all(store.catalog, [commit.commit_of(stage) for stage in stages], {})
        monkeypatch.undo()
        assert self.contents(store) == [("a", 1, 1), ("b", 2, 1)]
        assert self.contents(store, OTHER) == [("y", 8, 1), ("z", 9, 1)]

    def test_a_new_table_of_a_transaction_has_its_properties(self, store):
        stages = [
            stage_rows(store, [{"id": "a", "value": 1}], merge(DAY_1), properties={"mine": "1"}),
            stage_rows(store, [{"id": "z", "value": 9}], merge(DAY_1), table=OTHER),
        ]
        store.publish(stages)
        assert self.contents(store, OTHER) == [("z", 9, 1)]
        expected = {"mine": "1", **TABLE_PROPERTIES}
        del expected["format-version"]  # a fact of the metadata, no property
        assert store.load(EVENTS).properties.items() >= expected.items()


@pytest.fixture
def poor_server(rest_store, monkeypatch):
    """A server that does not know the endpoint: it is asked for one that it has not."""
    monkeypatch.setattr(rest, "ENDPOINT", "transactions/unknown")
    return rest_store


@pytest.mark.parametrize(
    "name",
    [
        "test_several_tables_are_published_together_or_not_at_all",
        "test_a_table_that_a_check_read_must_not_have_moved",
    ],
)
def test_a_server_without_transactions_refuses_several_tables(poor_server, name):
    suite = Conformance()
    suite.has_transactions = False
    getattr(suite, name)(poor_server)


def test_that_a_server_does_not_hold_what_was_read_is_said_once(poor_server, caplog):
    rest._warn_of_reads.cache_clear()
    suite = Conformance()
    read = publish_rows(poor_server, [{"id": "z", "value": 9}], merge(DAY_1), table=OTHER)
    for day in (DAY_1, DAY_2):
        staged = stage_rows(poor_server, [{"id": str(day), "value": 1}], merge(day))
        poor_server.publish([staged], reads={OTHER: read.snapshot_id})
    assert suite.contents(poor_server) == [(str(DAY_1), 1, 1), (str(DAY_2), 1, 2)]
    assert caplog.text.count("commits one table at a time") == 1


def test_two_processes_may_make_the_first_branch_at_once(postgres_database, tmp_path):
    properties = {"uri": uri_of(postgres_database), "warehouse": tmp_path.as_uri()}
    catalog, another = (load_catalog("lake", type="sql", **properties) for _ in range(2))
    failures: list[Exception] = []

    def make() -> None:
        try:
            make_tables(catalog)
        except Exception as exc:  # noqa: BLE001 - told below
            failures.append(exc)

    makes = threading.Thread(target=make)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with another.engine.begin() as first, postgres_database.connect(autocommit=True) as watch:
        BRANCH_TABLES.create_all(first)
        makes.start()
        while watch.execute(waiting).fetchone() == (0,):
            time.sleep(0.01)
    makes.join()
    create_branch = IcebergStore(catalog).create_branch
    assert failures == []
    assert has_tables(catalog)
    assert create_branch("dev").name == "dev"
    catalog.engine.dispose()
    another.engine.dispose()
