"""Spark reads and writes a branch of the lake as a second catalog; main stays as it is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from phlo.names import TableName
from phlo_iceberg.store import IcebergStore
from phlo_testing.stores import DAY_1, DAY_2, EVENTS, merge, publish_rows
from pyiceberg.catalog import load_catalog

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # tests are imported without a package

from environments import SPARK_1_11  # noqa: E402

pytestmark = [pytest.mark.readers, pytest.mark.xdist_group("readers"), pytest.mark.timeout(900)]

MADE = TableName("bronze", "doubled")


@pytest.fixture
def store(tmp_path):
    catalog = load_catalog(
        "lake",
        type="sql",
        uri=f"sqlite:///{tmp_path}/catalog.db",
        warehouse=f"file://{tmp_path}/warehouse",
    )
    yield IcebergStore(catalog)
    catalog.engine.dispose()


@pytest.fixture
def spark(store):
    """Runs SQL in one session of Spark that knows main and the branch."""
    properties = store.catalog.properties
    settings = {name: properties[name] for name in ("uri", "warehouse")}
    settings["catalogs"] = ["lake", "lake@dev"]
    jars = ",".join(map(str, SPARK_1_11.jars()))
    session = subprocess.Popen(
        [SPARK_1_11.python(), HERE / "spark_session.py", jars, json.dumps(settings)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=HERE,
    )

    def ask(statement):
        session.stdin.write(json.dumps(statement) + "\n")
        session.stdin.flush()
        for line in session.stdout:
            if line.startswith("ANSWER "):
                return [tuple(row) for row in json.loads(line.removeprefix("ANSWER "))]
        raise AssertionError(f"Spark ended at: {statement}")

    with session:  # which ends when its input does
        yield ask


def load(store, pairs, day, extraction=0):
    rows = [{"id": key, "value": value} for key, value in pairs]
    publish_rows(store, rows, merge(day), extraction=extraction)


def read(store, table=EVENTS):
    """Rows as pyiceberg alone reads them."""
    catalog = load_catalog(store.catalog.name, **store.catalog.properties)
    rows = catalog.load_table((table.namespace, table.name)).scan().to_arrow().to_pylist()
    catalog.engine.dispose()
    return sorted((row["id"], row["value"]) for row in rows)


def test_spark_writes_a_branch_and_sees_its_publish(store, spark):
    load(store, [("a", 1), ("b", 1)], DAY_1)
    store.create_branch("dev")
    dev, before = store.on_branch("dev"), [("a", 1), ("b", 1)]
    events = "SELECT id, value FROM `{}`.bronze.events ORDER BY id"
    assert spark(events.format("lake@dev")) == before

    spark(
        "MERGE INTO `lake@dev`.bronze.events AS t "
        "USING (SELECT 'a' AS id, 5L AS value UNION ALL SELECT 'c', 5L) AS s ON t.id = s.id "
        "WHEN MATCHED THEN UPDATE SET t.value = s.value "
        "WHEN NOT MATCHED THEN INSERT (id, value) VALUES (s.id, s.value)"
    )
    spark(  # it wants a value for every column
        "INSERT INTO `lake@dev`.bronze.events BY NAME SELECT 'd' AS id, 6L AS value, "
        "* EXCEPT (id, value) FROM `lake@dev`.bronze.events WHERE id = 'b'"
    )
    spark(
        "CREATE TABLE `lake@dev`.bronze.doubled USING iceberg AS "
        "SELECT id, 2 * value AS value FROM `lake@dev`.bronze.events"
    )
    written = [("a", 5), ("b", 1), ("c", 5), ("d", 6)]
    assert read(dev) == spark(events.format("lake@dev")) == written
    assert read(store) == spark(events.format("lake")) == before
    assert not store.exists(MADE)

    load(dev, [("e", 7)], DAY_2, extraction=1)
    assert spark(events.format("lake@dev")) == [*written, ("e", 7)]
    assert [change.table for change in store.diff("dev")] == [MADE, EVENTS]
    store.publish_branch("dev")
    assert read(store) == spark(events.format("lake")) == [*written, ("e", 7)]
    assert read(store, MADE) == [("a", 10), ("b", 2), ("c", 10), ("d", 12)]
    assert len(spark("SELECT id FROM `lake`.bronze.doubled")) == 4

    spark("DELETE FROM `lake`.bronze.events WHERE id = 'b'")
    store.update_branch("dev")
    assert read(dev) == read(store) == [row for row in [*written, ("e", 7)] if row[0] != "b"]
    store.delete_branch("dev")
    assert len(spark(events.format("lake"))) == 4
