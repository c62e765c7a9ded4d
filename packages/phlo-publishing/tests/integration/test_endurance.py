"""Long tests: readers beside many publishes, and a kill before every statement of one."""

import signal
import subprocess
import sys
import threading
import time

import pyarrow as pa
import pytest

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PUBLISHES = 500


def versioned(version):
    return pa.table({"version": [version] * 50, "id": range(50)})


def test_no_reader_waits_for_a_publish_or_sees_a_mixed_set(
    publish, write_mart, database, postgres_database
):
    """A transaction with an old snapshot stays open; another session holds a table by turns."""
    tables = {"a": "marts.a", "b": "marts.b"}

    def publish_version(version):
        for mart in tables.values():
            write_mart(mart, versioned(version))
        publish(tables)

    publish_version(0)
    read_seconds, failures, done = [], [], threading.Event()
    readers = set()
    query = """SELECT (SELECT count(*) FROM marts.a), (SELECT count(*) FROM marts.b),
        (SELECT max(version) FROM marts.a) - (SELECT min(version) FROM marts.b)"""

    def read():
        try:
            with postgres_database.connect(autocommit=True) as connection:
                connection.execute("SET lock_timeout = '20s'")
                while not done.is_set():
                    began = time.perf_counter()
                    assert connection.execute(query).fetchone() == (50, 50, 0)
                    read_seconds.append(time.perf_counter() - began)
                    readers.add(threading.get_ident())
                    time.sleep(0.01)
        except BaseException as exc:  # noqa: BLE001 - handed to the test
            failures.append(exc)

    def hold():
        while not done.is_set():
            with postgres_database.connect() as connection:
                connection.execute("SELECT * FROM marts.a LIMIT 1")
                time.sleep(0.3)
            time.sleep(0.3)

    threads = [threading.Thread(target=f) for f in (read, read, read, read, hold)]
    with postgres_database.connect() as old:
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT 1")
        for thread in threads:
            thread.start()
        for version in range(1, PUBLISHES + 1):
            publish_version(version)
        done.set()
        for thread in threads:
            thread.join()
        assert old.execute("SELECT count(*) FROM marts.a").fetchone() == (50,)
    assert not failures
    assert len(readers) == 4
    read_seconds.sort()
    p99 = read_seconds[len(read_seconds) * 99 // 100]
    print(f"{len(read_seconds)} reads, p99 {p99:.3f} s, longest {read_seconds[-1]:.3f} s")


KILLED = """
import os, signal, sys
import psycopg
from dagster import asset, build_asset_context
from phlo.lake import open_lake
from phlo.publishing import PostgresResource, publish_marts_to_postgres

strike_at, count = int(sys.argv[1]), 0
execute = psycopg.Cursor.execute

def counted(self, *args, **kwargs):
    global count
    count += 1
    if count == strike_at:
        os.kill(os.getpid(), signal.SIGKILL)
    return execute(self, *args, **kwargs)

psycopg.Cursor.execute = counted

@asset
def published(context):
    engine = open_lake().engine
    publish_marts_to_postgres(context, engine, PostgresResource(), {"m": "marts.m"}, "tests")

published(build_asset_context())
"""


def test_a_kill_before_any_statement_leaves_the_old_or_the_new_table(publish, write_mart, database):
    write_mart("marts.m", versioned(0))
    publish({"m": "marts.m"})
    database.execute(
        """
        ALTER TABLE marts.m ADD PRIMARY KEY (id);
        CREATE VIEW marts.v AS SELECT * FROM marts.m;
        CREATE TABLE marts.child (m bigint REFERENCES marts.m (id));
        CREATE MATERIALIZED VIEW marts.mv AS SELECT * FROM marts.m;
        """
    )
    query = "SELECT count(*), min(version), max(version) FROM marts.v"
    for step in range(1, 1000, 5):
        write_mart("marts.m", versioned(step))
        before = database.execute(query).fetchone()
        command = [sys.executable, "-c", KILLED, str(step)]
        process = subprocess.run(command, check=False, capture_output=True)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, process.stderr.decode()
        assert database.execute(query).fetchone() in (before, (50, step, step))
        publish({"m": "marts.m"})
        assert database.execute(query).fetchone() == (50, step, step)
        assert database.execute("SELECT max(version) FROM marts.mv").fetchone() == (step,)
    assert step > 30, "the publish ended at once"
