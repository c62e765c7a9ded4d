"""A branch of the lake on a real Trino, which has a catalog for it."""

import json
import os
import subprocess
import sys

import pytest
from phlo.config import get_settings, reset_settings
from phlo.lake import build_lake
from phlo.values import Append
from phlo_testing.engines import publish_items
from phlo_testing.trino import BRANCH, BRANCH_CATALOG

pytestmark = [pytest.mark.trino, pytest.mark.integration, pytest.mark.xdist_group("servers")]

QUERY = "SELECT id FROM lake.bronze.items ORDER BY id"


@pytest.fixture
def branch(lake, monkeypatch):
    """The lake on a branch that was made of it when it had one row."""
    publish_items(lake.store, {1: "a"})
    lake.store.create_branch(BRANCH)
    monkeypatch.setenv("PHLO_TRINO_BRANCH_CATALOGS", f"{BRANCH}={BRANCH_CATALOG}")
    reset_settings()
    branch = build_lake(get_settings().model_copy(update={"branch": BRANCH}))
    yield branch
    branch.store.catalog.engine.dispose()
    lake.store.delete_branch(BRANCH)


def ids(lake):
    return lake.engine.query(QUERY).read_all().column("id").to_pylist()


def test_trino_reads_a_branch_and_main_apart_until_it_is_published(lake, branch, trino_lake):
    assert branch.engine.dialect == "trino"
    publish_items(branch.store, {2: "b"}, Append())
    trino_lake.execute(f"INSERT INTO {BRANCH_CATALOG}.bronze.items VALUES (3, 'by Trino')")
    assert ids(branch) == [1, 2, 3]
    assert ids(lake) == [1]
    lake.store.publish_branch(BRANCH)
    assert ids(lake) == [1, 2, 3]
    assert lake.embedded_engine.query(QUERY).read_all().num_rows == 3


@pytest.mark.parametrize(
    ("catalog", "status", "message"),
    [
        ("lake", "ok", "trino answers"),
        (BRANCH_CATALOG, "failed", "trino does not see bronze.items as phlo's catalog has it."),
    ],
)
def test_doctor_sees_that_trino_reads_another_catalog(
    lake, phlo_environment, catalog, status, message
):
    publish_items(lake.store, {1: "a"})
    done = subprocess.run(
        [sys.executable, "-m", "phlo_cli", "doctor", "--json"],
        env={**os.environ, "PHLO_TRINO_CATALOG": catalog},
        cwd=phlo_environment,
        capture_output=True,
        check=False,
    )
    findings = {found["subject"]: found for found in json.loads(done.stdout)}
    assert findings["engine"]["status"] == status
    assert findings["engine"]["message"].startswith(message)
