"""Branches leased to one run at a time, on PostgreSQL."""

import subprocess
import sys
from contextlib import ExitStack

import pytest
from phlo.errors import BranchConflictError, MovedHeadError, ServiceError, UnsupportedCatalogError
from phlo.lake import open_lake
from phlo.names import TableName
from phlo_iceberg.branches.lease import Lease
from phlo_iceberg.branches.reachable import other_locations
from phlo_iceberg.store import IcebergStore
from phlo_testing.stores import DAY_1, DAY_2, EVENTS, events, merge, publish_rows
from pyiceberg.catalog import load_catalog
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.sql import IcebergTables
from sqlalchemy import insert
from sqlalchemy.orm import Session

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("servers")]

NAMES = ["work-1", "work-2"]
MADE = TableName("gold", "made")

HOLD = """
import sys, time
from phlo_iceberg.store import IcebergStore
from phlo_testing.stores import DAY_2, EVENTS, events, merge, publish_rows
from pyiceberg.catalog import load_catalog

store = IcebergStore(load_catalog("lake", type="sql", uri=sys.argv[1], warehouse=sys.argv[2]))
with store.lease_branch(["work-1"], wait_seconds=0) as lease:
    lease.fill()
    publish_rows(store.on_branch("work-1"), events([("killed", 1)]), merge(DAY_2))
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def store(postgres_database, tmp_path):
    password = postgres_database.password.get_secret_value()
    place = f"{postgres_database.host}:{postgres_database.port}/{postgres_database.database}"
    uri = f"postgresql+psycopg://{postgres_database.user}:{password}@{place}"
    catalog = load_catalog("lake", type="sql", uri=uri, warehouse=(tmp_path / "wh").as_uri())
    store = IcebergStore(catalog)
    publish_rows(store, events([("a", 1), ("b", 1)]), merge(DAY_1))
    yield store
    catalog.engine.dispose()


def read(store, table=EVENTS):
    handle = store.catalog.load_table((table.namespace, table.name))
    return {row["id"]: row["value"] for row in handle.scan().to_arrow().to_pylist()}


def lease(store, names=NAMES):
    return store.lease_branch(names, wait_seconds=0)


def test_runs_have_branches_of_their_own_and_the_third_one_waits_in_vain(store):
    with ExitStack() as stack:
        held = [stack.enter_context(lease(store)) for _ in NAMES]
        assert [one.branch for one in held] == NAMES
        with pytest.raises(ServiceError, match="busy: work-1, work-2"), lease(store):
            pass
    assert [b.name for b in store.branches()] == ["main"]
    with lease(store) as again:
        assert again.branch == "work-1"


def test_a_lease_publishes_what_it_keeps_and_leaves_nothing(store, tmp_path):
    with lease(store) as work:
        mark = (work.fill(),)
        branch = store.on_branch(work.branch)
        assert mark in branch.catalog.list_namespaces()
        publish_rows(branch, events([("a", 2), ("c", 2)]), merge(DAY_2))
        publish_rows(branch, events([("m", 5)]), merge(DAY_2), table=MADE)
        work.discard([MADE])
        assert not branch.exists(MADE)
        assert not list(tmp_path.rglob("gold*/**/*.parquet"))
        assert read(branch) == {"a": 2, "b": 1, "c": 2}
        assert read(store) == {"a": 1, "b": 1}
        assert [change.table for change in work.publish()] == [EVENTS]
    assert mark not in store.catalog.list_namespaces()
    assert read(store) == {"a": 2, "b": 1, "c": 2}
    assert store.examine(EVENTS, deep=True) == []
    assert [b.name for b in store.branches()] == ["main"]


def test_what_is_discarded_is_as_main_has_it_by_then(store):
    with lease(store) as work:
        work.fill()
        publish_rows(store.on_branch(work.branch), events([("a", 9)]), merge(DAY_2))
        publish_rows(store, events([("b", 7)]), merge(DAY_2), extraction=2)
        with pytest.raises(BranchConflictError):
            work.publish()
        work.discard([EVENTS])
        assert read(store.on_branch(work.branch)) == {"a": 1, "b": 7} == read(store)
        assert work.publish() == []


def test_a_table_goes_with_its_folder_only_where_no_other_needs_it(store):
    with lease(store) as work:
        work.fill()
        branch = store.on_branch(work.branch)
        publish_rows(branch, events([("m", 5)]), merge(DAY_2), table=MADE)
        assert work.drop(MADE) is False
        assert branch.exists(MADE)
        branch.catalog.rename_table(("bronze", "events"), ("bronze", "events__dbt_backup"))
        assert work.drop(TableName("bronze", "events__dbt_backup")) is True
        assert other_locations(store.catalog, EVENTS, store.load(EVENTS).location) == []
    assert read(store) == {"a": 1, "b": 1}
    assert store.examine(EVENTS, deep=True) == []


def test_the_lease_of_a_killed_run_is_taken_back(store):
    properties = store.catalog.properties
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, properties["uri"], properties["warehouse"]],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    with pytest.raises(ServiceError), lease(store, ["work-1"]):
        pass
    process.kill()
    process.wait()
    process.stdout.close()
    with store.lease_branch(["work-1"], wait_seconds=30) as work:
        assert "killed" in read(store.on_branch("work-1"))
        work.fill()
        assert read(store.on_branch("work-1")) == {"a": 1, "b": 1}


def test_a_run_that_lost_its_branch_to_another_one_publishes_nothing(store):
    with lease(store, ["work-1"]) as lost:
        lost.fill()
        publish_rows(store.on_branch("work-1"), events([("lost", 1)]), merge(DAY_2))
        other = Lease(store.catalog, "work-1")
        other.fill()
        publish_rows(store.on_branch("work-1"), events([("other", 1)]), merge(DAY_2))
        for act in (lost.publish, lambda: lost.discard([EVENTS])):
            with pytest.raises(MovedHeadError):
                act()
        lost.release()
        assert "other" in read(store.on_branch("work-1"))
        other.publish()
    assert read(store) == {"a": 1, "b": 1, "other": 1}


def test_rows_that_an_engine_wrote_late_and_views_are_no_obstacle(store):
    row = {"catalog_name": "lake@work-1", "table_namespace": "gold", "table_name": "late"}
    view = {"table_namespace": "gold", "table_name": "v", "metadata_location": "s3://no/v.json"}
    with Session(store.catalog.engine) as session:
        session.execute(insert(IcebergTables).values(**row, metadata_location="s3://no/t.json"))
        for name in ("lake", "lake@work-1"):
            session.execute(
                insert(IcebergTables).values(catalog_name=name, iceberg_type="VIEW", **view)
            )
        session.commit()
    with lease(store) as work:
        work.fill()
        assert store.on_branch("work-1").list_tables() == [EVENTS]
        publish_rows(store.on_branch("work-1"), events([("c", 2)]), merge(DAY_2))
        work.publish()
    assert read(store) == {"a": 1, "b": 1, "c": 2}


def test_catalogs_that_cannot_lease_say_what_can(phlo_environment):
    with pytest.raises(UnsupportedCatalogError, match="postgresql"), lease(open_lake().store):
        pass
    rest = IcebergStore(RestCatalog.__new__(RestCatalog))
    rest.catalog.name = "lake"
    with pytest.raises(UnsupportedCatalogError, match="PHLO_ICEBERG_CATALOG_TYPE=sql"), lease(rest):
        pass
