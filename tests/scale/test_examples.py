"""The examples on Trino, S3 and PostgreSQL: every table and mart as in the embedded project.

Nothing differs but settings: the workflows are the same files, run by the same commands.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from phlo.names import is_metadata_column
from phlo_testing.databases import fresh_database
from phlo_testing.trino import WORK_CATALOGS
from phlo_trino.engine import TrinoEngine
from phlo_trino.server import TrinoServer
from phlo_trino.settings import TrinoSettings
from pyiceberg.catalog import load_catalog

pytestmark = [pytest.mark.scale, pytest.mark.integration, pytest.mark.timeout(900)]

EXAMPLES = Path(__file__).parents[2] / "examples"
COMMANDS = {
    "nightscout": (
        "backfill glucose_entries --start-date 2025-11-03 --end-date 2025-11-04",
        "materialize --select tag:dbt,group:publishing",
        "materialize glucose_entries+ --partition 2025-11-04",
    ),
    "flights": (
        "materialize airlines airports planes",
        "backfill flights weather --start-date 2013-01-01 --end-date 2013-01-02",
        "materialize --select tag:dbt,group:publishing --partition 2013-01-02",
    ),
}
DBT_ON_TRINO = {
    "PHLO_TRINO_WORK_CATALOGS": ",".join(map("=".join, WORK_CATALOGS.items())),
    "PHLO_DBT_TARGET": "trino",
}
"""One of the examples has dbt work on Trino too."""
LOAD_TIMES = {"ingested_timestamp"}
"""Columns of models that tell when a row was loaded."""


@dataclass(frozen=True)
class Finished:
    """A project after its commands.

    Attributes:
        tables: The content of each table, sorted.
        marts: The rows of each published table, sorted.
    """

    tables: dict[str, list[str]]
    marts: dict[str, list[str]]


@pytest.fixture
def run_example(postgres_server, tmp_path, monkeypatch):
    """Runs an example in a folder of its own, with settings and PostgreSQL of its own."""
    servers = []

    def run(name, folder, settings, catalog_properties=None):
        marts = fresh_database(postgres_server)
        project = tmp_path / folder
        shutil.copytree(EXAMPLES / name / "workflows", project / "workflows")
        environment = os.environ | settings
        environment |= {
            "PHLO_PROJECT_DIR": str(project),
            "PHLO_POSTGRES_HOST": marts.host,
            "PHLO_POSTGRES_PORT": str(marts.port),
            "PHLO_POSTGRES_DATABASE": marts.database,
            "PHLO_POSTGRES_USER": marts.user,
            "PHLO_POSTGRES_PASSWORD": marts.password.get_secret_value(),
        }
        if name == "nightscout":
            servers.append(start_nightscout())
            environment["NIGHTSCOUT_URL"] = servers[-1].url
        for command in COMMANDS[name]:
            phlo(command, project, environment)
        return Finished(
            {n: content(t) for n, t in read_tables(project, catalog_properties).items()},
            read_marts(marts),
        )

    yield run
    for server in servers:
        server.shutdown()
        server.server_close()


def start_nightscout():
    file = EXAMPLES / "nightscout" / "workflows" / "ingestion" / "nightscout" / "server.py"
    spec = importlib.util.spec_from_file_location("nightscout_server", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.start()


def phlo(command, folder, environment):
    done = subprocess.run(
        [sys.executable, "-m", "phlo_cli", *command.split()],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"


def read_tables(project, properties):
    """All tables as pyiceberg reads them."""
    state = project / ".phlo"
    properties = properties or {
        "type": "sql",
        "uri": f"sqlite:///{state / 'catalog.db'}",
        "warehouse": (state / "warehouse").as_uri(),
    }
    catalog = load_catalog("lake", **properties)
    names = [name for space in catalog.list_namespaces() for name in catalog.list_tables(space)]
    tables = {".".join(name): catalog.load_table(name).scan().to_arrow() for name in names}
    catalog.engine.dispose()
    return tables


def content(table: pa.Table) -> list[str]:
    """Rows without what tells of the load, sorted."""
    names = [n for n in table.column_names if not is_metadata_column(n) and n not in LOAD_TIMES]
    rows = table.select(names).to_pylist()
    return sorted(repr({name: comparable(value) for name, value in row.items()}) for row in rows)


def comparable(value):
    """Floats to twelve digits: sums of floats depend on the order in which files are read."""
    return f"{value:.12g}" if isinstance(value, float) else value


def read_marts(address):
    query = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'marts'"
    with address.connect() as connection:
        names = [name for (name,) in connection.execute(query).fetchall()]
        rows = {
            name: connection.execute(f'SELECT * FROM marts."{name}"').fetchall() for name in names
        }
    return {
        name: sorted(repr([comparable(value) for value in row]) for row in found)
        for name, found in rows.items()
    }


@pytest.mark.parametrize("name", list(COMMANDS))
def test_an_example_gives_the_same_tables_at_both_scales(name, run_example, trino_lake):
    empty(trino_lake)
    embedded = run_example(name, "embedded", {})
    settings = trino_lake.settings | (DBT_ON_TRINO if name == "flights" else {})
    scaled = run_example(name, "scaled", settings, trino_lake.catalog_properties)

    assert scaled.tables.keys() == embedded.tables.keys()
    assert len(scaled.tables) > 5
    for table, rows in embedded.tables.items():
        assert scaled.tables[table] == rows, table
    assert scaled.marts == embedded.marts
    assert scaled.marts

    answered = trino_lake.execute(
        "SELECT count(*) FROM system.runtime.queries WHERE source = 'phlo' AND state = 'FINISHED'"
    )
    assert answered[0][0] > 3
    settings = TrinoSettings(host="127.0.0.1", port=trino_lake.port)
    for table in scaled.tables:
        reader = TrinoEngine(TrinoServer(settings), NoEngine()).query(f"SELECT * FROM {table}")
        assert content(reader.read_all()) == scaled.tables[table], table


class NoEngine:
    """An engine of this process that only finds no tables: everything is read by Trino."""

    def tables(self, sql, *, relations=()):
        return set()


def empty(trino_lake):
    catalog = load_catalog("lake", **trino_lake.catalog_properties)
    for space in catalog.list_namespaces():
        for name in catalog.list_tables(space):
            catalog.drop_table(name)
    catalog.engine.dispose()
