"""What phlo writes is read alike by every engine; exceptions are named here and in the guide.

Run by `make test-readers`: each reader in an environment of its own, as people install it.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from phlo_iceberg.store import IcebergStore
from pyiceberg.catalog import load_catalog

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # tests are imported without a package

from canonical import canonical_rows, row_hash  # noqa: E402
from environments import SPARK_1_10, SPARK_1_11, Environment  # noqa: E402
from golden import build_lake, expected_rows  # noqa: E402

pytestmark = [pytest.mark.readers, pytest.mark.xdist_group("readers"), pytest.mark.timeout(900)]

DAFT = Environment(("daft", "pyiceberg[pyarrow,sql-sqlite,pyiceberg-core]"))
DUCKDB = Environment(
    (
        "duckdb==1.5.5",
        "pyarrow",
        "duckdb-extensions==1.5.5",
        "duckdb-extension-iceberg==1.5.5",
        "duckdb-extension-avro==1.5.5",
    )
)

NO_TIMES = "Spark does not support time fields"
CANNOT = {
    "pyiceberg": {"lists_of_structs": lambda line: line.replace('"value": null', '"value": []')},
    "polars": {"uuids": lambda line: re.sub(r"(\w{4})-(?=\w{4})", r"\1", line)},
    "daft": {"evolved": "failed to fill whole buffer"},
    "spark-4.0-iceberg-1.10": {"times": NO_TIMES},
    "spark-4.0-iceberg-1.11": {"times": NO_TIMES},
}
"""What a reader cannot do by its own fault, by case: what its error says, or how it gives a row.

The guide on tables names them too.
"""


def by_arrow(name, environment=None):
    def read(asked):
        python = environment.python() if environment else sys.executable
        return run([python, HERE / "read_arrow.py", name], asked)

    return read


def by_duckdb(asked):
    return run([DUCKDB.python(), HERE / "read_duckdb.py"], asked)


def by_spark(environment):
    def read(asked):
        jars = ",".join(map(str, environment.jars()))
        return run([environment.python(), HERE / "read_spark.py", jars], asked)

    return read


READERS = {
    "pyiceberg": by_arrow("pyiceberg"),
    "polars": by_arrow("polars"),
    "daft": by_arrow("daft", DAFT),
    "duckdb": by_duckdb,
    "spark-4.0-iceberg-1.10": by_spark(SPARK_1_10),
    "spark-4.0-iceberg-1.11": by_spark(SPARK_1_11),
}


def run(command, asked):
    env = {n: v for n, v in os.environ.items() if not n.startswith(("PHLO_", "PYTHON"))}
    done = subprocess.run(
        list(map(str, command)),
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        env=env | {"TZ": "UTC"},
        cwd=HERE,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("ANSWERS ")]
    assert lines, done.stderr[-3000:]
    return json.loads(lines[0].removeprefix("ANSWERS "))


def questions(store, golden):
    """What a reader is asked: each table by name, metadata, snapshot and branch."""
    tables = []
    for case in golden:
        table = store.catalog.load_table((case.name.namespace, case.name.name))
        snapshot = table.snapshot_by_name(case.ref) if case.ref else None
        tables.append(
            {
                "key": case.key,
                "name": str(case.name),
                "ref": case.ref,
                "snapshot_id": snapshot.snapshot_id if snapshot else None,
                "metadata_location": table.metadata_location.removeprefix("file://"),
            }
        )
    return {"catalog": dict(store.catalog.properties), "tables": tables}


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    catalog = load_catalog(
        "lake",
        type="sql",
        uri=f"sqlite:///{folder}/catalog.db",
        warehouse=f"file://{folder}/warehouse",
    )
    store = IcebergStore(catalog)
    golden = build_lake(store)
    asked = questions(store, golden)
    asked["catalog"].pop("py-io-impl", None)
    yield golden, asked
    catalog.engine.dispose()


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_gives_the_rows_that_phlo_wrote(reader, lake):
    golden, asked = lake
    answers = READERS[reader](asked)
    assert answers.keys() == {case.key for case in golden}
    for case in golden:
        judge(reader, case, answers[case.key])


def judge(reader, case, answer):
    # Once a reader can do it, its exception is to be taken out, here and in the guide.
    exception = CANNOT.get(reader, {}).get(case.key)
    if isinstance(exception, str):
        assert exception in answer.get("error", ""), (reader, case.key, str(answer)[:300])
        return
    assert "error" not in answer, (reader, case.key, answer["error"])
    expected = expected_rows(case)
    if exception is not None:
        changed = sorted(map(exception, expected))
        assert changed != expected
        expected = changed
    rows = answer["rows"]
    odd = sorted(set(rows) - set(expected))[:2], sorted(set(expected) - set(rows))[:2]
    assert row_hash(rows) == row_hash(expected), (reader, case.key, len(rows), odd)


@pytest.mark.trino
@pytest.mark.integration
@pytest.mark.xdist_group("servers")
def test_trino_gives_the_rows_that_phlo_wrote(trino_lake):
    catalog = load_catalog("lake", **trino_lake.catalog_properties)
    golden = build_lake(IcebergStore(catalog))
    for case in golden:
        at = f" FOR VERSION AS OF '{case.ref}'" if case.ref else ""
        with trino_lake.connect() as connection:
            cursor = connection.cursor().execute(f"SELECT * FROM {case.name}{at}")
            rows = cursor.fetchall()
            names = [column.name for column in cursor.description]
        lines = canonical_rows(dict(zip(names, row, strict=True)) for row in rows)
        judge("trino", case, {"rows": lines})
    catalog.engine.dispose()
