"""Tables as other systems keep them: older and newer formats, other files, other deletes."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from phlo.errors import UnsupportedTableError
from phlo.lake import open_lake
from phlo_iceberg.store import IcebergStore
from phlo_iceberg.upkeep.policy import Policy
from phlo_iceberg.write import stage
from phlo_iceberg.write.snapshot import Change, SnapshotBuilder
from phlo_testing.loads import with_metadata
from phlo_testing.stores import DAY_1, DAY_2, EVENTS, merge, publish_rows
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.typedef import Record

SCHEMA = pa.schema([pa.field("id", pa.string()), pa.field("value", pa.int64())])


@pytest.fixture
def store(phlo_environment):
    store = IcebergStore(open_lake().store.catalog, Policy(min_small_files=2, deleted_share=0))
    store.catalog.create_namespace("bronze")
    return store


def make(store, version):
    store.catalog.create_table(
        "bronze.events", with_metadata(SCHEMA), properties={"format-version": str(version)}
    )


def load(store, rows, partition=DAY_1, extraction=0):
    options = {"schema": SCHEMA, "partition_by": ()}
    return publish_rows(store, rows, merge(partition), extraction=extraction, **options)


def rows_by_pyiceberg(store):
    found = store.catalog.load_table("bronze.events").scan().to_arrow().to_pylist()
    return sorted((row["id"], row["value"]) for row in found)


def add(store, content, file_format, **more):
    """Add a file to the table, as some other system might."""
    handle = store.catalog.load_table("bronze.events")
    file = DataFile.from_args(
        content=content,
        file_path=f"{handle.location()}/data/x.file",
        file_format=file_format,
        partition=Record(),
        record_count=1,
        file_size_in_bytes=1,
        **more,
    )
    file.spec_id = 0
    kind = "added" if content == DataFileContent.DATA else "deletes"
    parent = handle.metadata.current_snapshot()
    change = Change(**{kind: [file]})
    snapshot = SnapshotBuilder(handle.metadata, handle.io, parent, change).build({})
    store.catalog.commit_table(handle, (), stage.snapshot_updates(snapshot, "main"))


def test_a_table_of_format_1_is_rewritten_for_it_knows_no_deletes(store, monkeypatch):
    monkeypatch.setattr(stage, "REWRITE_ROWS", 0)
    make(store, 1)
    load(store, [{"id": f"k{n}", "value": n} for n in range(20)])
    published = load(store, [{"id": "k3", "value": -3}, {"id": "new", "value": 1}], DAY_2)
    assert (published.strategy, published.row_count) == ("copy-on-write", 21)
    expected = {f"k{n}": n for n in range(20)} | {"k3": -3, "new": 1}
    assert rows_by_pyiceberg(store) == sorted(expected.items())
    load(store, [{"id": "k4", "value": 4}], DAY_2, 1)
    store.maintain(EVENTS)
    assert rows_by_pyiceberg(store) == sorted(expected.items())
    assert store.catalog.load_table("bronze.events").metadata.format_version == 1


@pytest.mark.parametrize(
    ("content", "file_format", "more", "message"),
    [
        (DataFileContent.EQUALITY_DELETES, FileFormat.PARQUET, {"equality_ids": [1]}, "equality"),
        (DataFileContent.POSITION_DELETES, FileFormat.PUFFIN, {}, "x.file is PUFFIN"),
        (DataFileContent.DATA, FileFormat.ORC, {}, "x.file is ORC"),
    ],
    ids=["equality deletes", "deletion vectors", "ORC"],
)
def test_what_cannot_be_read_is_told_and_nothing_is_written(
    store, content, file_format, more, message
):
    make(store, 2)
    load(store, [{"id": "a", "value": 1}])
    add(store, content, file_format, **more)
    head = store.catalog.load_table("bronze.events").metadata.current_snapshot_id
    with pytest.raises(UnsupportedTableError, match=message):
        open_lake().engine.query("SELECT * FROM bronze.events")
    with pytest.raises(UnsupportedTableError, match=message):
        load(store, [{"id": "a", "value": 2}])
    with pytest.raises(UnsupportedTableError, match=message):
        store.maintain(EVENTS)
    assert store.catalog.load_table("bronze.events").metadata.current_snapshot_id == head


def test_a_table_of_format_3_is_read_and_not_written(store):
    make(store, 2)
    load(store, [{"id": "a", "value": 1}])
    as_format_3(store)
    assert rows_by_engine() == [{"id": "a", "value": 1}]
    for change in (lambda: load(store, [{"id": "b", "value": 2}]), lambda: store.maintain(EVENTS)):
        with pytest.raises(UnsupportedTableError, match="reads and does not write"):
            change()
    assert rows_by_engine() == [{"id": "a", "value": 1}]


def rows_by_engine():
    return open_lake().engine.query("SELECT id, value FROM bronze.events").read_all().to_pylist()


def as_format_3(store):
    """Let the catalog know the table's present state by metadata of the newer format."""
    handle = store.catalog.load_table("bronze.events")
    file = Path(handle.metadata_location.removeprefix("file://"))
    newer = file.with_name("newer.metadata.json")
    fields = json.loads(file.read_text()) | {"format-version": 3, "next-row-id": 1}
    newer.write_text(json.dumps(fields))
    store.catalog.drop_table("bronze.events")
    store.catalog.register_table("bronze.events", f"file://{newer}")
