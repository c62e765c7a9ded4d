"""What a query may take: time, memory, and where it spills."""

import os
import subprocess
import time
from dataclasses import replace

import pyarrow as pa
import pytest
from phlo.config import get_settings
from phlo.errors import QueryMemoryError, QueryTimeoutError
from phlo.lake import open_lake, reset_lake
from phlo.limits import QueryLimits, half_of_memory_mb, spill_folder
from phlo_iceberg.read.connection import _shared, connect, connect_to_stage
from phlo_iceberg.read.engine import DuckDBEngine

NUMBERS = "SELECT n FROM UNNEST(sequence(1, {n})) AS t(n)"


@pytest.fixture
def limited(phlo_environment):
    def engine(seconds=None, memory_mb=64):
        store = open_lake().store
        spill_dir = get_settings().state_dir / "spill"
        return DuckDBEngine(store, limits=QueryLimits(seconds, memory_mb, spill_dir))

    return engine


def endless():
    """A query that counts for hours."""
    numbers = NUMBERS.format(n=9_999)
    tables = ", ".join(f"({numbers}) AS t{n}" for n in range(4))
    return f"SELECT count(*) AS c FROM {tables} WHERE t0.n + t1.n * t2.n = t3.n + 0.5"


def test_a_query_that_takes_too_long_is_stopped_and_the_engine_answers_on(limited):
    engine = limited(seconds=0.3)
    with pytest.raises(QueryTimeoutError, match=r"longer than 0\.3 s\.") as error:
        engine.query(endless()).read_all()
    assert "PHLO_QUERY_TIMEOUT_SECONDS" in error.value.hint
    assert engine.query("SELECT 1 AS one").read_all().to_pylist() == [{"one": 1}]


def test_the_time_that_a_reader_takes_between_batches_does_not_count(limited, monkeypatch):
    engine = limited(seconds=5)
    reader = engine.query(NUMBERS.format(n=9_000))
    first = reader.read_next_batch()
    clock = time.monotonic
    monkeypatch.setattr("phlo.limits.time.monotonic", lambda: clock() + 60)
    assert first.num_rows + sum(batch.num_rows for batch in reader) == 9_000


def test_a_query_spills_under_the_state_folder_and_leaves_nothing(phlo_environment):
    limits = QueryLimits(None, 64, get_settings().state_dir / "spill" / "test")
    limits.spill_dir.mkdir(parents=True)
    connection = connect(limits)
    connection.execute(
        "CREATE TABLE t AS SELECT range AS n, md5(range::VARCHAR) AS text FROM range(2_000_000)"
    )
    spilled = [f for f in limits.spill_dir.rglob("*") if f.is_file()]
    assert spilled
    connection.close()
    assert not list(limits.spill_dir.iterdir())


def test_a_query_beyond_its_memory_is_told_so(limited):
    query = f"SELECT array_agg(n) AS a, array_agg(n + 1) AS b FROM ({NUMBERS.format(n=9_999)}) AS s"
    query = f"SELECT array_agg(x.a) AS all FROM ({query}) AS x, ({NUMBERS.format(n=5_000)}) AS y"
    with pytest.raises(QueryMemoryError, match="64 MB") as error:
        limited(memory_mb=64).query(query.replace(" AS all", " AS everything")).read_all()
    assert "PHLO_QUERY_MEMORY_MB" in error.value.hint


def test_the_settings_limit_every_query_of_the_lake(phlo_environment, monkeypatch):
    monkeypatch.setenv("PHLO_QUERY_TIMEOUT_SECONDS", "0.3")
    monkeypatch.setenv("PHLO_QUERY_MEMORY_MB", "100")
    reset_lake()
    with pytest.raises(QueryTimeoutError):
        open_lake().engine.query(endless()).read_all()
    ((limit, folder),) = (
        connect()
        .sql("SELECT current_setting('memory_limit'), current_setting('temp_directory')")
        .fetchall()
    )
    assert limit == "100.0 MiB"
    assert folder.startswith(str(get_settings().state_dir / "spill" / str(os.getpid())))


def test_without_settings_a_query_takes_half_of_the_memory(phlo_environment):
    limits = QueryLimits.of(get_settings())
    assert limits.memory_mb == half_of_memory_mb()
    assert limits.seconds == 1800


def test_what_a_killed_process_spilled_is_removed(tmp_path):
    ended = subprocess.run(["/bin/sh", "-c", "echo $$"], capture_output=True, text=True, check=True)
    spill = tmp_path / ".phlo" / "spill"
    for name in (ended.stdout.strip(), str(os.getppid())):
        (spill / name).mkdir(parents=True)
        (spill / name / "duckdb_temp_storage.tmp").write_text("x")
    assert spill_folder(tmp_path / ".phlo") == spill / str(os.getpid())
    assert {folder.name for folder in spill.iterdir()} == {str(os.getppid()), str(os.getpid())}


def test_loads_into_files_share_one_duckdb_and_nothing_in_it(phlo_environment):
    first, second = connect_to_stage("file:///lake/a"), connect_to_stage("/lake/b")
    for number, connection in enumerate((first, second)):
        connection.execute(f"CREATE TEMP VIEW rows AS SELECT {number} AS n")
        connection.register("load", pa.table({"n": [number]}))
    for number, connection in enumerate((first, second)):
        assert connection.sql("SELECT r.n, l.n FROM rows AS r, load AS l").fetchall() == [
            (number, number)
        ]
        assert connection.sql("SELECT current_setting('TimeZone')").fetchall() == [("UTC",)]
    databases = "SELECT path, current_setting('temp_directory') FROM duckdb_databases()"
    assert first.sql(databases).fetchall() == second.sql(databases).fetchall()
    first.close()
    assert second.sql("SELECT n FROM rows").fetchall() == [(1,)]


def test_a_duckdb_that_became_unusable_is_replaced(phlo_environment):
    connect_to_stage("/lake/a")
    (database,) = [one for (pid, _), one in _shared.items() if pid == os.getpid()]
    database.close()
    assert connect_to_stage("/lake/a").sql("SELECT 1").fetchall() == [(1,)]


def test_other_limits_have_another_duckdb_and_a_parents_one_stays(phlo_environment, monkeypatch):
    parent = (0, QueryLimits.of(get_settings()))
    monkeypatch.setitem(_shared, parent, connect())
    connect_to_stage("/lake/a")
    monkeypatch.setattr(QueryLimits, "of", lambda _: replace(parent[1], memory_mb=1024))
    memory = connect_to_stage("/lake/a").sql("SELECT current_setting('memory_limit')").fetchall()
    assert memory == [("1.0 GiB",)]
    assert sorted(pid for pid, _ in _shared) == [0, os.getpid()]


def test_loads_into_an_object_store_share_no_duckdb(phlo_environment):
    """What reads the store is registered with a whole DuckDB, and credentials change."""
    spills = {
        connection.sql("SELECT current_setting('temp_directory')").fetchall()[0]
        for connection in [connect_to_stage("s3://lake/a"), connect_to_stage("s3://lake/b")]
    }
    assert len(spills) == 2
