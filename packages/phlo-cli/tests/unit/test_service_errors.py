"""Services and machines that fail: what each command says, and what it does not say."""

import os
import resource
import shutil
import subprocess
import sys
import textwrap
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from phlo.lake import reset_lake

SECRET = "s3cr3t-Passw0rd"
ORDERS = """
    from dagster import RetryPolicy
    from phlo_dlt import phlo_ingestion
    from phlo.schemas import PhloSchema


    class Orders(PhloSchema):
        id: int


    @phlo_ingestion(
        table_name="orders", unique_key="id", validation_schema=Orders, group="shop",
        partitions=None, max_retries=1, retry_delay_seconds=0,
    )
    def orders():
        return [{"id": 1}]
"""
DOORS = {
    "materialize": ("materialize", "orders"),
    "query": ("query", "SELECT id FROM bronze.orders"),
    "catalog": ("catalog", "tables"),
    "status": ("status",),
    "maintain": ("maintain",),
    "branch": ("branch", "list"),
    "doctor": ("doctor",),
}


@pytest.fixture(scope="module")
def loaded_state(tmp_path_factory):
    """The folder ``.phlo`` of a project whose table was loaded once."""
    root = tmp_path_factory.mktemp("loaded")
    (root / "workflows").mkdir()
    (root / "workflows" / "orders.py").write_text(textwrap.dedent(ORDERS))
    done = subprocess.run(
        [sys.executable, "-m", "phlo_cli", "materialize", "orders"],
        cwd=root,
        env=os.environ | {"PHLO_PROJECT_DIR": str(root)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return root / ".phlo"


@pytest.fixture
def project(phlo_project, loaded_state):
    phlo_project.write("workflows/orders.py", ORDERS)
    shutil.copytree(loaded_state, phlo_project.root / ".phlo")
    yield phlo_project
    reset_lake()


@pytest.fixture
def answering():
    """Start a server that gives every request one answer; returns its address."""
    servers = []

    def start(status, body, kind="application/json"):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815 - as http.server calls it

            def log_message(self, *_):
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def rest(uri, **more):
    return {"PHLO_ICEBERG_CATALOG_TYPE": "rest", "PHLO_ICEBERG_CATALOG_URI": uri} | more


def refused_database(project, answering):
    uri = f"postgresql+psycopg://phlo:{SECRET}@127.0.0.1:1/lake"
    project.set(PHLO_ICEBERG_CATALOG_URI=uri)


def no_host(project, answering):
    uri = f"postgresql+psycopg://phlo:{SECRET}@no-host.invalid/lake"
    project.set(PHLO_ICEBERG_CATALOG_URI=uri)


def no_address(project, answering):
    project.set(PHLO_ICEBERG_CATALOG_URI=f"nonsense {SECRET}")


def unknown_dialect(project, answering):
    project.set(PHLO_ICEBERG_CATALOG_URI=f"postgres://phlo:{SECRET}@127.0.0.1:1/lake")


def wrong_port(project, answering):
    project.set(PHLO_ICEBERG_CATALOG_URI=f"postgresql+psycopg://phlo:{SECRET}@127.0.0.1:x/lake")


def no_driver(project, answering):
    project.set(PHLO_ICEBERG_CATALOG_URI=f"mysql://phlo:{SECRET}@127.0.0.1:1/lake")


def rest_is_down(project, answering):
    project.set(**rest("http://127.0.0.1:1"))


def rest_refuses(project, answering):
    uri = answering(401, b'{"error": {"message": "who?", "type": "Unauthorized", "code": 401}}')
    project.set(**rest(uri, PHLO_ICEBERG_CATALOG_CREDENTIAL=f"client:{SECRET}"))


def rest_forbids(project, answering):
    uri = answering(403, b'{"error": {"message": "no", "type": "Forbidden", "code": 403}}')
    project.set(**rest(uri))


def rest_is_elsewhere(project, answering):
    project.set(**rest(answering(404, b"<html>no such page</html>", "text/html")))


def rest_is_busy(project, answering):
    uri = answering(503, b'{"error": {"message": "later", "type": "Slow", "code": 503}}')
    project.set(**rest(uri))


def rest_is_a_login_page(project, answering):
    project.set(**rest(answering(200, b"<html>log in</html>", "text/html")))


def unknown_kind(project, answering):
    project.set(PHLO_ICEBERG_CATALOG_TYPE="sqlite")


def rest_without_address(project, answering):
    project.set(PHLO_ICEBERG_CATALOG_TYPE="rest")


def garbled_catalog(project, answering):
    (project.root / ".phlo" / "catalog.db").write_bytes(b"no database at all " * 500)


def cut_catalog(project, answering):
    file = project.root / ".phlo" / "catalog.db"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def catalog_is_a_folder(project, answering):
    file = project.root / ".phlo" / "catalog.db"
    file.unlink()
    file.mkdir()


RETRIED, AT_ONCE = True, False
FAULTS = [
    (refused_database, RETRIED, "Connection refused", "correct host and port in PHLO_ICEBERG"),
    (no_host, RETRIED, "resolve host", "correct host and port in PHLO_ICEBERG_CATALOG_URI"),
    (no_address, AT_ONCE, "is no address of a database", "Correct PHLO_ICEBERG_CATALOG_URI"),
    (unknown_dialect, AT_ONCE, "is no address of a database", "Correct PHLO_ICEBERG_CATALOG_URI"),
    (wrong_port, AT_ONCE, "is no address of a database", "Correct PHLO_ICEBERG_CATALOG_URI"),
    (no_driver, AT_ONCE, "A library for this catalog", "pip install"),
    (rest_is_down, RETRIED, "Connection refused", "correct PHLO_ICEBERG_CATALOG_URI"),
    (rest_refuses, AT_ONCE, "refuses phlo", "Correct PHLO_ICEBERG_CATALOG_CREDENTIAL"),
    (rest_forbids, AT_ONCE, "refuses phlo", "Correct PHLO_ICEBERG_CATALOG_CREDENTIAL"),
    (rest_is_elsewhere, AT_ONCE, "REST catalog cannot be used", "Correct PHLO_ICEBERG_CATALOG_URI"),
    (rest_is_busy, RETRIED, "later", "Start the server"),
    (rest_is_a_login_page, AT_ONCE, "none of an Iceberg catalog", "login page"),
    (unknown_kind, AT_ONCE, "PHLO_ICEBERG_CATALOG_TYPE", "'sql' or 'rest'"),
    (rest_without_address, AT_ONCE, "has no address", "Set PHLO_ICEBERG_CATALOG_URI"),
    (garbled_catalog, AT_ONCE, "The catalog (.phlo/catalog.db", "phlo doctor --fix` rebuilds"),
    (cut_catalog, AT_ONCE, "is damaged", "phlo doctor --fix` rebuilds the catalog"),
    (catalog_is_a_folder, AT_ONCE, "unable to open database file", "let this user read"),
]
ALL_DOORS = [(fault, door) for fault in (FAULTS[0], FAULTS[7], FAULTS[14]) for door in DOORS]
ONE_DOOR = [(fault, "query") for fault in FAULTS]


@pytest.mark.parametrize(
    ("fault", "door"),
    dict.fromkeys(ALL_DOORS + ONE_DOOR),
    ids=lambda value: value if isinstance(value, str) else value[0].__name__,
)
def test_every_command_tells_a_failed_service_with_its_remedy(
    fault, door, project, answering, phlo
):
    make_fault, is_retried, message, hint = fault
    make_fault(project, answering)
    answer = phlo(*DOORS[door])
    text = answer.out + answer.err
    flat = " ".join(text.split())
    assert answer.code == 1, text
    assert message in flat
    assert hint in flat
    assert "Traceback" not in text
    assert "sqlalche.me" not in text
    assert SECRET not in text
    if door == "materialize":
        assert ("trying again" in text) == is_retried


def test_a_catalog_that_was_moved_away_is_rebuilt_as_the_hint_says(project, phlo):
    garbled_catalog(project, None)
    (project.root / ".phlo" / "catalog.db").rename(project.root / "away.db")
    assert phlo("doctor", "--fix").code == 0
    reset_lake()
    assert phlo("query", "SELECT id FROM bronze.orders", "--json").json == [{"id": 1}]


def test_a_garbled_history_of_runs_is_told(project, phlo):
    for file in (project.root / ".phlo" / "dagster").rglob("*.db"):
        file.write_bytes(b"no database at all " * 500)
    for command in (DOORS["status"], DOORS["materialize"], DOORS["doctor"]):
        answer = phlo(*command)
        assert answer.code == 1
        assert "is damaged: file is not a database" in answer.out + answer.err
        assert ".phlo/dagster" in answer.out + answer.err


def test_a_file_that_may_not_grow_is_told_as_the_machines_fault(project):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    project.write(
        "workflows/orders.py",
        ORDERS.replace('[{"id": 1}]', '[{"id": n * 7919 % 10**9} for n in range(300_000)]'),
    )
    done = subprocess.run(
        [sys.executable, "-m", "phlo_cli", "materialize", "orders"],
        cwd=project.root,
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Hint: " in done.stdout
    assert "ulimit -f" in done.stdout
    assert "trying again" not in done.stdout
