"""Both examples as their users run them: a day planned, applied and undone, all by the command.

Every table is read by pyiceberg alone and every mart from the project's own PostgreSQL.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from phlo.names import is_metadata_column
from phlo_publishing.server import EmbeddedServer
from pyiceberg.catalog import load_catalog

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(1500)]

EXAMPLES = Path(__file__).parents[2] / "examples"
LOAD_TIMES = {"ingested_timestamp"}
"""Columns of models that tell when a row was loaded."""

DAYS = {
    "nightscout": ("glucose_entries", ["glucose_entries+"], "2025-11-03", "2025-11-04"),
    "flights": ("flights weather", ["flights+", "weather+"], "2013-01-01", "2013-01-02"),
}
"""By example: the loads of a day, the selection that is planned, and two days."""


@pytest.fixture(params=DAYS)
def example(request, phlo_environment, monkeypatch):
    """An example that has loaded, modelled and published its first day."""
    name, root = request.param, Path(os.environ["PHLO_PROJECT_DIR"])
    shutil.copytree(EXAMPLES / name / "workflows", root / "workflows", dirs_exist_ok=True)
    loads, selection, first, second = DAYS[name]
    server = EmbeddedServer(root / ".phlo" / "postgres")
    with serve_nightscout() if name == "nightscout" else nullcontext() as address:
        monkeypatch.setenv("NIGHTSCOUT_URL", address or "")
        if name == "flights":
            phlo(root, "materialize", "airlines", "airports", "planes")
        phlo(root, "materialize", *loads.split(), "--partition", first)
        phlo(root, "materialize", "--select", "tag:dbt,group:publishing", "--partition", first)
        yield root, server, selection, second
    server.stop()


@contextmanager
def serve_nightscout():
    file = EXAMPLES / "nightscout" / "workflows" / "ingestion" / "nightscout" / "server.py"
    spec = importlib.util.spec_from_file_location("nightscout_server", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = module.start()
    yield server.url
    server.shutdown()
    server.server_close()


def phlo(root, *command):
    done = subprocess.run(
        [sys.executable, "-m", "phlo_cli", *command],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def hashes(rows_by_name):
    return {
        name: (len(rows), hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest())
        for name, rows in rows_by_name.items()
    }


def read_tables(root, branch=""):
    """Count and hash the rows of every table, without what tells of the load."""
    state = root / ".phlo"
    catalog = load_catalog(
        f"lake{branch and '@'}{branch}",
        type="sql",
        uri=f"sqlite:///{state / 'catalog.db'}",
        warehouse=(state / "warehouse").as_uri(),
    )
    names = [n for space in catalog.list_namespaces() for n in catalog.list_tables(space)]
    found = {".".join(n): content(catalog.load_table(n)) for n in names}
    catalog.engine.dispose()
    return hashes(found)


def content(table):
    rows = table.scan().to_arrow()
    names = [n for n in rows.column_names if not is_metadata_column(n) and n not in LOAD_TIMES]
    return [repr([comparable(row[name]) for name in names]) for row in rows.to_pylist()]


def comparable(value):
    """Floats to twelve digits: sums of floats depend on the order in which files are read."""
    return f"{value:.12g}" if isinstance(value, float) else value


def read_marts(server):
    query = "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema "
    with server.start("phlo").connect() as connection:
        names = connection.execute(query + "LIKE 'marts%'").fetchall()
        rows = {
            f"{schema}.{name}": [
                repr([comparable(value) for value in row])
                for row in connection.execute(f'SELECT * FROM "{schema}"."{name}"').fetchall()
            ]
            for schema, name in names
        }
    return hashes(rows)


def changed(before, after):
    """Added minus removed rows of the tables that differ."""
    return {n: after[n][0] - before.get(n, (0,))[0] for n in after if after[n] != before.get(n)}


def test_a_day_is_planned_applied_and_undone(example):
    root, server, selection, day = example
    tables, marts = read_tables(root), read_marts(server)
    assert len(tables) > 5
    assert marts

    plan = json.loads(phlo(root, "plan", *selection, "--partition", day, "--json"))
    branch = f"plan-{plan['plan_id']}"
    planned = read_tables(root, branch)
    assert read_tables(root) == tables
    assert {n: v for n, v in read_marts(server).items() if n.startswith("marts.")} == marts
    told = {t["table"]: t["added"] - t["removed"] for t in plan["tables"]}
    assert told == changed(tables, planned)
    assert any(told.values())
    assert (plan["marts_error"], {c["status"] for c in plan["checks"]} - {"warned"}) == ("", set())

    applied = json.loads(phlo(root, "apply", plan["plan_id"], "--json").partition("\n{")[0])
    assert applied["tables"] == plan["tables"]
    assert read_tables(root) == planned
    published = read_marts(server)
    declared = {mart["target"]: mart["added"] - mart["removed"] for mart in plan["marts"]}
    moved = changed(marts, published)
    assert declared == {mart: moved[mart] for mart in declared}
    assert moved
    assert read_branches(root) == ["main"]

    undone = json.loads(phlo(root, "undo", plan["run_id"], "--json").partition("\n{")[0])
    assert {t["table"] for t in undone["tables"]} == set(told)
    assert read_tables(root) == tables
    assert read_marts(server) == marts
    missing = json.loads(phlo(root, "status", "--missing", "--json"))
    assert day in {one["partition"] for one in missing}


def read_branches(root):
    return [one["branch"] for one in json.loads(phlo(root, "branch", "list", "--json"))]
