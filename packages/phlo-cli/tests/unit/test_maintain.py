"""Tables that another system keeps so that phlo cannot read them, among those it can."""

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from phlo.lake import open_lake
from phlo.names import TableName
from phlo.values import Append
from phlo_iceberg.write.snapshot import Change, SnapshotBuilder
from phlo_iceberg.write.stage import snapshot_updates
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.typedef import Record

SCHEMA = pa.schema([("id", pa.int64())])
FOREIGN, OWN = TableName("bronze", "foreign"), TableName("bronze", "own")


@pytest.fixture
def store(phlo_project):
    """bronze.own with twelve small files, and bronze.foreign with a delete by equality."""
    store = open_lake().store
    for number in range(12):
        _append(store, OWN, number)
    _append(store, FOREIGN, 1)
    handle = store.catalog.load_table("bronze.foreign")
    delete = DataFile.from_args(
        content=DataFileContent.EQUALITY_DELETES,
        file_path=f"{handle.location()}/data/x.parquet",
        file_format=FileFormat.PARQUET,
        partition=Record(),
        record_count=1,
        file_size_in_bytes=1,
        equality_ids=[1],
    )
    delete.spec_id = 0
    parent = handle.metadata.current_snapshot()
    builder = SnapshotBuilder(handle.metadata, handle.io, parent, Change(deletes=[delete]))
    store.catalog.commit_table(handle, (), snapshot_updates(builder.build({}), "main"))
    return store


def _append(store, table, number):
    rows = ds.dataset(pa.table({"id": [number]}, SCHEMA))
    store.publish([store.stage(table, rows, Append(on_rerun="append"), schema=SCHEMA)])


def test_a_table_that_fails_does_not_keep_the_others_from_maintenance(store, phlo):
    answer = phlo("maintain")
    assert answer.code == 1
    assert "bronze.foreign cannot be read" in answer.err
    assert "bronze.own" in answer.out
    files = store.catalog.load_table("bronze.own").scan().plan_files()
    assert len(list(files)) == 1
    found = open_lake().engine.query("SELECT id FROM bronze.own ORDER BY id").read_all()
    assert found["id"].to_pylist() == list(range(12))


def test_json_tells_of_what_was_maintained_though_a_table_failed(store, phlo):
    answer = phlo("maintain", "--json")
    assert answer.code == 1
    assert [row["table"] for row in answer.json] == ["bronze.own"]
    assert "bronze.foreign cannot be read" in answer.err


def test_an_unknown_table_is_a_usage_error(store, phlo):
    assert "bronze.owm" in phlo("maintain", "bronze.owm", "--json").json["error"]["message"]
    answer = phlo("maintain", "bronze.owm")
    assert answer.code == 2
    assert "Did you mean 'bronze.own'?" in answer.err


def test_its_rows_are_not_counted_and_the_rest_is_shown(store, phlo):
    rows = {row["table"]: row["rows"] for row in phlo("catalog", "tables", "--json").json}
    assert rows == {"bronze.foreign": None, "bronze.own": 12}
    described = phlo("catalog", "describe", "bronze.foreign")
    assert described.code == 0
    assert ["rows", "-"] in [line.split() for line in described.out.splitlines()]
