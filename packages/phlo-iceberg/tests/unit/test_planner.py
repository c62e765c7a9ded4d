"""What a load does to one stored row, as a table of all that decides it."""

from dataclasses import dataclass, field

import pyarrow as pa
import pytest
from phlo.errors import FatalRunError
from phlo.names import Partition
from phlo.values import Append, LoadAccount, Merge, Replace
from phlo_iceberg.read.connection import connect
from phlo_iceberg.store import IcebergStore
from phlo_iceberg.write.planner import OvertakenError, Planner
from phlo_testing.loads import load_rows
from phlo_testing.stores import DAY_1, DAY_2, DAY_3, EVENTS, SCHEMA, merge, publish_rows
from pyiceberg.catalog.sql import SqlCatalog

DELETES = SCHEMA.append(pa.field("gone", pa.bool_()))
EARLIER, STORED, LATER = 1, 2, 3


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """One stored row: ``a`` with the value 10, of day 2 and the extraction STORED."""
    folder = tmp_path_factory.mktemp("lake")
    location = {"uri": f"sqlite:///{folder}/catalog.db", "warehouse": f"file://{folder}/tables"}
    store = IcebergStore(SqlCatalog("lake", **location))
    publish_rows(store, [{"id": "a", "value": 10}], merge(DAY_2), extraction=STORED)
    return store.state(EVENTS)


@dataclass
class Case:
    """One loaded row, and what becomes of it.

    Attributes:
        becomes: The count of the account that it raises.
        row: The loaded row.
        day: Its partition.
        extraction: When it was extracted, against the stored row.
        options: Of the merge.
    """

    becomes: str
    row: dict
    day: Partition = DAY_2
    extraction: int = LATER
    options: dict = field(default_factory=dict)


FIRST, BY_VALUE = {"method": "first"}, {"order_by": "value"}
FIRST_BY_VALUE = FIRST | BY_VALUE
DELETE = {"delete_column": "gone"}
SAME, LOW, HIGH, NULL = ({"id": "a", "value": value} for value in (10, 9, 11, None))
TIE = {"id": "a", "value": 10, "note": "another"}
GONE = {"id": "a", "gone": True}

CASES = {
    "a new key": Case("inserted", {"id": "b", "value": 1}),
    "the same row": Case("unchanged", SAME),
    "the same row, earlier": Case("unchanged", SAME, DAY_1, EARLIER),
    "last: a later extraction": Case("updated", LOW),
    "last: the same extraction": Case("updated", LOW, DAY_2, STORED),
    "last: an earlier extraction": Case("deduplicated", LOW, DAY_2, EARLIER),
    "last: an earlier day, extracted later": Case("deduplicated", LOW, DAY_1, LATER),
    "last: a later day, extracted earlier": Case("updated", LOW, DAY_3, EARLIER),
    "first: a later extraction": Case("deduplicated", LOW, DAY_2, LATER, FIRST),
    "first: the same extraction": Case("deduplicated", LOW, DAY_2, STORED, FIRST),
    "first: an earlier extraction": Case("updated", LOW, DAY_2, EARLIER, FIRST),
    "first: an earlier day": Case("updated", LOW, DAY_1, LATER, FIRST),
    "order_by: higher, of an earlier day": Case("updated", HIGH, DAY_1, EARLIER, BY_VALUE),
    "order_by: lower, of a later day": Case("deduplicated", LOW, DAY_3, LATER, BY_VALUE),
    "order_by: null is lowest": Case("deduplicated", NULL, DAY_3, LATER, BY_VALUE),
    "order_by: a tie goes by time, later": Case("updated", TIE, DAY_2, LATER, BY_VALUE),
    "order_by: a tie goes by time, earlier": Case("deduplicated", TIE, DAY_2, EARLIER, BY_VALUE),
    "order_by, first: lower": Case("updated", LOW, DAY_3, LATER, FIRST_BY_VALUE),
    "order_by, first: null is lowest": Case("updated", NULL, DAY_3, LATER, FIRST_BY_VALUE),
    "order_by, first: higher": Case("deduplicated", HIGH, DAY_1, EARLIER, FIRST_BY_VALUE),
    "order_by, first: a tie, later": Case("deduplicated", TIE, DAY_2, LATER, FIRST_BY_VALUE),
    "order_by, first: a tie, earlier": Case("updated", TIE, DAY_2, EARLIER, FIRST_BY_VALUE),
    "delete: later": Case("deleted", GONE, DAY_2, LATER, DELETE),
    "delete: earlier": Case("deduplicated", GONE, DAY_2, EARLIER, DELETE),
    "delete: a key that is not there": Case("deleted", GONE | {"id": "b"}, options=DELETE),
    "delete: without order_by's value, later": Case(
        "deleted", GONE, DAY_2, LATER, DELETE | BY_VALUE
    ),
    "delete: with a lower value": Case(
        "deduplicated", GONE | {"value": 9}, DAY_2, LATER, DELETE | BY_VALUE
    ),
    "no delete": Case("updated", LOW | {"gone": False}, options=DELETE),
    "no delete: null": Case("updated", LOW | {"gone": None}, options=DELETE),
    "confined to its day": Case("updated", LOW, options={"key_scope": "partition"}),
    "confined to another day": Case("inserted", LOW, DAY_3, options={"key_scope": "partition"}),
    "with metadata, of an earlier extraction": Case(
        "updated", SAME, DAY_2, EARLIER, {"compares_metadata": True}
    ),
}


def plan_load(state, rows, how, extraction=LATER):
    """Return the plan of a load, and its rows as pairs of id and value."""
    schema = DELETES if getattr(how, "delete_column", None) else SCHEMA
    loaded = load_rows(schema, rows, how.partition or DAY_2, extraction)
    connection = connect(to_write=True)
    try:
        counted = LoadAccount(extracted=len(rows))
        plan = Planner(connection, state, loaded, counted).plan(how)
        new_rows = connection.sql(plan.new_rows).fetchall()
    finally:
        connection.close()
    return plan, [row[:2] for row in new_rows]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_merge_decides_by_values_and_times(state, case):
    plan, new_rows = plan_load(
        state, [case.row], Merge(("id",), case.day, **case.options), case.extraction
    )
    is_written = case.becomes in ("inserted", "updated")
    takes_away = case.becomes == "updated" or (case.becomes == "deleted" and case.row["id"] == "a")
    assert getattr(plan.account, case.becomes) == 1
    assert plan.account.is_balanced
    assert new_rows == ([(case.row["id"], case.row["value"])] if is_written else [])
    assert plan.new_row_count == len(new_rows)
    assert [positions.to_pylist() for positions in plan.removed.values()] == [[0]] * takes_away


@pytest.mark.parametrize(
    ("how", "becomes", "removed"),
    [
        (Append(DAY_2, on_rerun="append"), "inserted", 0),
        (Append(DAY_2, on_rerun="replace"), "inserted", 1),
        (Append(DAY_3, on_rerun="replace"), "inserted", 0),
        (Replace(DAY_2), "inserted", 1),
        (Replace(DAY_3), "inserted", 0),
        (Replace(), "inserted", 1),
    ],
    ids=repr,
)
def test_append_and_replace_take_away_rows_of_their_partition(state, how, becomes, removed):
    plan, new_rows = plan_load(state, [LOW], how)
    assert getattr(plan.account, becomes) == 1
    assert plan.account.removed == removed
    assert new_rows == [("a", 9)]
    assert len(plan.removed) == removed


def test_replace_by_the_same_rows_changes_nothing(state):
    plan, _ = plan_load(state, [SAME], Replace(DAY_2))
    assert plan.account.unchanged == 1
    assert (plan.new_row_count, plan.removed) == (0, {})


def test_replace_by_rows_extracted_earlier_is_refused(state):
    with pytest.raises(OvertakenError, match="extracted later than these"):
        plan_load(state, [LOW], Replace(DAY_2), EARLIER)


@pytest.mark.parametrize(
    ("rows", "got"), [([LOW, HIGH], "the key ('a',) twice"), ([{"value": 1}], "a null key")]
)
def test_merge_refuses_keys_that_are_repeated_or_null(state, rows, got):
    with pytest.raises(FatalRunError, match="unique keys without nulls") as raised:
        plan_load(state, rows, merge(DAY_2))
    assert f"Got {got}" in str(raised.value)
