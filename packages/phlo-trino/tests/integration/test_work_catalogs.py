"""Work catalogs on a real Trino: static ones, and ones made by CREATE CATALOG."""

import pytest
from phlo.config import reset_settings
from phlo.errors import ConfigurationError, UnsupportedCatalogError
from phlo.names import TableName
from phlo_iceberg.store import IcebergStore
from phlo_testing.engines import publish_items
from phlo_testing.trino import WORK_CATALOGS
from phlo_trino.settings import TrinoSettings
from phlo_trino.work_catalogs import lease_work_catalog
from pyiceberg.catalog.rest import RestCatalog

pytestmark = [pytest.mark.trino, pytest.mark.integration, pytest.mark.xdist_group("servers")]

ITEMS, MADE = TableName("bronze", "items"), TableName("gold", "made")
STATEMENTS = (
    "UPDATE bronze.items SET note = 'changed' WHERE id = 1",
    "CREATE SCHEMA IF NOT EXISTS gold",
    "CREATE TABLE gold.made AS SELECT id FROM bronze.items",
)


def execute(work, statement):
    connection = work.connect()
    rows = connection.cursor().execute(statement).fetchall()
    connection.close()
    return rows


def ids(store, table):
    handle = store.catalog.load_table((table.namespace, table.name))
    return sorted(row["id"] for row in handle.scan().to_arrow().to_pylist())


def settings_of(trino_lake, **options):
    return TrinoSettings(host="127.0.0.1", port=trino_lake.port, **options)


@pytest.mark.parametrize("is_dynamic", [False, True])
def test_a_run_works_unseen_and_publishes_at_once(lake, trino_lake, is_dynamic):
    publish_items(lake.store, {1: "a", 2: "b"})
    options = {"work_catalogs": WORK_CATALOGS}
    if is_dynamic:
        options = {"work_catalogs": "m-1=lake_m", "work_catalog_file": trino_lake.catalog_file}
    settings = settings_of(trino_lake, **options)
    with lease_work_catalog(settings, lake.store, 60) as work:
        assert work.name == ("lake_m" if is_dynamic else "lake_work_1")
        for statement in STATEMENTS:
            execute(work, statement)
        assert lake.store.list_tables() == [ITEMS]
        assert [change.table for change in work.lease.publish()] == [ITEMS, MADE]
    assert ids(lake.store, MADE) == ids(lake.store, ITEMS) == [1, 2]
    assert (["lake_m"] in trino_lake.execute("SHOW CATALOGS")) is False
    assert trino_lake.execute("SELECT note FROM bronze.items WHERE id = 1") == [["changed"]]


@pytest.mark.parametrize("catalog", ["lake", "lake_work_2"])
def test_a_catalog_of_main_or_of_another_branch_is_refused(lake, trino_lake, catalog):
    publish_items(lake.store, {1: "a"})
    settings = settings_of(trino_lake, work_catalogs={"work-1": catalog})
    with (
        pytest.raises(ConfigurationError, match=rf"'{catalog}' does not read the branch 'work-1'"),
        lease_work_catalog(settings, lake.store, 60),
    ):
        pass
    assert [b.name for b in lake.store.branches()] == ["main"]


def test_what_cannot_have_work_catalogs_says_what_works(lake, trino_lake, monkeypatch):
    monkeypatch.setenv("PHLO_TRINO_WORK_CATALOGS", "")
    reset_settings()
    with (
        pytest.raises(ConfigurationError, match="PHLO_TRINO_WORK_CATALOGS=work-1=lake_work_1"),
        lake.engine.lease_work_catalog(),
    ):
        pass
    rest = IcebergStore(RestCatalog.__new__(RestCatalog))
    rest.catalog.name = "lake"
    settings = settings_of(trino_lake, work_catalogs=WORK_CATALOGS)
    with (
        pytest.raises(UnsupportedCatalogError, match="PHLO_DBT_TARGET, .*PHLO_TRINO_MERGE_ROWS"),
        lease_work_catalog(settings, rest, 60),
    ):
        pass
