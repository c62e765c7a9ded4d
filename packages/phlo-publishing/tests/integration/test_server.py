"""The project's own PostgreSQL server."""

import os
import re
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from phlo.errors import ConfigurationError
from phlo_publishing.postgres import PostgresResource
from phlo_publishing.server import EmbeddedServer, _binaries, borrow, give_back
from pydantic import SecretStr

pytestmark = pytest.mark.integration


@pytest.fixture
def server(tmp_path):
    server = EmbeddedServer(tmp_path / "postgres", options={"fsync": "off"})
    yield server
    server.stop()


def test_a_started_server_answers_and_keeps_its_rows_over_a_restart(server):
    with server.start("mart s").connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT 42 AS answer")
    first = server._running_port()
    server.stop()
    assert not server.is_running()
    with server.start("mart s").connect() as connection:
        assert connection.execute("SELECT answer FROM t").fetchall() == [(42,)]
        assert connection.info.port == first


def test_starting_twice_uses_the_running_server(server):
    assert server.start() == server.start()


def test_a_process_id_that_another_process_has_by_now_is_no_server(server):
    server.start()
    file = server._data / "postmaster.pid"
    lines = file.read_text().splitlines()
    server.stop()
    file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    with server.start().connect() as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_the_password_is_private_and_never_shown(server):
    address = server.start()
    password = address.password.get_secret_value()
    file = server.folder / "password"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == password
    assert password not in f"{address} {address!r} {address.conninfo()!r}"
    assert password not in server._log.read_text()


def test_a_wrong_password_is_refused(server):
    address = replace(server.start(), password=SecretStr("wrong-one"))
    with pytest.raises(ConfigurationError, match="PHLO_POSTGRES_PASSWORD") as caught:
        address.connect()
    assert "wrong-one" not in str(caught.value)


def test_the_server_does_not_run_as_root(server):
    server.start()
    pid = (server._data / "postmaster.pid").read_text().splitlines()[0]
    assert Path(f"/proc/{pid}").stat().st_uid != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has folders closed to the server")
def test_a_folder_closed_to_others_can_hold_the_server(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedServer(closed / "project" / ".phlo" / "postgres")
    try:
        with server.start().connect() as connection:
            assert connection.execute("SELECT 1").fetchall() == [(1,)]
    finally:
        server.stop()


def test_the_last_user_stops_the_server(server):
    borrow(server, "phlo", keep_running=False)
    give_back(server)
    assert not server.is_running()


def test_a_server_that_is_to_be_kept_runs_on(server):
    borrow(server, "phlo", keep_running=True)
    give_back(server)
    assert server.is_running()


_CHILD = """
import sys
from phlo_publishing.postgres import PostgresResource
with PostgresResource().connect() as connection:
    print(connection.info.port, flush=True)
    if sys.argv[1] == "wait":
        sys.stdin.readline()
"""


def _child(mode, folder):
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PHLO_PROJECT_DIR": str(folder)},
    )


def test_processes_share_one_server_and_the_last_one_out_stops_it(phlo_environment):
    server = EmbeddedServer(phlo_environment / ".phlo" / "postgres")
    with _child("wait", phlo_environment) as first:
        port = first.stdout.readline()
        assert re.fullmatch(r"\d+\n", port)
        with _child("go", phlo_environment) as second:
            assert second.stdout.readline() == port
        assert server.is_running()
        first.stdin.write("\n")
    assert not server.is_running()


def test_a_killed_process_leaves_a_server_that_the_next_one_uses_and_stops(phlo_environment):
    server = EmbeddedServer(phlo_environment / ".phlo" / "postgres")
    with _child("wait", phlo_environment) as first:
        port = first.stdout.readline()
        first.kill()
    assert server.is_running()
    with _child("go", phlo_environment) as second:
        assert second.stdout.readline() == port
    assert not server.is_running()


def test_the_settings_name_another_server(postgres_database):
    with PostgresResource().connect() as connection:
        assert connection.info.dbname == postgres_database.database


_CLOSED = """
from pathlib import Path
from phlo_publishing.server import EmbeddedServer, program
server = EmbeddedServer(Path("project/.phlo/postgres"))
with server.start().connect() as connection:
    print(program("postgres"), connection.execute("SELECT 40 + 2").fetchone()[0])
server.stop()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has folders closed to the server")
def test_programs_in_a_closed_environment_are_copied_once(tmp_path):
    """A clone and its virtual environment below root's home, which is closed to all others."""
    closed = tmp_path / "root"
    closed.mkdir(mode=0o700)
    package = _binaries().parents[1]
    for name in (package.name, f"{package.name}.libs"):
        shutil.copytree(package.with_name(name), closed / "site" / name)
    before = set(Path("/var/tmp").glob("phlo-postgres-*"))
    done = subprocess.run(
        [sys.executable, "-c", _CLOSED],
        cwd=closed,
        env=os.environ | {"PYTHONPATH": str(closed / "site")},
        check=True,
        capture_output=True,
        text=True,
    )
    used, answer = done.stdout.split()
    assert answer == "42"
    assert Path(used).is_relative_to("/var/tmp")
    for made in set(Path("/var/tmp").glob("phlo-postgres-*")) - before:
        shutil.rmtree(made)
