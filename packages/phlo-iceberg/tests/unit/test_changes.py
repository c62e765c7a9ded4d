"""Rows that changed between two snapshots, compared with a whole read of both."""

import itertools
from uuid import uuid4

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phlo.names import TableName
from phlo.values import Merge, Replace
from phlo_iceberg.read.engine import DuckDBEngine
from phlo_iceberg.store import IcebergStore
from phlo_iceberg.write import stage
from pyiceberg.catalog import load_catalog

SCHEMA = pa.schema([("k", pa.int64()), ("v", pa.float64())])
ROWS = st.dictionaries(
    st.integers(0, 9), st.sampled_from([0.0, -0.0, 1.5, None, float("nan")]), max_size=6
)
LOADS = st.lists(
    st.tuples(st.sampled_from(["replace", "rewrite", "mark"]), ROWS, st.sets(st.integers(0, 9))),
    max_size=4,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    uri, warehouse = f"sqlite:///{folder}/catalog.db", folder.as_uri()
    catalog = load_catalog("lake", type="sql", uri=uri, warehouse=warehouse)
    yield IcebergStore(catalog)
    catalog.engine.dispose()


def write(store, name, rows, how=None, deleted=()):
    """Merge or replace rows, and return the table's snapshot."""
    how = how or Replace()
    schema = SCHEMA if isinstance(how, Replace) else SCHEMA.append(pa.field("gone", pa.bool_()))
    dicts = [{"k": k, "v": v, "gone": k in deleted} for k, v in rows.items()]
    load = ds.dataset(pa.Table.from_pylist(dicts, schema))
    store.publish([store.stage(name, load, how, schema=SCHEMA)])
    return store.load(name).snapshot_id


def content(store, name, snapshot):
    query = f"SELECT k, v FROM {name}"
    rows = DuckDBEngine(store).query(query, at={name: str(snapshot)}).read_all()
    return {row["k"]: repr(row["v"]) for row in rows.to_pylist()}


def applied(store, name, since, until):
    """Rows of the earlier snapshot with the changes to the later one made."""
    changes = store.changes(name, since, until)
    rows = content(store, name, since)
    for row in changes.deleted_keys(["k"]).read_all().to_pylist():
        del rows[row["k"]]
    for row in changes.upserts(["k"]).read_all().to_pylist():
        rows[row["k"]] = repr(row["v"])
    return rows


@settings(max_examples=10, deadline=None)
@given(first=ROWS, loads=LOADS)
def test_the_changes_lead_from_one_snapshot_to_the_other(store, first, loads):
    """A merge rewrites the files that it touches, or marks rows in them as deleted."""
    name = TableName("silver", f"rows_{uuid4().hex}")
    snapshots = [write(store, name, first)]
    for way, rows, deleted in loads:
        stage.REWRITE_ROWS = 0 if way == "mark" else 250_000
        stage.MIN_TOUCHED_SHARE = 2 if way == "mark" else 0.25
        how = Replace() if way == "replace" else Merge(("k",), delete_column="gone")
        snapshots.append(write(store, name, rows, how, deleted))
    known = [snapshot for snapshot in dict.fromkeys(snapshots) if snapshot is not None]
    for since, until in itertools.product(known, known):
        assert applied(store, name, since, until) == content(store, name, until)


def test_few_rows_are_read_for_few_changes(store):
    stage.REWRITE_ROWS, name = 0, TableName("silver", "many")
    since = write(store, name, dict.fromkeys(range(1000), 0.0))
    how = Merge(("k",), delete_column="gone")
    until = write(store, name, {5: 1.0, 2000: 1.0}, how)
    changes = store.changes(name, since, until)
    assert changes.row_bound == 3
    assert changes.upserts(["k"]).read_all().num_rows == 2
    assert changes.deleted_keys(["k"]).read_all().num_rows == 0


def test_a_snapshot_that_is_gone_has_no_changes(store):
    name = TableName("silver", "one")
    snapshot = write(store, name, {1: 0.0})
    assert store.changes(name, 7, snapshot) is None
