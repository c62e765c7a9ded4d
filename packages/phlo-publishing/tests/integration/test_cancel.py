"""A signal while marts are published: the old tables stay, or the new ones are there."""

import os
import signal
import threading
import time
from contextlib import contextmanager

import pyarrow as pa
import pytest
from phlo_publishing import publish as publish_module

pytestmark = pytest.mark.integration
MART = {"daily": "gold.daily"}


def rows(*ids):
    return pa.table({"id": list(ids)})


@pytest.fixture(autouse=True)
def _interrupts_raise():
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def published(write_mart, publish):
    write_mart("gold.daily", rows(1, 2))
    publish(MART)
    write_mart("gold.daily", rows(3, 4))


def ids(database):
    return [row[0] for row in database.execute("SELECT id FROM marts.daily ORDER BY 1").fetchall()]


def test_a_publish_that_waits_for_readers_ends_at_once_with_the_old_table(
    published, publish, database, postgres_database
):
    with postgres_database.connect() as reader:
        reader.execute("SELECT * FROM marts.daily").fetchall()
        threading.Timer(1.5, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
        with pytest.raises(KeyboardInterrupt):
            publish(MART)
    assert ids(database) == [1, 2]
    leftovers = "SELECT count(*) FROM pg_tables WHERE schemaname = 'phlo_new'"
    assert database.execute(leftovers).fetchone() == (0,)


def test_a_signal_while_tables_are_put_in_place_leaves_the_new_ones_and_says_so(
    published, publish, database, monkeypatch, caplog
):
    uninterrupted = publish_module.uninterrupted

    @contextmanager
    def signaled():
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.3)
            yield

    monkeypatch.setattr(publish_module, "uninterrupted", signaled)
    with pytest.raises(KeyboardInterrupt):
        publish(MART)
    assert ids(database) == [3, 4]
