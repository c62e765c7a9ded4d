"""A conformance suite for table stores: what every ``TableStore`` must do.

A test module inherits it and provides the fixture ``store``; rows are read back by ``read_rows``,
which an implementation overrides with a reader that is not its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from phlo.errors import (
    ConfigurationError,
    FatalRunError,
    MovedHeadError,
    SchemaChangeError,
    TableNotFoundError,
)
from phlo.names import STRATEGY_PROPERTY, Partition, TableName
from phlo.values import Append, LoadAccount, Merge, Replace

from phlo_testing.loads import BY_PARTITION_DATE, load_rows, with_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from phlo.protocols import Staged, TableStore
    from phlo.values import How, Published

EVENTS = TableName("bronze", "events")
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("value", pa.int64()),
        pa.field("note", pa.string()),
    ]
)
DAY_1, DAY_2, DAY_3 = (Partition.parse(f"2025-01-0{n}") for n in (1, 2, 3))


def events(pairs: Iterable[tuple[str | None, int | None]]) -> list[dict[str, Any]]:
    """Build rows of ``SCHEMA`` from pairs of id and value."""
    return [{"id": key, "value": value} for key, value in pairs]


def stage_rows(
    store: TableStore,
    rows: Sequence[Mapping[str, Any]],
    how: How,
    *,
    extraction: int = 0,
    table: TableName = EVENTS,
    schema: pa.Schema = SCHEMA,
    **options: Any,
) -> Staged:
    """Stage rows for the partition of ``how``, as an ingestion does.

    Args:
        store: The table's store.
        rows: One mapping per row; missing columns are null.
        how: How they are written.
        extraction: Number of the extraction; a higher one began later.
        table: The table.
        schema: The user's columns.
        options: What ``TableStore.stage`` takes besides; the table is partitioned by the day of
            its partitions if they do not say otherwise.
    """
    partition = how.partition or DAY_1
    return store.stage(
        table,
        load_rows(schema, rows, partition, extraction),
        how,
        schema=with_metadata(schema),
        **{"partition_by": BY_PARTITION_DATE, **options},
    )


def publish_rows(
    store: TableStore,
    rows: Sequence[Mapping[str, Any]],
    how: How,
    **options: Any,
) -> Published:
    """Stage rows and publish them."""
    (published,) = store.publish([stage_rows(store, rows, how, **options)])
    return published


class TableStoreConformance:
    """Inherit this, and provide a fixture ``store``.

    Attributes:
        has_transactions: Whether the catalog commits several tables together; one that does not
            must refuse, and publish none.
    """

    has_transactions = True

    def read_rows(self, store: TableStore, table: TableName) -> list[dict[str, Any]]:
        """Read all rows of a published table without the store's own code."""
        raise NotImplementedError

    # -- helpers

    def contents(self, store: TableStore, table: TableName = EVENTS) -> list[tuple[Any, ...]]:
        """Read rows as (id, value, day of the partition), sorted."""
        rows = self.read_rows(store, table)
        return sorted((r["id"], r["value"], r["_phlo_partition_date"].day) for r in rows)

    # -- staging and publishing

    def test_a_stage_is_invisible_until_it_is_published(self, store: TableStore) -> None:
        staged = stage_rows(store, [{"id": "a", "value": 1}], merge(DAY_1))
        assert not store.exists(EVENTS)
        store.publish([staged])
        assert self.contents(store) == [("a", 1, 1)]

    def test_first_load_makes_table_and_rows_in_one_snapshot(self, store: TableStore) -> None:
        published = publish_rows(store, [{"id": "a", "value": 1}], merge(DAY_1))
        assert [s.snapshot_id for s in store.history(EVENTS)] == [published.snapshot_id]

    def test_a_load_of_no_rows_makes_the_table_and_no_snapshot(self, store: TableStore) -> None:
        published = publish_rows(store, [], merge(DAY_1))
        assert published.snapshot_id is None
        assert store.load(EVENTS).schema.names[:3] == ["id", "value", "note"]
        assert self.contents(store) == []

    def test_a_stage_on_a_moved_head_is_refused(self, store: TableStore) -> None:
        publish_rows(store, [{"id": "a", "value": 1}], merge(DAY_1))
        stale = stage_rows(store, [{"id": "a", "value": 2}], merge(DAY_2))
        publish_rows(store, [{"id": "a", "value": 3}], merge(DAY_2), extraction=1)
        with pytest.raises(MovedHeadError):
            store.publish([stale])
        assert self.contents(store) == [("a", 3, 2)]

    def test_a_table_made_meanwhile_refuses_another_first_load(self, store: TableStore) -> None:
        stale = stage_rows(store, [{"id": "a", "value": 1}], merge(DAY_1))
        publish_rows(store, [{"id": "b", "value": 2}], merge(DAY_1))
        with pytest.raises(MovedHeadError):
            store.publish([stale])
        assert self.contents(store) == [("b", 2, 1)]

    def test_several_tables_are_published_together_or_not_at_all(self, store: TableStore) -> None:
        other = TableName("silver", "other")
        publish_rows(store, [{"id": "a", "value": 1}], merge(DAY_1))
        stages = [
            stage_rows(store, [{"id": "a", "value": 2}], merge(DAY_2)),
            stage_rows(store, [{"id": "z", "value": 9}], merge(DAY_1), table=other),
        ]
        if not self.has_transactions:
            with pytest.raises(ConfigurationError, match="together"):
                store.publish(stages)
            assert (self.contents(store), store.exists(other)) == ([("a", 1, 1)], False)
            return
        publish_rows(store, [{"id": "a", "value": 3}], merge(DAY_2), extraction=1)
        with pytest.raises(MovedHeadError):
            store.publish(stages)
        assert not store.exists(other)
        again = [stage_rows(store, [{"id": "a", "value": 4}], merge(DAY_3)), stages[1]]
        store.publish(again)
        assert self.contents(store) == [("a", 4, 3)]
        assert self.contents(store, other) == [("z", 9, 1)]

    def test_a_table_that_a_check_read_must_not_have_moved(self, store: TableStore) -> None:
        other = TableName("silver", "other")
        first = publish_rows(store, [{"id": "z", "value": 9}], merge(DAY_1), table=other)
        staged = stage_rows(store, [{"id": "a", "value": 1}], merge(DAY_1))
        publish_rows(store, [{"id": "y", "value": 8}], merge(DAY_1), table=other)
        with pytest.raises(MovedHeadError):
            store.publish([staged], reads={other: first.snapshot_id})
        assert not store.exists(EVENTS)
        store.publish([staged], reads={other: store.load(other).snapshot_id})
        assert self.contents(store) == [("a", 1, 1)]

    def test_discarding_a_stage_leaves_the_table_readable(self, store: TableStore) -> None:
        publish_rows(store, [{"id": "a", "value": 1}], merge(DAY_1))
        store.discard(stage_rows(store, [{"id": "a", "value": 2}], merge(DAY_2)))
        assert self.contents(store) == [("a", 1, 1)]

    def test_properties_are_set_by_the_publishing_commit_alone(self, store: TableStore) -> None:
        staged = stage_rows(
            store, [{"id": "a", "value": 1}], merge(DAY_1), properties={"phlo.dlt-state": "s1"}
        )
        store.publish([staged])
        assert store.load(EVENTS).properties["phlo.dlt-state"] == "s1"
        published = publish_rows(
            store,
            [{"id": "a", "value": 1}],
            merge(DAY_1),
            properties={"phlo.dlt-state": "s2"},
            extraction=1,
        )
        assert published.snapshot_id is None
        assert store.load(EVENTS).properties["phlo.dlt-state"] == "s2"

    def test_a_table_tells_how_it_was_written_last(self, store: TableStore) -> None:
        publish_rows(store, [{"id": "a", "value": 1}], Append(DAY_1))
        assert store.load(EVENTS).properties[STRATEGY_PROPERTY] == "append"
        publish_rows(store, [{"id": "a", "value": 1}], merge(DAY_1))
        assert store.load(EVENTS).properties[STRATEGY_PROPERTY] == "merge"

    def test_an_unknown_table_is_named_with_its_neighbours(self, store: TableStore) -> None:
        publish_rows(store, [{"id": "a"}], merge(DAY_1))
        with pytest.raises(TableNotFoundError, match=r"bronze\.events"):
            store.load(TableName("bronze", "event"))

    def test_tables_that_can_be_opened_are_not_repaired(self, store: TableStore) -> None:
        publish_rows(store, [{"id": "a", "value": 1}], merge(DAY_1))
        assert store.repair() == []
        assert self.contents(store) == [("a", 1, 1)]

    # -- merge

    def test_merge_inserts_updates_and_leaves_unchanged_rows(self, store: TableStore) -> None:
        publish_rows(store, [{"id": "a", "value": 1}, {"id": "b", "value": 2}], merge(DAY_1))
        published = publish_rows(
            store,
            [{"id": "a", "value": 1}, {"id": "b", "value": 3}, {"id": "c", "value": 4}],
            merge(DAY_2),
        )
        assert self.contents(store) == [("a", 1, 1), ("b", 3, 2), ("c", 4, 2)]
        assert published.account == LoadAccount(extracted=3, inserted=1, updated=1, unchanged=1)

    def test_a_rerun_makes_no_snapshot(self, store: TableStore) -> None:
        rows = [{"id": "a", "value": 1}, {"id": "b", "value": None}]
        publish_rows(store, rows, merge(DAY_1))
        published = publish_rows(store, rows, merge(DAY_1), extraction=1)
        assert published.snapshot_id is None
        assert published.account == LoadAccount(extracted=2, unchanged=2)
        assert len(store.history(EVENTS)) == 1

    def test_last_does_not_overwrite_a_later_partition(self, store: TableStore) -> None:
        publish_rows(store, [{"id": "a", "value": 2}], merge(DAY_2))
        published = publish_rows(store, [{"id": "a", "value": 1}], merge(DAY_1), extraction=1)
        assert self.contents(store) == [("a", 2, 2)]
        assert published.account == LoadAccount(extracted=1, deduplicated=1)

    def test_an_overtaken_attempt_does_not_win(self, store: TableStore) -> None:
        publish_rows(store, [{"id": "a", "value": 2}], merge(DAY_1), extraction=5)
        publish_rows(store, [{"id": "a", "value": 1}], merge(DAY_1), extraction=4)
        assert self.contents(store) == [("a", 2, 1)]

    def test_first_keeps_the_stored_row_unless_it_is_later(self, store: TableStore) -> None:
        publish_rows(store, [{"id": "a", "value": 2}], merge(DAY_2, method="first"))
        publish_rows(store, [{"id": "a", "value": 3}], merge(DAY_3, method="first"), extraction=1)
        assert self.contents(store) == [("a", 2, 2)]
        publish_rows(store, [{"id": "a", "value": 1}], merge(DAY_1, method="first"), extraction=2)
        assert self.contents(store) == [("a", 1, 1)]

    def test_order_by_decides_against_the_stored_row(self, store: TableStore) -> None:
        publish_rows(store, [{"id": "a", "value": 5}], merge(DAY_2, order_by="value"))
        publish_rows(store, [{"id": "a", "value": 4}], merge(DAY_3, order_by="value"), extraction=1)
        assert self.contents(store) == [("a", 5, 2)]
        publish_rows(store, [{"id": "a", "value": 6}], merge(DAY_1, order_by="value"), extraction=2)
        assert self.contents(store) == [("a", 6, 1)]
        publish_rows(store, [{"id": "a"}], merge(DAY_3, order_by="value"), extraction=3)
        assert self.contents(store) == [("a", 6, 1)]

    def test_a_load_of_an_older_partition_counts_what_it_overwrites(
        self, store: TableStore
    ) -> None:
        publish_rows(store, [{"id": "a", "value": 1}], merge(DAY_1))
        publish_rows(store, [{"id": "b", "value": 2}], merge(DAY_3), extraction=1)
        published = publish_rows(store, [{"id": "a", "value": 3}], merge(DAY_2), extraction=2)
        assert published.account.out_of_order == 1

    def test_rows_marked_deleted_delete_their_key(self, store: TableStore) -> None:
        schema = SCHEMA.append(pa.field("gone", pa.bool_()))
        publish_rows(store, [{"id": "a", "value": 1}, {"id": "b", "value": 2}], merge(DAY_1))
        published = publish_rows(
            store,
            [{"id": "a", "gone": True}, {"id": "x", "gone": True}, {"id": "c", "value": 3}],
            merge(DAY_2, delete_column="gone"),
            schema=schema,
        )
        assert self.contents(store) == [("b", 2, 1), ("c", 3, 2)]
        assert published.account == LoadAccount(extracted=3, inserted=1, deleted=2, removed=1)

    @pytest.mark.parametrize("rows", [[{"id": "a"}, {"id": "a"}], [{"id": None}]])
    def test_a_repeated_or_null_key_is_refused(
        self, store: TableStore, rows: list[dict[str, Any]]
    ) -> None:
        with pytest.raises(FatalRunError, match="unique keys"):
            stage_rows(store, rows, merge(DAY_1))

    def test_composite_keys_with_nan_find_their_rows(self, store: TableStore) -> None:
        schema = pa.schema(
            [
                pa.field("id", pa.string(), nullable=False),
                pa.field("level", pa.float64(), nullable=False),
                pa.field("value", pa.int64()),
            ]
        )
        how = Merge(("id", "level"), DAY_1)
        nan = float("nan")
        rows = [{"id": "a", "level": nan, "value": 1}, {"id": "a", "level": 0.0, "value": 2}]
        publish_rows(store, rows, how, schema=schema)
        rows[0]["value"] = 3
        published = publish_rows(store, rows, how, schema=schema, extraction=1)
        assert self.contents(store) == [("a", 2, 1), ("a", 3, 1)]
        assert published.account == LoadAccount(extracted=2, updated=1, unchanged=1)

    # -- append and replace

    def test_append_replaces_what_its_partition_wrote_before(self, store: TableStore) -> None:
        publish_rows(store, [{"id": "a", "value": 1}, {"id": "a", "value": 1}], Append(DAY_1))
        publish_rows(store, [{"id": "b", "value": 2}], Append(DAY_2))
        publish_rows(store, [{"id": "a", "value": 7}], Append(DAY_1), extraction=1)
        assert self.contents(store) == [("a", 7, 1), ("b", 2, 2)]

    def test_a_row_older_than_the_delete_of_its_key_is_passed_over(self, store: TableStore) -> None:
        deleted = load_rows(SCHEMA, events([("a", None), ("b", None), ("d", None)]), DAY_2, 5)
        rows = [*events([("a", 1), ("c", 3)]), {"id": "d", "gone": True}]
        gone = SCHEMA.append(pa.field("gone", pa.bool_()))
        for day, standing, inserted in ((DAY_1, ["c"], 1), (DAY_3, ["a", "c"], 1)):
            how = merge(day, delete_column="gone", deleted=deleted)
            staged = stage_rows(store, rows, how, extraction=6, schema=gone)
            kept = staged.deleted.to_table()["id"].to_pylist() if staged.deleted else []
            assert kept == ([] if day is DAY_1 else ["d"])
            assert sorted(staged.delivered.to_table()["id"].to_pylist()) == standing
            (published,) = store.publish([staged])
            assert published.account.inserted == inserted
            assert sorted(row["id"] for row in self.read_rows(store, EVENTS)) == standing

    def test_an_earlier_extraction_of_the_day_loses_against_a_delete(
        self, store: TableStore
    ) -> None:
        deleted = load_rows(SCHEMA, events([("a", None)]), DAY_1, 5)
        how = merge(DAY_1, deleted=deleted)
        publish_rows(store, events([("a", 1), ("b", 2)]), how, extraction=4)
        assert self.contents(store) == [("b", 2, 1)]
        publish_rows(store, events([("a", 1)]), how, extraction=6)
        assert self.contents(store) == [("a", 1, 1), ("b", 2, 1)]

    def test_append_on_rerun_append_keeps_both(self, store: TableStore) -> None:
        how = Append(DAY_1, on_rerun="append")
        publish_rows(store, [{"id": "a", "value": 1}], how)
        publish_rows(store, [{"id": "a", "value": 1}], how, extraction=1)
        assert self.contents(store) == [("a", 1, 1), ("a", 1, 1)]

    def test_replace_makes_the_table_what_was_delivered(self, store: TableStore) -> None:
        publish_rows(store, [{"id": "a", "value": 1}, {"id": "b", "value": 2}], merge(DAY_1))
        publish_rows(store, [{"id": "c", "value": 3}], Replace(), extraction=1)
        assert self.contents(store) == [("c", 3, 1)]
        publish_rows(store, [], Replace(), extraction=2)
        assert self.contents(store) == []

    def test_replacing_by_equal_rows_makes_no_snapshot(self, store: TableStore) -> None:
        rows = [{"id": "a", "value": 1}, {"id": "a", "value": 1}, {"id": "b", "value": 2}]
        publish_rows(store, rows, Replace(DAY_1))
        for again in (rows, rows[::-1]):  # rows of a table have no order
            published = publish_rows(store, again, Replace(DAY_1), extraction=1)
            assert (published.snapshot_id, published.account.unchanged) == (None, 3)
        other_counts = [rows[0], rows[2], rows[2]]
        published = publish_rows(store, other_counts, Replace(DAY_1), extraction=1)
        assert published.account.inserted == 3

    def test_an_overtaken_replacement_is_refused(self, store: TableStore) -> None:
        publish_rows(store, [{"id": "a", "value": 2}], Replace(DAY_1), extraction=5)
        with pytest.raises(FatalRunError, match="overtaken"):
            publish_rows(store, [{"id": "a", "value": 1}], Replace(DAY_1), extraction=4)
        assert self.contents(store) == [("a", 2, 1)]

    def test_a_revision_is_of_the_snapshot_that_was_read(self, store: TableStore) -> None:
        first = publish_rows(store, [{"id": "a", "value": 1}], Replace(DAY_1), extraction=5)
        revision = Replace(DAY_1, revises=first.snapshot_id)
        publish_rows(store, [{"id": "b", "value": 2}], revision, extraction=4)
        assert self.contents(store) == [("b", 2, 1)]
        with pytest.raises(MovedHeadError):
            stage_rows(store, [{"id": "c", "value": 3}], revision, extraction=6)
        assert self.contents(store) == [("b", 2, 1)]

    # -- schema

    def test_a_new_column_comes_with_the_load_that_brings_it(self, store: TableStore) -> None:
        publish_rows(store, [{"id": "a", "value": 1}, {"id": "b", "value": 2}], merge(DAY_1))
        wider = SCHEMA.append(pa.field("extra", pa.float64(), nullable=False))
        staged = stage_rows(
            store, [{"id": "b", "value": 2, "extra": 0.5}], merge(DAY_2), schema=wider
        )
        assert "extra" not in store.load(EVENTS).schema.names
        store.publish([staged])
        rows = {r["id"]: r["extra"] for r in self.read_rows(store, EVENTS)}
        assert rows == {"a": None, "b": 0.5}

    def test_a_column_is_renamed_and_keeps_its_values(self, store: TableStore) -> None:
        publish_rows(store, [{"id": "a", "value": 1, "note": "x"}], merge(DAY_1))
        renamed = pa.schema(
            [*list(SCHEMA)[:2], pa.field("remark", pa.string(), metadata={"renamed_from": "note"})]
        )
        publish_rows(store, [{"id": "b", "value": 2, "remark": "y"}], merge(DAY_1), schema=renamed)
        rows = {r["id"]: r["remark"] for r in self.read_rows(store, EVENTS)}
        assert rows == {"a": "x", "b": "y"}

    def test_columns_that_pass_their_names_on_keep_their_values(self, store: TableStore) -> None:
        publish_rows(store, [{"id": "a", "value": 1, "note": "x"}], merge(DAY_1))
        passed_on = pa.schema(
            [
                SCHEMA.field("id"),
                pa.field("note", pa.int64(), metadata={"renamed_from": "value"}),
                pa.field("remark", pa.string(), metadata={"renamed_from": "note"}),
            ]
        )
        for key in "bc":  # the second load finds them renamed
            row = {"id": key, "note": 2, "remark": "y"}
            publish_rows(store, [row], merge(DAY_1), schema=passed_on)
        rows = {r["id"]: (r["note"], r["remark"]) for r in self.read_rows(store, EVENTS)}
        assert rows == {"a": (1, "x"), "b": (2, "y"), "c": (2, "y")}

    def test_columns_that_swap_names_are_refused(self, store: TableStore) -> None:
        publish_rows(store, [{"id": "a", "value": 1, "note": "x"}], merge(DAY_1))
        swapped = pa.schema(
            [
                SCHEMA.field("id"),
                pa.field("value", pa.string(), metadata={"renamed_from": "note"}),
                pa.field("note", pa.int64(), metadata={"renamed_from": "value"}),
            ]
        )
        with pytest.raises(SchemaChangeError, match="each renamed from another"):
            stage_rows(store, [{"id": "a", "value": "x"}], merge(DAY_1), schema=swapped)

    def test_types_are_widened_and_never_narrowed(self, store: TableStore) -> None:
        narrow = SCHEMA.set(1, pa.field("value", pa.int32()))
        publish_rows(store, [{"id": "a", "value": 1}], merge(DAY_1), schema=narrow)
        publish_rows(store, [{"id": "b", "value": 2**40}], merge(DAY_1), extraction=1)
        assert self.contents(store) == [("a", 1, 1), ("b", 2**40, 1)]
        text = SCHEMA.set(1, pa.field("value", pa.string()))
        with pytest.raises(SchemaChangeError, match="value"):
            stage_rows(store, [{"id": "c", "value": "x"}], merge(DAY_1), schema=text)

    def test_fields_inside_columns_grow_as_columns_do(self, store: TableStore) -> None:
        narrow = pa.struct([("city", pa.string()), ("floor", pa.int32())])
        old = {"city": "Ulm", "floor": 1}
        publish_rows(store, [_nested("a", old)], merge(DAY_1), schema=_nested_schema(narrow))

        wide = pa.struct([("zip code", pa.string()), ("floor", pa.int64()), ("city", pa.string())])
        new = {"zip code": "1", "floor": 2**40, "city": None}
        schema = _nested_schema(wide).insert(1, pa.field("tags", pa.list_(pa.string())))
        publish_rows(store, [_nested("b", new, tags=["x"])], merge(DAY_2), schema=schema)

        few = pa.struct([("city", pa.string())])
        last = [_nested("c", {"city": "Au"})]
        publish_rows(store, last, merge(DAY_3), schema=_nested_schema(few))
        names = ("id", "place", "places", "by_name")
        found = [{n: r[n] for n in names} for r in self.read_rows(store, EVENTS)]
        empty = {"zip code": None, "floor": None, "city": None}
        assert sorted(found, key=lambda r: r["id"]) == [
            _nested("a", empty | old),
            _nested("b", new),
            _nested("c", empty | {"city": "Au"}),
        ]

    def test_a_field_inside_a_column_never_becomes_of_another_type(self, store: TableStore) -> None:
        number = _nested_schema(pa.struct([("floor", pa.int64())]))
        text = _nested_schema(pa.struct([("floor", pa.string())]))
        publish_rows(store, [_nested("a", {"floor": 1})], merge(DAY_1), schema=number)
        with pytest.raises(SchemaChangeError, match="place"):
            stage_rows(store, [_nested("b", {"floor": "x"})], merge(DAY_1), schema=text)

    def test_synced_columns_become_exactly_those_of_the_load(self, store: TableStore) -> None:
        publish_rows(store, [{"id": "a", "value": 1, "note": "x"}], Replace())
        schema = pa.schema(
            [SCHEMA.field("id"), pa.field("value", pa.string()), pa.field("more", pa.int64())]
        )
        rows = [{"id": "a", "value": "one", "more": 1}]

        staged = stage_rows(store, rows, Replace(), schema=schema, on_schema_change="sync")
        assert store.load(EVENTS).schema.field("value").type == pa.int64()
        store.publish([staged])

        assert {"value": "one", "more": 1}.items() <= self.read_rows(store, EVENTS)[0].items()
        assert "note" not in store.load(EVENTS).schema.names

    def test_synced_columns_that_are_the_same_make_no_snapshot(self, store: TableStore) -> None:
        rows = [{"id": "a", "value": 1, "note": "x"}]
        publish_rows(store, rows, Replace())
        published = publish_rows(store, rows, Replace(), on_schema_change="sync")
        assert published.snapshot_id is None

    def test_a_field_that_left_the_contract_becomes_optional(self, store: TableStore) -> None:
        strict = SCHEMA.set(1, pa.field("value", pa.int64(), nullable=False))
        publish_rows(store, [{"id": "a", "value": 1}], merge(DAY_1), schema=strict)
        without = pa.schema([SCHEMA.field("id"), SCHEMA.field("note")])
        publish_rows(store, [{"id": "b", "note": "n"}], merge(DAY_1), schema=without)
        rows = {r["id"]: r["value"] for r in self.read_rows(store, EVENTS)}
        assert rows == {"a": 1, "b": None}


def _nested_schema(place: pa.DataType) -> pa.Schema:
    return pa.schema(
        [
            SCHEMA.field("id"),
            pa.field("place", place),
            pa.field("places", pa.list_(place)),
            pa.field("by_name", pa.map_(pa.string(), place)),
        ]
    )


def _nested(key: str, place: dict[str, Any], **more: Any) -> dict[str, Any]:
    nested = {"place": place, "places": [place, None], "by_name": [("x", place)]}
    return {"id": key} | nested | more


def merge(partition: Partition, **options: Any) -> Merge:
    """Build a merge by ``id``."""
    return Merge(("id",), partition, **options)
