"""A publish waits for others without standing in their way, and says for whom."""

import threading
import time

import pyarrow as pa
import pytest
from phlo.config import reset_settings
from phlo.errors import ConfigurationError, ServiceError
from phlo_publishing.address import PostgresAddress
from phlo_publishing.postgresql import target
from pydantic import SecretStr

pytestmark = pytest.mark.integration


@pytest.fixture
def published(publish, write_mart, monkeypatch):
    """A published mart, of which a newer snapshot waits to be published."""
    monkeypatch.setenv("PHLO_POSTGRES_LOCK_TIMEOUT_SECONDS", "1.5")
    reset_settings()
    write_mart("marts.m", pa.table({"n": [1]}))
    publish({"m": "marts.m"})
    write_mart("marts.m", pa.table({"n": [2]}))


def test_readers_go_on_while_a_publish_waits_for_one_of_them(
    published, publish, postgres_database, capfd, monkeypatch
):
    """PostgreSQL itself is asked who waits: a reader behind the publish, for how long."""
    monkeypatch.setenv("PHLO_POSTGRES_LOCK_TIMEOUT_SECONDS", "4")  # it tells after one second
    reset_settings()
    longest, done = [0.0], threading.Event()

    def read():
        with postgres_database.connect(autocommit=True) as connection:
            while not done.is_set():
                connection.execute("SET statement_timeout = 1000")
                connection.execute("SELECT * FROM marts.m").fetchall()
                time.sleep(0.005)

    def watch():
        query = """SELECT coalesce(max(extract(epoch FROM clock_timestamp() - waitstart)), 0)
            FROM pg_locks WHERE mode = 'AccessShareLock' AND NOT granted"""
        with postgres_database.connect(autocommit=True) as connection:
            while not done.is_set():
                (seconds,) = connection.execute(query).fetchone()
                longest.append(float(seconds))
                time.sleep(0.01)

    threads = [threading.Thread(target=read), threading.Thread(target=watch)]
    with postgres_database.connect(application_name="dashboard") as holder:
        holder.execute("SELECT * FROM marts.m")
        for thread in threads:
            thread.start()
        with pytest.raises(ServiceError, match="dashboard"):
            publish({"m": "marts.m"})
        done.set()
        for thread in threads:
            thread.join()
    assert max(longest) < 0.9, "a reader stood behind the waiting publish"
    assert "'dashboard'" in capfd.readouterr().err, "who is waited for is told meanwhile"
    assert not publish({"m": "marts.m"})["m"].is_skipped


def test_another_publish_is_waited_for_and_named(published, publish, postgres_database):
    with postgres_database.connect(autocommit=True, application_name="other") as holder:
        holder.execute("SELECT pg_advisory_lock(hashtext('phlo marts.m'))")
        with pytest.raises(ServiceError, match=r"Another publish of marts\.m.*'other'") as caught:
            publish({"m": "marts.m"})
        assert "PHLO_POSTGRES_LOCK_TIMEOUT_SECONDS" in str(caught.value)


@pytest.mark.parametrize("options", [{}, {"mode": "merge", "key": "n"}])
def test_who_builds_an_index_meanwhile_is_named(options, published, publish, postgres_database):
    with postgres_database.connect(application_name="admin") as holder:
        holder.execute("LOCK TABLE marts.m IN SHARE UPDATE EXCLUSIVE MODE")
        with pytest.raises(ServiceError, match=r"marts\.m is locked by others .*'admin'") as caught:
            publish({"m": "marts.m"}, **options)
    assert "PHLO_POSTGRES_LOCK_TIMEOUT_SECONDS" in str(caught.value)
    assert not publish({"m": "marts.m"})["m"].is_skipped


def test_loading_rows_takes_nothing_of_the_time_to_wait_for_readers(
    published, publish, postgres_database, database, monkeypatch
):
    load = target.copy_rows

    def load_slowly(*args, **options):
        time.sleep(2)  # longer than a publish may wait
        return load(*args, **options)

    monkeypatch.setattr(target, "copy_rows", load_slowly)
    with postgres_database.connect() as holder:
        holder.execute("SELECT * FROM marts.m")
        leaving = threading.Timer(2.5, holder.rollback)
        leaving.start()
        publish({"m": "marts.m"})
        leaving.join()
    assert database.execute("SELECT * FROM marts.m").fetchall() == [(2,)]


@pytest.mark.parametrize(
    "values",
    [
        {"host": "postgresql://u:s3cr3t@h/x"},
        {"host": "u:s3cr3t@h"},
        {"host": "h?password=s3cr3t"},
        {"host": "host=h password=s3cr3t"},
        {"database": "postgres://u:s3cr3t@h/x"},
    ],
)
def test_a_connection_string_in_place_of_a_name_is_not_shown(values):
    names = {"host": "h", "database": "d"} | values
    with pytest.raises(ConfigurationError) as caught:
        PostgresAddress(port=1, user="u", password=SecretStr("s3cr3t"), **names)
    assert "s3cr3t" not in str(caught.value)
    assert "PHLO_POSTGRES_PASSWORD" in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "db-1.example.com", "/run/postgresql", "a,b"])
def test_names_addresses_and_folders_are_hosts(host):
    assert PostgresAddress(host, 1, "d", "u").host == host


def test_the_whole_reason_of_a_failed_connection_is_told():
    with pytest.raises(ServiceError, match="Connection refused.*accepting TCP/IP") as caught:
        PostgresAddress("127.0.0.1", 1, "d", "u").connect()
    assert "\t" not in str(caught.value)
