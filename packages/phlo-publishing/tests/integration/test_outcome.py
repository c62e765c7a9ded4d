"""After the commit nothing raises, and an answer that was lost is found out."""

import socket
import threading
from contextlib import ExitStack, suppress

import pyarrow as pa
import pytest
from dagster import AssetSpec, materialize, multi_asset
from phlo.config import reset_settings
from phlo.errors import ServiceError
from phlo.lake import open_lake
from phlo_publishing import publish as module
from phlo_publishing.postgres import PostgresResource
from phlo_publishing.publish import publish_marts_to_postgres

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("names", [("x", "y"), ("m", "y")])
def test_a_multi_asset_publishes_and_succeeds(names, write_mart, database):
    write_mart("marts.m", pa.table({"n": [1]}))

    @multi_asset(specs=[AssetSpec(name) for name in names])
    def both(context):
        tables, resource = {"m": "marts.m"}, PostgresResource()
        publish_marts_to_postgres(context, open_lake().engine, resource, tables, "tests")

    result = materialize([both])
    assert result.success
    assert database.execute("SELECT * FROM marts.m").fetchall() == [(1,)]
    events = result.asset_materializations_for_node("both")
    rows = {e.asset_key.path[-1]: e.metadata.get("dagster/row_count") for e in events}
    assert {k: v.value for k, v in rows.items() if v} == ({"m": 1} if "m" in names else {})


def test_a_report_that_fails_leaves_a_publish_done(
    write_mart, publish, database, monkeypatch, caplog
):
    def fail(*args):
        raise RuntimeError("no metadata today")

    monkeypatch.setattr(module, "report", fail)
    write_mart("marts.m", pa.table({"n": [1]}))
    assert publish({"m": "marts.m"})["m"].row_count == 1
    assert "no metadata today" in caplog.text


class CommitProxy(threading.Thread):
    """A proxy before a server that breaks the connection at the second COMMIT it sees.

    The first one is that of the preparation of schemas.

    Args:
        address: The server.
        is_delivered: Whether the server still gets that COMMIT, so that only its answer is lost.
    """

    def __init__(self, address, *, is_delivered):
        super().__init__(daemon=True)
        self._address, self._is_delivered = address, is_delivered
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._commits, self._threads = 0, []
        self.port = self._listener.getsockname()[1]

    def run(self):
        with suppress(OSError):  # until it is closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection((self._address.host, self._address.port))
                pair = _Pair(client, server)
                self._start(self._ask, pair)
                self._start(pair.answer)

    def _start(self, target, *args):
        self._threads.append(threading.Thread(target=target, args=args, daemon=True))
        self._threads[-1].start()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join()
        for thread in self._threads:
            thread.join()

    def _ask(self, pair):
        while data := receive(pair.client):
            if b"COMMIT\0" in data:
                self._commits += 1
                if self._commits == 2:
                    pair.is_cut = True
                    if not self._is_delivered:
                        break
            pair.server.sendall(data)
        pair.shut()
        pair.client.close()


class _Pair:
    """The two ends of a connection."""

    def __init__(self, client, server):
        self.client, self.server, self.is_cut = client, server, False

    def answer(self):
        while (data := receive(self.server)) and not self.is_cut:
            self.client.sendall(data)
        self.shut()
        self.server.close()

    def shut(self):
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def receive(end):
    try:
        return end.recv(65536)
    except OSError:
        return b""


@pytest.fixture
def through_proxy(postgres_database, monkeypatch):
    """Let publishes reach the server through a proxy."""
    with ExitStack() as stack:

        def call(*, is_delivered):
            proxy = CommitProxy(postgres_database, is_delivered=is_delivered)
            proxy.start()
            stack.callback(proxy.close)
            monkeypatch.setenv("PHLO_POSTGRES_PORT", str(proxy.port))
            reset_settings()

        yield call


def test_a_commit_whose_answer_was_lost_is_found_to_be_done(
    write_mart, publish, database, through_proxy
):
    write_mart("marts.m", pa.table({"n": [1]}))
    through_proxy(is_delivered=True)
    assert publish({"m": "marts.m"})["m"].row_count == 1
    assert database.execute("SELECT * FROM marts.m").fetchall() == [(1,)]
    assert publish({"m": "marts.m"})["m"].is_skipped


def test_a_commit_that_never_arrived_is_an_error_and_changes_nothing(
    write_mart, publish, database, through_proxy
):
    write_mart("marts.m", pa.table({"n": [1]}))
    through_proxy(is_delivered=False)
    with pytest.raises(ServiceError):
        publish({"m": "marts.m"})
    assert database.execute("SELECT to_regclass('marts.m')").fetchone() == (None,)
    assert publish({"m": "marts.m"})["m"].row_count == 1
    assert database.execute("SELECT * FROM marts.m").fetchall() == [(1,)]


@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE marts.m",
        "DELETE FROM marts.m WHERE n = 1",
        "UPDATE marts.m SET t = 'edited' WHERE n = 1",
        "DELETE FROM marts.m WHERE n = 1; INSERT INTO marts.m VALUES (1, 'x')",
        "ALTER TABLE marts.m RENAME COLUMN t TO u",
        "ALTER TABLE marts.m DROP COLUMN t",
        "ALTER TABLE marts.m ALTER COLUMN n TYPE text",
    ],
)
def test_a_table_that_was_changed_by_hand_is_published_again(
    statement, write_mart, publish, database
):
    write_mart("marts.m", pa.table({"n": [1, 2], "t": ["x", "y"]}))
    publish({"m": "marts.m"})
    assert publish({"m": "marts.m"})["m"].is_skipped
    database.execute(statement)
    assert not publish({"m": "marts.m"})["m"].is_skipped
    assert database.execute("SELECT n, t FROM marts.m ORDER BY n").fetchall() == [
        (1, "x"),
        (2, "y"),
    ]
    assert publish({"m": "marts.m"})["m"].is_skipped


def test_a_column_renamed_without_a_new_snapshot_is_published(write_mart, publish, database):
    snapshot = write_mart("marts.m", pa.table({"n": [1], "t": ["x"]}))
    publish({"m": "marts.m"})
    table = open_lake().store._open(open_lake().store.list_tables()[0])
    with table.update_schema() as update:
        update.rename_column("t", "text")
    result = publish({"m": "marts.m"})["m"]
    assert (result.is_skipped, result.snapshot_id) == (False, snapshot)
    assert database.execute("SELECT text FROM marts.m").fetchall() == [("x",)]
