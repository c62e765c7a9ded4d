"""Fixtures for tests of phlo projects and plugins."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from phlo_publishing.address import PostgresAddress

    from phlo_testing.object_store import ObjectStore
    from phlo_testing.sandbox import ProjectSandbox
    from phlo_testing.trino import TrinoLake

_ISOLATED = ("PHLO_", "DAGSTER_", "DLT_", "DBT_")


def pytest_load_initial_conftests() -> None:
    """Make the current project importable, and its ``.env`` known, before tests are collected."""
    from phlo.env_file import find_project_dir, load_env_file

    folder = find_project_dir()
    if (folder / "workflows").is_dir():
        load_env_file()
        sys.path.insert(0, str(folder))


def pytest_configure(config: pytest.Config) -> None:
    """Ignore a warning that no project can heal.

    dbt brings the older of sqlglot's two accelerators along with the newer one, and it says so at
    every import.
    """
    config.addinivalue_line("filterwarnings", "ignore:sqlglotrs is deprecated:DeprecationWarning")


@pytest.fixture
def phlo_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make an empty project folder; settings, plugins and lake are forgotten before and after.

    Yields:
        The folder; ``PHLO_PROJECT_DIR`` points at it.
    """
    for name in [n for n in os.environ if n.startswith(_ISOLATED)]:
        monkeypatch.delenv(name)
    folder = tmp_path / "project"
    (folder / "workflows").mkdir(parents=True)
    monkeypatch.setenv("PHLO_PROJECT_DIR", str(folder))
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "yes")
    _forget()
    yield folder
    _forget()


@pytest.fixture
def phlo_project(phlo_environment: Path, monkeypatch: pytest.MonkeyPatch) -> ProjectSandbox:
    """Make a project to write workflows into; see :class:`phlo_testing.sandbox.ProjectSandbox`."""
    from phlo_testing.sandbox import ProjectSandbox

    return ProjectSandbox(phlo_environment, monkeypatch)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresAddress]:
    """Start a real PostgreSQL for the whole session, durability off; connect as superuser.

    Needs ``pip install "phlo-testing[postgres]"``.

    Yields:
        Where it is; ``.connect()`` opens a psycopg connection to its database ``postgres``.
    """
    from phlo_publishing.server import EmbeddedServer

    quick = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    server = EmbeddedServer(tmp_path_factory.mktemp("postgres"), options=quick)
    yield server.start("postgres")
    server.stop()


@pytest.fixture
def postgres_database(
    postgres_server: PostgresAddress, phlo_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> PostgresAddress:
    """Create an empty database on it; the settings ``PHLO_POSTGRES_*`` name it."""
    from phlo_testing.databases import fresh_database

    address = fresh_database(postgres_server)
    monkeypatch.setenv("PHLO_POSTGRES_HOST", address.host)
    monkeypatch.setenv("PHLO_POSTGRES_PORT", str(address.port))
    monkeypatch.setenv("PHLO_POSTGRES_DATABASE", address.database)
    monkeypatch.setenv("PHLO_POSTGRES_USER", address.user)
    if address.password is not None:
        monkeypatch.setenv("PHLO_POSTGRES_PASSWORD", address.password.get_secret_value())
    _forget()
    return address


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """Start a real S3 service with an Iceberg REST catalog for the whole session.

    Needs ``pip install "phlo-testing[s3]"``.
    """
    from phlo_testing.object_store import run_object_store

    yield from run_object_store(tmp_path_factory.mktemp("object-store"))


@pytest.fixture(scope="session")
def trino_lake(
    postgres_server: PostgresAddress,
    object_store: ObjectStore,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[TrinoLake]:
    """Start a real Trino, and a catalog that pyiceberg shares with it, for the whole session.

    Needs ``pip install "phlo-testing[trino]"``; Maven downloads the server at its first start.
    """
    from phlo_testing.databases import fresh_database
    from phlo_testing.trino import run_trino

    database = fresh_database(postgres_server)
    yield from run_trino(tmp_path_factory.mktemp("trino"), database, object_store)


def _forget() -> None:
    """Forget what phlo holds per process, where it is loaded at all."""
    for module, function in (
        ("phlo.env_file", "forget_env_file"),
        ("phlo.config", "reset_settings"),
        ("phlo.plugins", "reset_plugins"),
        ("phlo.lake", "reset_lake"),
        ("phlo.redaction", "forget_secrets"),
    ):
        if module in sys.modules:
            getattr(sys.modules[module], function)()
    for name in [n for n in sys.modules if n.split(".")[0] == "workflows"]:
        del sys.modules[name]
