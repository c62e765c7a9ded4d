"""The Iceberg store against the conformance suite, and what is Iceberg's own."""

from datetime import timedelta

import pyarrow as pa
import pytest
from phlo.lake import open_lake
from phlo.names import Partition, TableName
from phlo.values import LoadAccount, Merge
from phlo_iceberg.store import IcebergStore
from phlo_iceberg.upkeep.policy import Policy
from phlo_iceberg.write import matching, stage
from phlo_testing.stores import (
    DAY_1,
    DAY_2,
    DAY_3,
    EVENTS,
    TableStoreConformance,
    merge,
    publish_rows,
    stage_rows,
)
from pyiceberg.catalog import load_catalog


@pytest.fixture
def store(phlo_environment):
    return open_lake().store


def read_with_pyiceberg(store, table: TableName, snapshot_id=None) -> list[dict]:
    """Rows as someone sees them who has pyiceberg alone."""
    catalog = load_catalog("lake", **store.catalog.properties)
    return (
        catalog.load_table((table.namespace, table.name))
        .scan(snapshot_id=snapshot_id)
        .to_arrow()
        .to_pylist()
    )


class TestIcebergStore(TableStoreConformance):
    def read_rows(self, store, table):
        rows = read_with_pyiceberg(store, table)
        names = store.load(table).schema.names
        by_engine = open_lake().engine.query(f'SELECT * FROM "{table.namespace}"."{table.name}"')

        def order(row):
            return [repr(row[name]) for name in names]

        assert sorted(map(order, by_engine.read_all().to_pylist())) == sorted(map(order, rows))
        return rows

    def test_few_touched_rows_become_position_deletes(self, store, monkeypatch):
        monkeypatch.setattr(stage, "REWRITE_ROWS", 0)
        rows = [{"id": str(n), "value": n} for n in range(40)]
        publish_rows(store, rows, merge(DAY_1))
        published = publish_rows(store, [{"id": "7", "value": -7}], merge(DAY_2))
        again = publish_rows(store, [{"id": "8", "value": -8}], merge(DAY_3))
        assert (published.strategy, again.strategy) == ("merge-on-read", "merge-on-read")
        expected = {str(n): n for n in range(40)} | {"7": -7, "8": -8}
        assert {r["id"]: r["value"] for r in self.read_rows(store, EVENTS)} == expected
        assert again.row_count == 40

    def test_a_load_that_changes_nothing_counts_the_rows_there_are_by_then(
        self, store, monkeypatch
    ):
        """What it was planned on may be expired, and its rows uncounted for another writer's."""
        monkeypatch.setattr(stage, "REWRITE_ROWS", 0)
        rows = [{"id": str(n), "value": n} for n in range(40)]
        publish_rows(store, rows, merge(DAY_1))
        publish_rows(store, [{"id": "7", "value": -7}], merge(DAY_2))
        table = store.catalog.load_table("bronze.events")
        foreign = [{"id": "trino's", "value": 1}]
        table.append(pa.Table.from_pylist(foreign, schema=table.schema().as_arrow()))
        staged = stage_rows(store, rows[8:], merge(DAY_1), extraction=1)
        assert not staged.has_changes
        publish_rows(store, [{"id": "new", "value": 2}], merge(DAY_3))
        IcebergStore(store.catalog, Policy(1, timedelta(0))).maintain(EVENTS)
        (published,) = store.publish([staged], rebase=True)
        assert published.row_count == 42

    def test_rewriting_a_file_with_deletes_brings_no_row_back(self, store, monkeypatch):
        monkeypatch.setattr(stage, "REWRITE_ROWS", 0)
        publish_rows(store, [{"id": str(n), "value": n} for n in range(40)], merge(DAY_1))
        publish_rows(store, [{"id": "7", "value": -7}], merge(DAY_2))
        monkeypatch.setattr(stage, "REWRITE_ROWS", 1000)
        published = publish_rows(store, [{"id": "8", "value": -8}], merge(DAY_3))
        assert published.strategy == "copy-on-write"
        expected = {str(n): n for n in range(40)} | {"7": -7, "8": -8}
        assert {r["id"]: r["value"] for r in self.read_rows(store, EVENTS)} == expected

    def test_a_kept_stage_is_a_branch_and_main_stays(self, store):
        publish_rows(store, [{"id": "a", "value": 1}], merge(DAY_1))
        staged = stage_rows(store, [{"id": "a", "value": 2}], merge(DAY_2))
        publish_rows(store, [{"id": "b", "value": 3}], merge(DAY_2), extraction=1)
        assert store.keep(staged, "audit/dlt_events/2025-01-02/1")
        assert self.contents(store) == [("a", 1, 1), ("b", 3, 2)]
        kept = open_lake().engine.query(
            "SELECT id, value FROM bronze.events",
            at={EVENTS: "audit/dlt_events/2025-01-02/1"},
        )
        assert kept.read_all().to_pylist() == [{"id": "a", "value": 2}]

    def test_a_stage_of_a_new_table_cannot_be_kept(self, store):
        staged = stage_rows(store, [{"id": "a", "value": 1}], merge(DAY_1))
        assert not store.keep(staged, "audit/x")
        assert not store.exists(EVENTS)

    def test_the_summary_of_a_snapshot_holds_the_account(self, store):
        publish_rows(store, [{"id": "a"}], merge(DAY_1), summary={"phlo.run-id": "run-1"})
        summary = store.history(EVENTS)[0].summary
        assert (summary["phlo.inserted"], summary["phlo.extracted"]) == ("1", "1")
        assert summary["phlo.run-id"] == "run-1"

    def test_many_loads_leave_few_manifests(self, store):
        for n in range(25):
            publish_rows(store, [{"id": str(n), "value": n}], merge(DAY_1), extraction=n)
        table = store.catalog.load_table("bronze.events")
        assert len(table.current_snapshot().manifests(table.io)) <= 11
        assert self.contents(store) == sorted((str(n), n, 1) for n in range(25))

    def test_only_files_of_touched_partitions_are_rewritten(self, store):
        for n, day in enumerate((DAY_1, DAY_2, DAY_3)):
            publish_rows(store, [{"id": f"{n}-{i}", "value": i} for i in range(3)], merge(day))
        before = data_files(store)
        publish_rows(store, [{"id": "1-1", "value": 99}], merge(DAY_2), extraction=1)
        assert len(before & data_files(store)) == 2

    def test_keys_that_moved_between_partitions_are_found(self, store):
        publish_rows(store, [{"id": "a", "value": 1}], merge(DAY_1))
        publish_rows(store, [{"id": "a", "value": 2}], merge(DAY_3))
        publish_rows(store, [{"id": "a", "value": 3}], Merge(("id",), DAY_3), extraction=1)
        assert self.contents(store) == [("a", 3, 3)]

    def test_nested_and_odd_names_survive(self, store):
        schema = pa.schema(
            [
                pa.field("id", pa.string(), nullable=False),
                pa.field("value", pa.int64()),
                pa.field('we"ird; col', pa.string()),
                pa.field("tags", pa.list_(pa.string())),
            ]
        )
        row = {"id": "a", "value": 1, 'we"ird; col': "ü'", "tags": ["x", None]}
        publish_rows(store, [row], merge(DAY_1), schema=schema)
        (found,) = self.read_rows(store, EVENTS)
        assert {k: found[k] for k in row} == row

    @pytest.mark.parametrize("rewrite_rows", [0, 250_000])
    @pytest.mark.parametrize(
        "names", ["file pos", "same verdict", "s l", "m v", "filename file_row_number"]
    )
    def test_keys_may_have_any_name(self, store, names, rewrite_rows, monkeypatch):
        monkeypatch.setattr(stage, "REWRITE_ROWS", rewrite_rows)
        key = names.split()
        schema = pa.schema([*(pa.field(name, pa.string()) for name in key), ("value", pa.int64())])

        def load(values: dict[str, int], day) -> LoadAccount:
            rows = [dict.fromkeys(key, name) | {"value": v} for name, v in values.items()]
            return publish_rows(store, rows, Merge(tuple(key), day), schema=schema).account

        load({"a": 1, "b": 2, "c": 3}, DAY_1)
        account = load({"a": 1, "b": 5, "d": 4}, DAY_2)
        assert (account.inserted, account.updated, account.unchanged) == (1, 1, 1)
        found = {row[key[0]]: row["value"] for row in self.read_rows(store, EVENTS)}
        assert found == {"a": 1, "b": 5, "c": 3, "d": 4}

    def test_a_merge_into_many_files_tells_changed_rows_from_unchanged(self, store, monkeypatch):
        """One column tells those of the file that is looked at whole apart, but not all others."""
        monkeypatch.setattr(matching, "MIN_FILES_PER_SAMPLE", 3)
        monkeypatch.setattr(matching, "MAX_TELLING_SHARE", 1.0)
        days = [Partition.parse(f"2025-01-{n:02}") for n in range(1, 13)]
        for n, day in enumerate(days):
            rows = [{"id": f"{n}-{i}", "value": i, "note": "x"} for i in range(2 + min(n, 1))]
            publish_rows(store, rows, merge(day))
        other_value = [{"id": f"{n}-0", "value": 9, "note": "x"} for n in range(12)]
        other_note = [{"id": f"{n}-1", "value": 1, "note": "y"} for n in range(1, 6)]
        same = [{"id": f"{n}-1", "value": 1, "note": "x"} for n in range(6, 12)]
        load = [*other_value, *other_note, *same, {"id": "new", "value": 0, "note": None}]
        account = publish_rows(store, load, merge(Partition.parse("2025-01-20"))).account
        assert (account.inserted, account.updated, account.unchanged) == (1, 17, 6)
        stored = {row["id"]: row for row in self.read_rows(store, EVENTS)}
        given = {row["id"]: row for row in load}
        assert len(stored) == 2 + 11 * 3 + 1
        for name, row in stored.items():
            expected = given.get(name, {"value": int(name[-1:]) if "-" in name else 0, "note": "x"})
            assert (row["value"], row["note"]) == (expected["value"], expected["note"])
            changed = name in given and given[name] not in same
            assert (row["_phlo_partition_date"].day == 20) == changed


def data_files(store) -> set[str]:
    table = store.catalog.load_table("bronze.events")
    return {task.file.file_path for task in table.scan().plan_files()}


def test_the_engine_names_the_tables_that_a_query_reads(phlo_environment):
    found = open_lake().engine.tables(
        'WITH few AS (SELECT id FROM Bronze_Events) SELECT * FROM lake.gold."Facts" AS f '
        "WHERE f.id IN (SELECT id FROM silver.s) OR f.id IN (SELECT id FROM few)",
        relations=["Bronze_Events"],
    )
    assert found == {TableName("gold", "Facts"), TableName("silver", "s")}
