"""A real Superset, in an environment of its own, and marts for it to show.

Superset is installed once into ``$PHLO_TEST_CACHE`` (``~/.cache/phlo``), with the database of its
own objects as it is when new; every session starts it on a copy.
"""

import http.server
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow.dataset as ds
import pytest
import requests
from dagster import DagsterInstance, asset, build_asset_context
from filelock import FileLock
from phlo.config import reset_settings
from phlo.lake import open_lake
from phlo.names import TableName
from phlo.values import Replace
from phlo_publishing.postgres import PostgresResource
from phlo_publishing.publish import publish_marts_to_postgres
from phlo_superset.client import SupersetClient
from phlo_superset.project_sync import sync_project
from phlo_superset.settings import SupersetSettings
from phlo_testing.ports import free_ports
from phlo_testing.trino import cache_folder

VERSION = "6.1.0"
PACKAGES = (f"apache-superset=={VERSION}", "flask-caching==2.3.1", "psycopg2-binary", "gunicorn")
BESIDE = ("cachetools", "rich")  # imported by Superset, and not among what it requires
START_SECONDS = 120

CONFIG = """
import os
SECRET_KEY = "only for tests" * 4
SQLALCHEMY_DATABASE_URI = "sqlite:///" + os.environ["SUPERSET_HOME"] + "/superset.db"
TALISMAN_ENABLED = False
"""


@dataclass(frozen=True)
class Superset:
    """A running Superset.

    Attributes:
        url: Its address.
        password: Of its administrator.
        client: Logged in as an administrator.
    """

    url: str
    password: str
    client: SupersetClient

    def ask(self, dataset, **query):
        """Rows that Superset reads from a dataset, as its charts do."""
        body = {"datasource": {"id": dataset, "type": "table"}, "queries": [query]}
        path = "/api/v1/chart/data"
        answer = self.client._request("POST", path, "read rows", json=body)
        return answer["result"][0]["data"]


@pytest.fixture(scope="session")
def superset_programs():
    """The folder with the programs of an installed Superset."""
    return install(cache_folder()) / "venv" / "bin"


@pytest.fixture
def log_in():
    """Wait for a Superset that was started, and log in as a client of phlo does."""

    def wait_and_log_in(url, process, log, password):
        wait_until_healthy(url, process, log)
        return logged_in(url, "admin", password)

    return wait_and_log_in


@pytest.fixture(scope="session")
def superset(tmp_path_factory):
    installed = install(cache_folder())
    home = tmp_path_factory.mktemp("superset")
    shutil.copy(installed / "home" / "superset.db", home)
    environment = environment_of(installed, home)
    programs, (port,) = installed / "venv" / "bin", free_ports(1)
    command = [programs / "gunicorn", "--workers=1", "--threads=8", "--timeout=120"]
    command += [f"--bind=127.0.0.1:{port}", "superset.app:create_app()"]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_healthy(url, process, home / "log")
        password = (installed / "home" / "password").read_text()
        yield Superset(url, password, logged_in(url, "admin", password))
    finally:
        process.terminate()
        process.wait(timeout=60)


def logged_in(url, user, password):
    client = SupersetClient(SupersetSettings(url=url, user=user, password=password))
    client.log_in()
    return client


def install(cache):
    """Install Superset into a cache folder, unless it is there."""
    folder = cache / f"superset-{VERSION}"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "superset.lock"):
        if not (folder / "home" / "password").exists():
            shutil.rmtree(folder, ignore_errors=True)
            make_environment(folder)
            make_home(folder)
    return folder


def make_environment(folder):
    uv = shutil.which("uv") or Path(sys.executable).with_name("uv")
    run([uv, "venv", "--no-config", "--quiet", "--python", ">=3.10,<3.13", folder / "venv"])
    python = folder / "venv" / "bin" / "python"
    run([uv, "pip", "install", "--no-config", "--quiet", "--python", python, *PACKAGES, *BESIDE])


def make_home(folder):
    home = folder / "home"
    home.mkdir()
    environment, program = environment_of(folder, home), folder / "venv" / "bin" / "superset"
    admin = ["--username=admin", "--firstname=A", "--lastname=A", "--email=a@example.com"]
    run([program, "db", "upgrade"], environment)
    password = secrets.token_hex(16)
    run([program, "fab", "create-admin", *admin, f"--password={password}"], environment)
    run([program, "init"], environment)
    (home / "password").write_text(password)


def environment_of(installed, home):
    config = home / "superset_config.py"
    config.write_text(CONFIG)
    others = {k: v for k, v in os.environ.items() if not k.startswith(("PHLO_", "SUPERSET_"))}
    return others | {
        "SUPERSET_CONFIG_PATH": str(config),
        "SUPERSET_HOME": str(home),
        "FLASK_APP": "superset",
    }


def run(command, environment=None):
    done = subprocess.run(
        [str(part) for part in command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def wait_until_healthy(url, process, log):
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(f"{url}/health", timeout=10).text == "OK":
                return
        except requests.RequestException:
            time.sleep(0.2)
    raise RuntimeError(f"Superset does not start:\n{log.read_text()[-4000:]}")


@pytest.fixture
def shop(superset, postgres_database, tmp_path, monkeypatch):
    """A project with a name of its own, which the running Superset is to show."""
    folder = tmp_path / f"shop-{secrets.token_hex(4)}"
    (folder / "workflows").mkdir(parents=True)
    monkeypatch.setenv("PHLO_PROJECT_DIR", str(folder))
    monkeypatch.setenv("PHLO_SUPERSET_URL", superset.url)
    monkeypatch.setenv("PHLO_SUPERSET_PASSWORD", superset.password)
    reset_settings()
    open_lake.cache_clear()
    with DagsterInstance.ephemeral() as instance:
        yield Shop(superset, folder, instance)
    # With SQLite, Superset keeps names of datasets unique over all databases.
    for dataset in superset.client.find("dataset"):
        superset.client._request("DELETE", f"/api/v1/dataset/{dataset['id']}", "delete")


@dataclass(frozen=True)
class Shop:
    """A project whose marts are published and shown.

    Attributes:
        superset: Shows them.
        folder: The project's.
        instance: Dagster's.
    """

    superset: Superset
    folder: Path
    instance: DagsterInstance

    @property
    def client(self):
        return self.superset.client

    @property
    def database_name(self):
        return f"phlo {self.folder.name}"

    @property
    def slug(self):
        return f"phlo-{self.folder.name}"

    def publish(self, *, source="marts", **tables):
        """Write marts, and publish them under their own names."""
        store = open_lake().store
        for name, rows in tables.items():
            table = TableName(source, name)
            staged = store.stage(
                table, ds.dataset(rows), Replace(), schema=rows.schema, on_schema_change="sync"
            )
            store.publish([staged])
        wanted = {name: f"{source}.{name}" for name in tables}

        @asset
        def published(context):
            engine, postgres = open_lake().engine, PostgresResource()
            publish_marts_to_postgres(context, engine, postgres, wanted, "shop")

        published(build_asset_context(instance=self.instance))

    def sync(self, **options):
        """Sync, and return what was done as ``(kind, name): change``."""
        report = sync_project(**options)
        return {(change.kind, change.name): change for change in report.changes}

    def dataset(self, name):
        """A dataset with all that Superset says of it."""
        (found,) = self.listed("dataset", table_name=name)
        return self.client.get("dataset", found["id"])

    def listed(self, resource, **filters):
        """Objects of this project."""
        found = self.client.find(resource, **filters)
        ours = self.client.find("database", database_name=self.database_name)
        if resource == "dataset":
            return [d for d in found if d["database"]["id"] in {o["id"] for o in ours}]
        return found


@pytest.fixture
def set_environment(monkeypatch):
    """Set variables of the environment, and forget the settings."""

    def call(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        reset_settings()

    return call


@pytest.fixture
def screenshot(superset, tmp_path):
    """A page of Superset as Chromium shows it to an administrator: its DOM and a picture."""

    def call(url):
        picture = tmp_path / "page.png"
        command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]
        command += ["--no-first-run", f"--user-data-dir={tempfile.mkdtemp(dir=tmp_path)}"]
        command += ["--window-size=1280,1400", "--virtual-time-budget=60000"]
        command += [f"--screenshot={picture}", "--dump-dom"]
        with logging_in(url, session_cookie(superset)) as start:
            done = subprocess.run(
                [*command, start], capture_output=True, text=True, timeout=200, check=True
            )
        return done.stdout, picture

    return call


def session_cookie(superset):
    """The cookie of a browser that is logged in."""
    session = superset.client._session
    token = session.headers["X-CSRFToken"]
    form = {"username": "admin", "password": superset.password, "csrf_token": token}
    browser = requests.Session()
    browser.cookies.update(session.cookies)
    answer = browser.post(
        f"{superset.url}/login/", data=form, headers={"Referer": superset.url}, timeout=60
    )
    assert answer.ok, answer.text[:1000]
    return browser.cookies["session"]


@contextmanager
def logging_in(url, cookie):
    """Send a browser on to a page with a cookie, which holds for all ports of a host."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(302)
            self.send_header("Set-Cookie", f"session={cookie}; Path=/; HttpOnly")
            self.send_header("Location", url)
            self.end_headers()

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
