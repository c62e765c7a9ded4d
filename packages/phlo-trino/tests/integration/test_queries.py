"""Queries on a real Trino: their labels, their end, and what is told when they fail."""

import gc
import signal
import subprocess
import sys
import threading
import time

import pytest
from dagster import asset, materialize
from phlo.config import get_settings, reset_settings
from phlo.errors import ConfigurationError, QueryError, QueryMemoryError, QueryTimeoutError
from phlo.interrupts import OutOfTimeError, run_interruptible
from phlo.lake import build_lake
from phlo_testing.engines import publish_items

pytestmark = [pytest.mark.trino, pytest.mark.integration, pytest.mark.xdist_group("servers")]

ENDLESS = (
    "SELECT count(*) AS {name} FROM UNNEST(sequence(1, 9999)) AS a(n)"
    " CROSS JOIN UNNEST(sequence(1, 9999)) AS b(n) CROSS JOIN UNNEST(sequence(1, 9999)) AS c(n)"
    " WHERE a.n * b.n * c.n % 7 = 3"
)
"""Works for hours, and gives one row."""


def state_of(trino_lake, name):
    """State and error of the newest query whose text has a name."""
    rows = trino_lake.execute(
        "SELECT state, error_code, source FROM system.runtime.queries "
        f"WHERE query LIKE '%{name}%' AND query NOT LIKE '%runtime.queries%' "
        "ORDER BY created DESC LIMIT 1"
    )
    return tuple(rows[0]) if rows else None


def wait_for(trino_lake, name, state):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = state_of(trino_lake, name)
        if found and found[0] == state:
            return found
        time.sleep(0.3)
    raise AssertionError(f"{name} is {state_of(trino_lake, name)}, not {state}")


@pytest.fixture
def configured(lake, monkeypatch):
    """Opens the engine after more settings."""
    lakes = []

    def open_engine(**values):
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        reset_settings()
        lakes.append(build_lake(get_settings()))
        return lakes[-1].engine

    yield open_engine
    for opened in lakes:
        opened.store.catalog.engine.dispose()


def test_a_query_that_takes_too_long_is_ended_on_the_server(trino_lake, configured):
    engine = configured(PHLO_QUERY_TIMEOUT_SECONDS="2")
    with pytest.raises(QueryTimeoutError, match="longer than 2 s"):
        engine.query(ENDLESS.format(name="too_long")).read_all()
    assert wait_for(trino_lake, "too_long", "FAILED")[1] == "USER_CANCELED"


def test_trinos_own_limits_are_told(configured):
    properties = "query_max_run_time=1s"
    engine = configured(PHLO_TRINO_SESSION_PROPERTIES=properties)
    with pytest.raises(QueryTimeoutError, match="query_max_run_time") as caught:
        engine.query(ENDLESS.format(name="limited")).read_all()
    assert "maximum time limit" in str(caught.value)
    properties = "query_max_memory_per_node=1MB"
    engine = configured(PHLO_TRINO_SESSION_PROPERTIES=properties)
    with pytest.raises((QueryMemoryError, QueryError)):
        engine.query(
            "SELECT array_agg(a.n) AS x FROM UNNEST(sequence(1, 9999)) AS a(n)"
            " CROSS JOIN UNNEST(sequence(1, 999)) AS b(n) GROUP BY b.n"
        ).read_all()


def test_work_that_is_given_up_ends_its_query(trino_lake, engine):
    with pytest.raises(OutOfTimeError):
        run_interruptible(
            lambda: engine.query(ENDLESS.format(name="given_up")).read_all(), timeout_seconds=4
        )
    assert wait_for(trino_lake, "given_up", "FAILED")[1] == "USER_CANCELED"


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_reader_nobody_reads_to_its_end_ends_its_query(trino_lake, engine, has_begun):
    name = f"left_{has_begun}"
    reader = engine.query(
        f"SELECT a.n AS {name}, rpad('x', 2000, 'y') AS t FROM UNNEST(sequence(1, 9999)) AS a(n)"
        " CROSS JOIN UNNEST(sequence(1, 9999)) AS b(n)"
    )
    if has_begun:
        next(reader)
    del reader
    gc.collect()
    wait_for(trino_lake, name, "FAILED")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_ends_its_query(trino_lake, lake, phlo_environment, number):
    name = f"interrupted_{number}"
    (phlo_environment / "workflows" / "__init__.py").touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "phlo_cli", "query", ENDLESS.format(name=name)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=phlo_environment,
        # Where these tests run in the background, SIGINT is ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    wait_for(trino_lake, name, "RUNNING")
    process.send_signal(number)
    assert process.wait(30) != 0
    assert wait_for(trino_lake, name, "FAILED")[1] == "USER_CANCELED"


def test_a_query_tells_which_run_and_asset_it_is_of(trino_lake, engine):
    @asset
    def counted():
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
        query = ENDLESS.format(name="labeled")
        with pytest.raises(OutOfTimeError):
            run_interruptible(lambda: engine.query(query).read_all(), timeout_seconds=4)

    run = materialize([counted])
    source, tags, info = client_of(trino_lake, "labeled")
    assert source == "phlo"
    assert tags == {"phlo", f"run={run.run_id}", "asset=counted"}
    assert info == f"{run.run_id} counted"


def client_of(trino_lake, name):
    """Source, tags and client info of the newest query whose text has a name."""
    import requests

    queries = requests.get(
        f"http://127.0.0.1:{trino_lake.port}/v1/query", headers={"X-Trino-User": "phlo"}, timeout=30
    ).json()
    query_id = max(q["queryId"] for q in queries if name in q["query"])
    session = requests.get(
        f"http://127.0.0.1:{trino_lake.port}/v1/query/{query_id}",
        headers={"X-Trino-User": "phlo"},
        timeout=30,
    ).json()["session"]
    return session.get("source"), set(session["clientTags"]), session.get("clientInfo")


def test_an_error_tells_its_place_in_the_authors_text(store, engine):
    first = publish_items(store, {1: "a"})
    query = "SELECT id, ? AS v\n  FROM lake.bronze.items WHERE nonesuch = 1"
    with pytest.raises(QueryError, match=r"line 2, column 32: COLUMN_NOT_FOUND: .*'nonesuch'"):
        engine.query(query, parameters=["a long value"])
    items = next(iter(engine.tables(query)))
    with pytest.raises(QueryError, match=r"line 2, column 32: COLUMN_NOT_FOUND"):
        engine.query(query, parameters=["v"], at={items: str(first)})


def test_a_catalog_that_trino_does_not_have_is_named(store, configured):
    publish_items(store, {1: "a"})
    engine = configured(PHLO_TRINO_CATALOG="lakee")
    with pytest.raises(ConfigurationError, match="lakee") as caught:
        engine.query("SELECT * FROM bronze.items").read_all()
    assert "PHLO_TRINO_CATALOG" in caught.value.hint


def test_a_large_answer_does_not_fill_the_memory(trino_lake, lake, phlo_environment):
    code = """
import resource
from phlo.lake import open_lake
engine = open_lake().engine
query = "SELECT a.n, rpad('x', 200, 'y') AS t FROM UNNEST(sequence(1, {rows})) AS a(n)"
query += " CROSS JOIN UNNEST(sequence(1, 100)) AS b(n)"
def peak(rows):
    count = sum(batch.num_rows for batch in engine.query(query.format(rows=rows)))
    assert count == rows * 100, count
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
small = peak(500)
large = peak(10_000)
assert large < small + 100, (small, large)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=phlo_environment)
