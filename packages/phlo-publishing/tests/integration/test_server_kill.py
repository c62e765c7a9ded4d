"""The server is killed at steps of a publish, and at its COMMIT: old or new rows, never a mixture.

Every ``PHLO_KILL_STRIDE``-th statement is tried (13th by default; 1 tries all, some ten minutes).
"""

import os
import signal
from contextlib import suppress

import psutil
import psycopg
import psycopg.generators
import pyarrow as pa
import pytest
from phlo.config import reset_settings
from phlo.errors import PhloError, ServiceError
from phlo_publishing.server import EmbeddedServer
from phlo_testing.ports import free_ports
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_fixed

pytestmark = [pytest.mark.integration, pytest.mark.slow]

STRIDE = int(os.environ.get("PHLO_KILL_STRIDE", "13"))
ROWS = 400
MODES = {"replace": {}, "merge": {"mode": "merge", "key": "id"}}


class Server:
    """A durable server of the test's own, which can be killed as a whole."""

    def __init__(self, folder):
        self._server = EmbeddedServer(folder, port=free_ports(1)[0])
        self.address = self._server.start("marts")

    def crash(self):
        """Kill every process of the server at once, and start it again on its port."""
        pid_file = self._server.folder / "data" / "postmaster.pid"
        postmaster = psutil.Process(int(pid_file.read_text().split()[0]))
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(processes, timeout=30)
        self._restart()

    # A connection of the dead server, or another process, may have the port for a while.
    @retry(
        retry=retry_if_exception_type(ServiceError),
        stop=stop_after_attempt(100),
        wait=wait_fixed(0.3),
    )
    def _restart(self):
        assert self._server.start("marts") == self.address

    def stop(self):
        self._server.stop()

    def rows(self, query):
        with self.address.connect(autocommit=True) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def server(phlo_environment, tmp_path_factory, monkeypatch):
    server = Server(tmp_path_factory.mktemp("killed"))
    address = server.address
    monkeypatch.setenv("PHLO_POSTGRES_HOST", address.host)
    monkeypatch.setenv("PHLO_POSTGRES_PORT", str(address.port))
    monkeypatch.setenv("PHLO_POSTGRES_DATABASE", address.database)
    monkeypatch.setenv("PHLO_POSTGRES_PASSWORD", address.password.get_secret_value())
    reset_settings()
    yield server
    server.stop()


@pytest.fixture
def postgres_database(server):
    """What ``publish`` and ``write_mart`` stand on: here the server that is killed."""
    return server.address


def versioned(version):
    """Every version changes ten rows of the one before, removes two and adds two."""
    ids = [*range(2 * version, ROWS), *range(10_000, 10_000 + 2 * version)]
    versions = [version if n < 10 else 0 for n, _ in enumerate(ids)]
    return pa.table({"id": ids, "version": versions, "text": [f"é{n}" for n in ids]})


def expected(version):
    table = versioned(version)
    return sorted(zip(*(column.to_pylist() for column in table.columns), strict=True))


QUERIES = [
    f"SELECT id, version, text FROM marts.{relation} ORDER BY 1, 2"
    for relation in ("m", "seen", "other")
]


def prepare(server, write_mart, publish, options):
    """Two marts that change together, one of them with a view, an index and a grant."""
    for name in ("m", "other"):
        write_mart(f"marts.{name}", versioned(0))
    publish(TABLES, **options)
    with server.address.connect(autocommit=True) as connection:
        connection.execute("CREATE INDEX m_text ON marts.m (text)")
        connection.execute("CREATE VIEW marts.seen AS SELECT * FROM marts.m")
        connection.execute("GRANT SELECT ON marts.m TO PUBLIC")


TABLES = {"m": "marts.m", "other": "marts.other"}


def check_state(server, versions):
    """All tables hold one of the versions, the same one; returns it. Nothing is left over."""
    held = [server.rows(query) for query in QUERIES]
    (version,) = [v for v in versions if held == [expected(v)] * 3]
    leftovers = "SELECT relname FROM pg_class WHERE relnamespace = 'phlo_new'::regnamespace"
    assert server.rows(leftovers) == []
    assert server.rows("SELECT indexname FROM pg_indexes WHERE indexname = 'm_text'")
    assert server.rows("SELECT row_count FROM phlo.published") == [(ROWS,)] * 2
    return version


class Strikes:
    """Kills the server before the n-th statement of psycopg's cursors."""

    def __init__(self, server, at):
        self.server, self.at, self.count = server, at, 0
        self.execute = psycopg.Cursor.execute

    def __get__(self, cursor, _):
        return lambda *args, **kwargs: self.strike(cursor, *args, **kwargs)

    def strike(self, cursor, *args, **kwargs):
        self.count += 1
        if self.count == self.at:
            self.server.crash()
        return self.execute(cursor, *args, **kwargs)


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("mode", MODES)
def test_a_killed_server_holds_the_old_or_the_new_rows(
    mode, server, write_mart, publish, monkeypatch
):
    options = MODES[mode]
    prepare(server, write_mart, publish, options)
    version, step, is_past_end = 0, 1, False
    while not is_past_end:
        version += 1
        for name in TABLES:
            write_mart(f"marts.{name}", versioned(version))
        strikes = Strikes(server, step)
        with monkeypatch.context() as context:
            context.setattr(psycopg.Cursor, "execute", strikes)
            try:
                publish(TABLES, **options)
                is_past_end = strikes.count < step
                allowed = [version]
            except PhloError:
                allowed = [version - 1, version]
        check_state(server, allowed)
        results = publish(TABLES, **options)
        assert check_state(server, [version]) == version
        assert {result.mode for result in results.values()} == {mode}
        assert all(result.is_skipped for result in publish(TABLES, **options).values())
        step += STRIDE
    assert step > 30


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_server_killed_at_the_commit_holds_what_the_publish_says(
    mode, moment, server, write_mart, publish, monkeypatch
):
    """``after``: the COMMIT is on its way, and so either may be; the publish finds out which."""
    options = MODES[mode]
    prepare(server, write_mart, publish, options)
    for version in range(1, 4):
        for name in TABLES:
            write_mart(f"marts.{name}", versioned(version))
        kills = []
        with monkeypatch.context() as context:
            killing = killing_at_commit(server, kills, is_sent=moment == "after")
            context.setattr(psycopg.Connection, "_exec_command", killing)
            try:
                publish(TABLES, **options)
                allowed = [version]
            except ServiceError:
                allowed = [version - 1]
        assert kills
        check_state(server, allowed)
        publish(TABLES, **options)
        check_state(server, [version])


def killing_at_commit(server, kills, *, is_sent):
    """What sends BEGIN and COMMIT, with a kill at the COMMIT of the transaction that publishes."""
    send = psycopg.Connection._exec_command

    def call(connection, command, *args, **kwargs):
        if command != b"COMMIT" or not is_publishing(connection) or kills:
            return (yield from send(connection, command, *args, **kwargs))
        kills.append(command)
        if is_sent:
            connection.pgconn.send_query(command)
            connection.pgconn.flush()
        server.crash()
        if is_sent:
            return (yield from psycopg.generators.fetch_many(connection.pgconn))
        return (yield from send(connection, command, *args, **kwargs))

    return call


def is_publishing(connection):
    """Whether a transaction wrote something that matters: the one before makes the schemas."""
    written = connection.pgconn.exec_(b"SELECT pg_current_xact_id_if_assigned()")
    return bool(written.get_value(0, 0))
