"""Rows and columns by which a branch differs from main, against a comparison in plain Python."""

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phlo.lake import open_lake
from phlo.values import Append
from phlo_iceberg.write import stage
from phlo_testing.stores import DAY_1, DAY_2, EVENTS, SCHEMA, merge, publish_rows, stage_rows


@pytest.fixture
def store(phlo_environment):
    return open_lake().store


def compare(store, key=("id",), samples=0):
    (change,) = store.diff("dev")
    return store.compare("dev", change, key=key, samples=samples)


def rows(pairs):
    return [{"id": key, "value": value} for key, value in pairs]


@pytest.mark.parametrize("rewrite_rows", [0, 1000])
def test_rows_are_told_apart_by_key_whether_files_or_positions_changed(
    store, monkeypatch, rewrite_rows
):
    monkeypatch.setattr(stage, "REWRITE_ROWS", rewrite_rows)
    publish_rows(store, rows((str(n), n) for n in range(40)), merge(DAY_1))
    store.create_branch("dev")
    dev = store.on_branch("dev")
    publish_rows(dev, rows([("7", 70), ("8", 8), ("x", 1)]), merge(DAY_2))
    found = compare(store, samples=5)
    assert (found.added, found.removed, found.changed) == (1, 0, 1)
    assert dict(found.changed_columns) == {"value": 1}
    assert found.samples["changed"] == [
        {"id": "7", "value before": 7, "value after": 70, "note before": None, "note after": None}
    ]
    assert found.samples["added"] == [{"id": "x", "value": 1, "note": None}]


def test_without_a_key_rows_are_compared_as_multisets(store):
    how = Append(on_rerun="append")
    publish_rows(store, rows([("a", 1), ("a", 1), ("b", 2)]), how)
    store.create_branch("dev")
    publish_rows(store.on_branch("dev"), rows([("a", 1), ("c", 3)]), how)
    found = compare(store, key=())
    assert (found.added, found.removed, found.changed, found.key) == (2, 0, 0, ())


def test_a_table_that_came_or_went_is_all_its_rows(store):
    publish_rows(store, rows([("a", 1), ("b", 2)]), merge(DAY_1))
    store.create_branch("dev")
    store.on_branch("dev").drop(EVENTS)
    found = compare(store, samples=1)
    assert (found.added, found.removed, found.samples["removed"][0]["id"]) == (0, 2, "a")
    assert {c.name for c in found.columns} == {"id", "value", "note"}
    store.publish_branch("dev")
    publish_rows(store.on_branch("dev"), rows([("c", 3)]), merge(DAY_1))
    found = compare(store)
    assert (found.added, found.removed, found.changed) == (1, 0, 0)


def test_columns_that_came_or_changed_their_name_or_type_are_named(store):
    publish_rows(store, rows([("a", 1)]), merge(DAY_1))
    store.create_branch("dev")
    renamed = SCHEMA.field("note").with_name("remark").with_metadata({"renamed_from": "note"})
    schema = pa.schema([SCHEMA.field("id"), SCHEMA.field("value"), renamed])
    schema = schema.append(pa.field("extra", pa.float64()))
    dev = store.on_branch("dev")
    dev.publish([stage_rows(dev, [{"id": "b", "extra": 1.5}], merge(DAY_2), schema=schema)])
    found = compare(store)
    changes = {c.name: (c.before, c.after, c.old_name) for c in found.columns}
    assert changes == {
        "remark": ("string", "string", "note"),
        "extra": (None, "double", None),
    }
    assert (found.added, found.removed, found.changed) == (1, 0, 0)


def test_a_conflict_is_compared_with_what_the_branch_began_from(store):
    publish_rows(store, rows([("a", 1)]), merge(DAY_1))
    store.create_branch("dev")
    publish_rows(store.on_branch("dev"), rows([("b", 2)]), merge(DAY_2))
    publish_rows(store, rows([("c", 3), ("d", 4)]), merge(DAY_2))
    found = compare(store)
    assert (found.added, found.removed, found.changed) == (1, 0, 0)


values = st.dictionaries(st.sampled_from("abcdefgh"), st.none() | st.integers(0, 3), max_size=8)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=values, loads=st.lists(values, min_size=1, max_size=3), rewrite=st.booleans())
def test_the_difference_is_that_of_plain_dictionaries(
    phlo_environment, monkeypatch, before, loads, rewrite
):
    monkeypatch.setattr(stage, "REWRITE_ROWS", 1000 if rewrite else 0)
    store = open_lake().store
    for branch in store.branches()[1:]:
        store.delete_branch(branch.name)
    if store.exists(EVENTS):
        store.drop(EVENTS)
    publish_rows(store, rows(before.items()), merge(DAY_1))
    store.create_branch("dev")
    after, dev = dict(before), store.on_branch("dev")
    for number, load in enumerate(loads):
        publish_rows(dev, rows(load.items()), merge(DAY_2), extraction=number)
        after |= load
    if not store.diff("dev"):
        assert after == before
        return
    found = compare(store)
    assert (found.added, found.removed, found.changed) == (
        len(after.keys() - before.keys()),
        0,
        sum(before[k] != after[k] for k in before),
    )
