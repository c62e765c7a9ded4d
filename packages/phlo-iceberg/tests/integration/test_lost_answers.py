"""Commits whose answer never came: nothing is deleted, and nothing is lost or doubled."""

import time

import psycopg
import pytest
from phlo.errors import MovedHeadError, ServiceError, UnknownCommitError
from phlo.names import TableName
from phlo.values import Append
from phlo_iceberg.commit import settle
from phlo_iceberg.store import IcebergStore
from phlo_testing.database_proxy import lossy_database_proxy
from phlo_testing.proxy import faulty_proxy
from phlo_testing.stores import DAY_1, DAY_2, EVENTS, events, publish_rows, stage_rows
from pyiceberg.catalog import load_catalog
from tenacity import wait_fixed

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("servers")]

OTHERS = TableName("bronze", "others")
OLD, NEW = [("a", 1)], [("b", 2)]
SLOW_COMMIT = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER slow AFTER INSERT OR UPDATE ON iceberg_tables
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow();
"""


def append(day):
    return Append(day, on_rerun="append")


class Database:
    """A catalog on PostgreSQL, through a proxy and without it."""

    def __init__(self, address, proxy, folder) -> None:
        self.address, self.proxy, self.warehouse = address, proxy, (folder / "lake").as_uri()
        self.catalogs = []

    def store(self, port: int | None = None) -> IcebergStore:
        address = self.address
        password = address.password.get_secret_value()
        place = f"127.0.0.1:{port or self.proxy.port}/{address.database}"
        options = "sslmode=disable&gssencmode=disable"
        uri = f"postgresql+psycopg://{address.user}:{password}@{place}?{options}"
        self.catalogs.append(load_catalog("lake", type="sql", uri=uri, warehouse=self.warehouse))
        return IcebergStore(self.catalogs[-1])

    def rows(self, table: TableName = EVENTS) -> list[tuple] | None:
        """What everybody reads, past the proxy."""
        catalog = self.store(self.address.port).catalog
        identifier = (table.namespace, table.name)
        if not catalog.table_exists(identifier):
            return None
        rows = catalog.load_table(identifier).scan().to_arrow().to_pylist()
        return sorted((row["id"], row["value"]) for row in rows)

    def execute(self, statements: str) -> None:
        address = self.address
        with psycopg.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password.get_secret_value(),
            dbname=address.database,
            autocommit=True,
        ) as connection:
            connection.execute(statements)


@pytest.fixture
def database(postgres_database, tmp_path, monkeypatch):
    monkeypatch.setattr(settle, "WAIT", wait_fixed(0.05))
    with lossy_database_proxy(postgres_database.host, postgres_database.port) as proxy:
        database = Database(postgres_database, proxy, tmp_path)
        yield database
        for catalog in database.catalogs:
            catalog.engine.dispose()


@pytest.mark.parametrize("loss", ["committed", "not committed"])
@pytest.mark.parametrize("before", [OLD, None], ids=["load", "first load"])
def test_a_load_whose_answer_is_lost_lands_once(database, before, loss):
    """The server is slow to commit, so that the row cannot be seen when it is first looked for."""
    store = database.store()
    if before:
        publish_rows(store, events(before), append(DAY_1))
    else:
        store.list_tables()
    database.execute(SLOW_COMMIT)
    staged = stage_rows(store, events(NEW), append(DAY_2))
    database.proxy.lose_next_commit(loss)

    (published,) = store.publish([staged])

    assert database.proxy.lost == 1
    assert database.rows() == sorted([*(before or []), *NEW])
    assert [s.snapshot_id for s in store.history(EVENTS)][0] == published.snapshot_id
    assert len(store.history(EVENTS)) == (2 if before else 1)


@pytest.mark.parametrize("loss", ["committed", "not committed"])
def test_several_tables_whose_answer_is_lost_land_together_and_once(database, loss):
    store = database.store()
    publish_rows(store, events(OLD), append(DAY_1))
    staged = [
        stage_rows(store, events(NEW), append(DAY_2)),
        stage_rows(store, events(NEW), append(DAY_2), table=OTHERS),
    ]
    database.proxy.lose_next_commit(loss)

    store.publish(staged)

    assert database.rows() == [*OLD, *NEW]
    assert database.rows(OTHERS) == NEW


@pytest.mark.parametrize("loss", ["committed", "not committed"])
def test_a_leased_branch_whose_publish_stays_unknown_is_cleared_by_the_next_run(database, loss):
    """The next run leases it at once, while the server may still be about to commit."""
    store, direct = database.store(), database.store(database.address.port)
    publish_rows(store, events(OLD), append(DAY_1))

    with store.lease_branch(["work-1"], wait_seconds=0) as work:
        work.fill()
        publish_rows(store.on_branch("work-1"), events(NEW), append(DAY_2))
        database.execute(SLOW_COMMIT)
        database.proxy.lose_next_commit(loss, then_down=True)
        with pytest.raises(UnknownCommitError):
            work.publish()
        with pytest.raises(ServiceError, match="catalog's database cannot be used"):
            work.publish()
    with direct.lease_branch(["work-1"], wait_seconds=30) as work:
        work.fill()
        published = [*OLD, *NEW] if loss == "committed" else OLD
        assert database.rows() == published
        publish_rows(direct.on_branch("work-1"), events([("c", 3)]), append(DAY_2))
        work.publish()

    assert database.rows() == [*published, ("c", 3)]
    assert direct.examine(EVENTS, deep=True) == []
    assert [branch.name for branch in direct.branches()] == ["main"]


@pytest.mark.parametrize("loss", ["committed", "not committed"])
@pytest.mark.parametrize("before", [OLD, None], ids=["load", "first load"])
def test_a_commit_that_stays_unknown_deletes_nothing(database, before, loss):
    store = database.store()
    if before:
        publish_rows(store, events(before), append(DAY_1))
    staged = stage_rows(store, events(NEW), append(DAY_2))
    database.proxy.lose_next_commit(loss, then_down=True)

    with pytest.raises(UnknownCommitError, match="did not say whether the commit") as error:
        store.publish([staged])

    landed = loss == "committed"
    assert error.value.snapshot_ids == {EVENTS: staged.snapshot.snapshot_id}
    wanted = [*(before or []), *NEW] if landed else before
    until(lambda: database.rows() == wanted)
    database.proxy.restore()
    history = store.history(EVENTS) if landed or before else []
    assert (staged.snapshot.snapshot_id in [s.snapshot_id for s in history]) is landed
    # The same stage may be sent once more: it lands where it had not, and never twice.
    if not landed:
        store.publish([staged])
        assert database.rows() == [*(before or []), *NEW]


def until(condition) -> None:
    """Wait for what a server does by itself."""
    for _ in range(200):
        if condition():
            return
        time.sleep(0.05)
    assert condition()


def test_another_writer_that_was_first_is_told_from_a_lost_answer(database):
    """The commit was lost, not committed, and meanwhile another writer moved the table."""
    store = database.store()
    publish_rows(store, events(OLD), append(DAY_1))
    staged = stage_rows(store, events(NEW), append(DAY_2))
    database.proxy.lose_next_commit("not committed", then_down=True)
    with pytest.raises(UnknownCommitError):
        store.publish([staged])
    publish_rows(database.store(database.address.port), events([("c", 3)]), append(DAY_2))
    database.proxy.restore()

    with pytest.raises(MovedHeadError):
        store.publish([staged])

    assert database.rows() == [*OLD, ("c", 3)]


class TestRestCatalog:
    """Each error of a server after which a commit may have landed."""

    @pytest.fixture
    def lake(self, object_store, monkeypatch):
        monkeypatch.setattr(settle, "WAIT", wait_fixed(0.05))
        with faulty_proxy(object_store.catalog_uri) as proxy:
            properties = object_store.rest_properties | {
                "uri": proxy.url,
                "oauth2-server-uri": f"{proxy.url}/v1/oauth/tokens",
            }
            yield proxy, IcebergStore(load_catalog("lake", **properties))

    @pytest.mark.parametrize("is_handed_on", [True, False], ids=["landed", "not landed"])
    @pytest.mark.parametrize("status", [500, 502, 503, 504, None])
    def test_a_load_whose_answer_is_lost_lands_once(self, lake, status, is_handed_on):
        proxy, store = lake
        name = TableName("bronze", f"lost_{status}_{is_handed_on}".lower())
        publish_rows(store, events(OLD), append(DAY_1), table=name)
        staged = stage_rows(store, events(NEW), append(DAY_2), table=name)
        commit = f"POST /v1/lake/namespaces/bronze/tables/{name.name}"
        proxy.lose_next(commit, status=status, is_handed_on=is_handed_on)

        store.publish([staged])

        assert proxy.lost == [commit]
        rows = store.catalog.load_table((name.namespace, name.name)).scan().to_arrow().to_pylist()
        assert sorted((r["id"], r["value"]) for r in rows) == [*OLD, *NEW]
        assert len(store.history(name)) == 2
