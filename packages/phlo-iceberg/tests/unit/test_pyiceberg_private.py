"""What the private parts of pyiceberg must do, each by name."""

import pytest
from phlo_iceberg import pyiceberg_private as private
from phlo_iceberg import rest_private
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.schema import Schema
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.update import (
    AssertCreate,
    AssertRefSnapshotId,
    RemovePropertiesUpdate,
    SetPropertiesUpdate,
)
from pyiceberg.types import LongType, NestedField
from requests import HTTPError, Response

SCHEMA = Schema(NestedField(1, "id", LongType(), required=False))


@pytest.fixture
def catalog(tmp_path):
    warehouse = (tmp_path / "warehouse").as_uri()
    catalog = load_catalog(
        "lake", type="sql", uri=f"sqlite:///{tmp_path}/c.db", warehouse=warehouse
    )
    catalog.create_namespace("bronze")
    yield catalog
    catalog.engine.dispose()


@pytest.fixture
def table(catalog):
    return catalog.create_table("bronze.t", SCHEMA)


def test_commit_table_holds_exactly_the_requirements_given(catalog, table):
    update = (SetPropertiesUpdate(updates={"a": "1"}),)

    with pytest.raises(CommitFailedException):
        private.commit_table(table, update, (AssertRefSnapshotId(ref=MAIN_BRANCH, snapshot_id=7),))
    assert "a" not in catalog.load_table("bronze.t").properties

    private.commit_table(table, update, (AssertRefSnapshotId(ref=MAIN_BRANCH, snapshot_id=None),))
    assert catalog.load_table("bronze.t").properties["a"] == "1"


def test_collected_updates_are_what_a_transaction_would_commit(table):
    transaction = table.transaction()
    transaction.set_properties(a="1")

    assert private.collected_updates(transaction) == (SetPropertiesUpdate(updates={"a": "1"}),)


def test_table_of_gives_the_table_that_is_not_there_yet(catalog):
    transaction = catalog.create_table_transaction("bronze.new", SCHEMA)

    assert private.table_of(transaction).name() == ("bronze", "new")
    assert not catalog.table_exists("bronze.new")


def test_stage_new_table_and_write_metadata_name_nothing_in_the_catalog(catalog):
    transaction = catalog.create_table_transaction("bronze.new", SCHEMA)
    updates = private.collected_updates(transaction)

    staged = private.stage_new_table(catalog, ("bronze", "new"), (AssertCreate(),), updates)
    private.write_metadata(catalog, staged.metadata, staged.io, staged.metadata_location)

    assert staged.io.new_input(staged.metadata_location).exists()
    assert not catalog.table_exists("bronze.new")
    row = private.table_row(catalog, "bronze", "new", staged.metadata_location)
    assert (row["table_namespace"], row["table_name"]) == ("bronze", "new")
    assert row["metadata_location"] == staged.metadata_location


def test_metadata_version_is_the_number_of_the_file(catalog, table):
    assert private.metadata_version(catalog, table.metadata_location) == 0
    private.commit_table(table, (SetPropertiesUpdate(updates={"a": "1"}),), ())
    assert private.metadata_version(catalog, table.metadata_location) == 1


def test_open_file_io_reads_files_of_the_warehouse(catalog, table):
    io = private.open_file_io(catalog, table.metadata_location)
    assert io.new_input(table.metadata_location).exists()


def test_delete_old_metadata_deletes_what_left_the_log(catalog, table):
    first = table.metadata_location
    properties = {
        "write.metadata.delete-after-commit.enabled": "true",
        "write.metadata.previous-versions-max": "1",
    }
    kept = private.apply_updates(table.metadata, (SetPropertiesUpdate(updates=properties),))
    before = private.log_metadata(kept, first, 1)
    after = private.log_metadata(before, "file:///newer.metadata.json", 2)

    private.delete_old_metadata(catalog, table.io, before, after)

    assert [entry.metadata_file for entry in after.metadata_log] == ["file:///newer.metadata.json"]
    assert not table.io.new_input(first).exists()


def test_apply_updates_leaves_the_metadata_it_was_given(table):
    changed = private.apply_updates(
        table.metadata,
        (SetPropertiesUpdate(updates={"a": "1", "b": "2"}), RemovePropertiesUpdate(removals=["b"])),
    )
    assert (changed.properties, table.metadata.properties) == ({"a": "1"}, {})


def test_with_path_copies_a_manifest(table):
    import pyarrow as pa

    table.append(pa.table({"id": [1]}))
    (manifest,) = table.current_snapshot().manifests(table.io)

    moved = private.with_path(manifest, "file:///elsewhere.avro")

    assert moved.manifest_path == "file:///elsewhere.avro"
    assert manifest.manifest_path != moved.manifest_path
    assert moved.added_files_count == manifest.added_files_count == 1


def test_raise_rest_error_raises_the_exception_of_the_status():
    answer = Response()
    answer.status_code = 409

    with pytest.raises(CommitFailedException):
        rest_private.raise_rest_error(HTTPError(response=answer), {409: CommitFailedException})


def test_post_sends_with_the_session_of_the_catalog():
    class Session:
        def post(self, url, data):
            return (url, data)

    class Catalog:
        _session = Session()

    assert rest_private.post(Catalog(), "http://here/v1", b"{}") == ("http://here/v1", b"{}")
