"""A real Trino beside phlo on one catalog: each reads right what the other wrote."""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pytest
from phlo.errors import MovedHeadError
from phlo.names import TableName
from phlo.values import Append, Merge, Replace
from phlo_iceberg.read.engine import DuckDBEngine
from phlo_iceberg.store import IcebergStore
from phlo_iceberg.write import stage as stage_module
from phlo_testing.loads import BY_PARTITION_DATE, load_rows, with_metadata
from phlo_testing.stores import DAY_1, DAY_2, DAY_3
from phlo_testing.trino import BRANCH, BRANCH_CATALOG
from pyiceberg.catalog import load_catalog

pytestmark = [pytest.mark.trino, pytest.mark.integration, pytest.mark.xdist_group("servers")]

EVENTS = TableName("bronze", "events")
SCHEMA = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("value", pa.int64())])


@pytest.fixture
def store(trino_lake):
    catalog = load_catalog("lake", **trino_lake.catalog_properties)
    store = IcebergStore(catalog)
    for table in store.list_tables():
        store.drop(table)
    yield store
    catalog.engine.dispose()


def stage(store, pairs, how, extraction=0, schema=SCHEMA):
    rows = [{"id": id_, "value": value} for id_, value in pairs]
    given = SCHEMA
    if isinstance(how, Merge) and how.delete_column:
        given = SCHEMA.append(pa.field(how.delete_column, pa.bool_()))
        rows = [{**row, how.delete_column: True} for row in rows]
    return store.stage(
        EVENTS,
        load_rows(given, rows, how.partition, extraction),
        how,
        schema=with_metadata(schema),
        partition_by=BY_PARTITION_DATE,
    )


def load(store, pairs, how, extraction=0):
    (published,) = store.publish([stage(store, pairs, how, extraction)])
    return published


def merge(partition):
    return Merge(("id",), partition)


def by_trino(trino_lake):
    rows = trino_lake.execute("SELECT id, value FROM bronze.events ORDER BY id, value")
    return [tuple(row) for row in rows]


def by_duckdb(store):
    query = "SELECT id, value FROM bronze.events ORDER BY id, value"
    rows = DuckDBEngine(store).query(query).read_all().to_pylist()
    return [(r["id"], r["value"]) for r in rows]


def by_pyiceberg(store):
    rows = store.catalog.load_table(("bronze", "events")).scan().to_arrow().to_pylist()
    return sorted((r["id"], r["value"]) for r in rows)


def everywhere(trino_lake, store):
    """The rows, which all readers must agree on."""
    rows = by_duckdb(store)
    assert by_trino(trino_lake) == rows
    assert by_pyiceberg(store) == rows
    assert store.load(EVENTS).row_count == len(rows)
    return rows


def test_trino_reads_what_phlo_wrote(trino_lake, store):
    load(store, [("a", 1), ("b", 2), ("é'", None)], merge(DAY_1))
    load(store, [("b", 3)], merge(DAY_2))
    assert everywhere(trino_lake, store) == [("a", 1), ("b", 3), ("é'", None)]


def test_phlo_reads_what_trino_deletes_updates_and_merges(trino_lake, store):
    load(store, [(f"k{n}", n) for n in range(6)], merge(DAY_1))
    trino_lake.execute("DELETE FROM bronze.events WHERE id = 'k0'")
    trino_lake.execute("UPDATE bronze.events SET value = 20 WHERE id = 'k2'")
    trino_lake.execute(
        "MERGE INTO bronze.events t USING (VALUES ('k4', 40), ('k9', 90)) s(id, value)"
        " ON t.id = s.id WHEN MATCHED THEN UPDATE SET value = s.value"
        " WHEN NOT MATCHED THEN INSERT (id, value) VALUES (s.id, s.value)"
    )
    expected = [("k1", 1), ("k2", 20), ("k3", 3), ("k4", 40), ("k5", 5), ("k9", 90)]
    assert everywhere(trino_lake, store) == expected


def test_fields_inside_columns_are_the_same_to_both_whatever_they_are_called(trino_lake, store):
    place = pa.struct([("zip code", pa.string()), ("1st", pa.int64())])
    load_places(store, place, [("a", {"zip code": "1", "1st": 2}), ("b", None)], DAY_1)
    query = 'SELECT id, place."zip code", place."1st" FROM bronze.events ORDER BY id'
    assert trino_lake.execute(query) == [["a", "1", 2], ["b", None, None]]

    trino_lake.execute('ALTER TABLE bronze.events RENAME COLUMN place."1st" TO first')
    trino_lake.execute('ALTER TABLE bronze.events ADD COLUMN place."1st" varchar')
    trino_lake.execute("INSERT INTO bronze.events (id, place) VALUES ('c', ROW('3', 4, 'x'))")
    place = pa.struct([("first", pa.int64()), ("zip code", pa.string()), ("1st", pa.string())])
    changed = {"zip code": "5", "first": 6, "1st": "y"}
    load_places(store, place, [("b", changed)], DAY_2)
    found = DuckDBEngine(store).query("SELECT id, place FROM bronze.events").read_all()
    assert {row["id"]: row["place"] for row in found.to_pylist()} == {
        "a": {"zip code": "1", "first": 2, "1st": None},
        "b": changed,
        "c": {"zip code": "3", "first": 4, "1st": "x"},
    }
    query = 'SELECT id, place.first, place."zip code", place."1st" FROM bronze.events ORDER BY id'
    rows = [["a", 2, "1", None], ["b", 6, "5", "y"], ["c", 4, "3", "x"]]
    assert trino_lake.execute(query) == rows


def load_places(store, kind, places, partition):
    schema = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("place", kind)])
    rows = [{"id": id_, "place": place} for id_, place in places]
    staged = store.stage(
        EVENTS,
        load_rows(schema, rows, partition, 0),
        merge(partition),
        schema=with_metadata(schema),
        partition_by=BY_PARTITION_DATE,
    )
    store.publish([staged])


def test_phlo_goes_on_from_what_trino_left(trino_lake, store):
    load(store, [(f"k{n}", n) for n in range(4)], merge(DAY_1))
    trino_lake.execute("DELETE FROM bronze.events WHERE id = 'k0'")
    trino_lake.execute("UPDATE bronze.events SET value = 20 WHERE id = 'k2'")
    load(store, [("k0", 100), ("k2", 20), ("k3", 30)], merge(DAY_2))
    expected = [("k0", 100), ("k1", 1), ("k2", 20), ("k3", 30)]
    assert everywhere(trino_lake, store) == expected


class TestTrinoWritesBetweenStageAndPublish:
    """A load is staged, Trino writes, the load is published: both count, in that order."""

    @dataclass(frozen=True)
    class Write:
        """What Trino does, and what that makes of rows ``{id: (value, day)}``."""

        statements: tuple[str, ...]
        effect: Callable

    WRITES = {
        "optimize": Write(("ALTER TABLE bronze.events EXECUTE optimize",), dict),
        "delete a row the load has": Write(
            ("DELETE FROM bronze.events WHERE id = 'k1'",), lambda rows: without(rows, "k1")
        ),
        "delete a neighbour": Write(
            ("DELETE FROM bronze.events WHERE id = 'k2'",), lambda rows: without(rows, "k2")
        ),
        "delete a neighbour, then optimize": Write(
            (
                "DELETE FROM bronze.events WHERE id = 'k2'",
                "ALTER TABLE bronze.events EXECUTE optimize",
            ),
            lambda rows: without(rows, "k2"),
        ),
        "delete in another partition": Write(
            ("DELETE FROM bronze.events WHERE id = 'm0'",), lambda rows: without(rows, "m0")
        ),
        "delete a partition": Write(
            ("DELETE FROM bronze.events WHERE _phlo_partition_date = DATE '2025-01-01'",),
            lambda rows: {k: r for k, r in rows.items() if r[1] != 1},
        ),
        "update a row the load has": Write(
            ("UPDATE bronze.events SET value = 77 WHERE id = 'k1'",),
            lambda rows: {**rows, "k1": (77, 1)},
        ),
        "update a neighbour": Write(
            ("UPDATE bronze.events SET value = 77 WHERE id = 'k3'",),
            lambda rows: {**rows, "k3": (77, 1)},
        ),
        "insert a key the load has": Write(
            (
                "INSERT INTO bronze.events (id, value, _phlo_partition_date)"
                " VALUES ('n0', 55, DATE '2025-01-01')",
            ),
            lambda rows: {**rows, "n0": (55, 1)},
        ),
        "insert another key": Write(
            ("INSERT INTO bronze.events (id, value) VALUES ('z', 66)",),
            lambda rows: {**rows, "z": (66, None)},
        ),
        "insert and delete it": Write(
            (
                "INSERT INTO bronze.events (id, value) VALUES ('n0', 66)",
                "DELETE FROM bronze.events WHERE id = 'n0'",
            ),
            dict,
        ),
        "add a column": Write(("ALTER TABLE bronze.events ADD COLUMN more varchar",), dict),
        "rename a column and back": Write(
            (
                "ALTER TABLE bronze.events RENAME COLUMN value TO other",
                "ALTER TABLE bronze.events RENAME COLUMN other TO value",
            ),
            dict,
        ),
    }

    LOADS = {
        "merge": (
            Merge(("id",), DAY_3),
            [("k1", 101), ("k4", 104), ("n0", 100)],
            lambda rows: {**rows, "k1": (101, 3), "k4": (104, 3), "n0": (100, 3)},
        ),
        "delete": (
            Merge(("id",), DAY_3, delete_column="gone"),
            [("k1", None), ("k4", None)],
            lambda rows: without(rows, "k1", "k4"),
        ),
        "replace": (
            Replace(DAY_1),
            [("k1", 101), ("n0", 100)],
            lambda rows: {
                **{k: r for k, r in rows.items() if r[1] != 1},
                "k1": (101, 1),
                "n0": (100, 1),
            },
        ),
        "append": (
            Append(DAY_3, on_rerun="append"),
            [("new", 1)],
            lambda rows: {**rows, "new": (1, 3)},
        ),
    }

    KINDS = (
        ("merge", True),
        ("merge", False),
        ("delete", True),
        ("replace", False),
        ("append", False),
    )

    @pytest.mark.parametrize(("load_kind", "marks_positions"), KINDS)
    @pytest.mark.parametrize("write", WRITES)
    def test_both_count(self, trino_lake, store, monkeypatch, write, load_kind, marks_positions):
        if marks_positions:
            monkeypatch.setattr(stage_module, "REWRITE_ROWS", -1)
            monkeypatch.setattr(stage_module, "MIN_TOUCHED_SHARE", 1)
        load(store, [(f"k{n}", n) for n in range(4)], merge(DAY_1))
        load(store, [("k4", 4), ("k5", 5)], merge(DAY_1), 1)
        load(store, [("m0", 0), ("m1", 1)], merge(DAY_2), 2)
        start = {f"k{n}": (n, 1) for n in range(6)} | {"m0": (0, 2), "m1": (1, 2)}
        how, pairs, effect = self.LOADS[load_kind]

        staged = stage(store, pairs, how, 3)
        for statement in self.WRITES[write].statements:
            trino_lake.execute(statement)
        try:
            store.publish([staged], rebase=True)
        except MovedHeadError:
            store.publish([stage(store, pairs, how, 3)], rebase=True)

        expected = effect(self.WRITES[write].effect(start))
        assert everywhere(trino_lake, store) == sorted((k, v) for k, (v, _) in expected.items())
        days = "SELECT id, day(_phlo_partition_date) FROM bronze.events"
        assert dict(trino_lake.execute(days)) == {k: day for k, (_, day) in expected.items()}

    def test_a_stage_with_a_new_column_is_refused_where_a_rename_came_and_went(
        self, trino_lake, store
    ):
        load(store, [("a", 1)], merge(DAY_1))
        wider = SCHEMA.append(pa.field("more", pa.string()))
        staged = stage(store, [("b", 2)], merge(DAY_2), 1, wider)
        for statement in self.WRITES["rename a column and back"].statements:
            trino_lake.execute(statement)
        with pytest.raises(MovedHeadError):
            store.publish([staged], rebase=True)
        store.publish([stage(store, [("b", 2)], merge(DAY_2), 1, wider)])
        assert everywhere(trino_lake, store) == [("a", 1), ("b", 2)]
        names = [field.name for field in store.load(EVENTS).schema]
        assert names[:2] == ["id", "value"]
        assert "more" in names


def without(rows, *keys):
    return {k: r for k, r in rows.items() if k not in keys}


@pytest.fixture
def dev(trino_lake, store):
    """The branch of the lake that Trino has as a second catalog."""
    load(store, [("a", 1), ("b", 1)], merge(DAY_1))
    store.create_branch(BRANCH)
    yield store.on_branch(BRANCH)
    store.delete_branch(BRANCH)


def test_merge_and_ctas_on_a_branch_leave_main_and_both_engines_see_the_publish(
    trino_lake, store, dev
):
    trino_lake.execute(
        f"MERGE INTO {BRANCH_CATALOG}.bronze.events AS t "
        "USING (VALUES ('a', 5), ('c', 5)) AS s (id, value) ON t.id = s.id "
        "WHEN MATCHED THEN UPDATE SET value = s.value "
        "WHEN NOT MATCHED THEN INSERT (id, value) VALUES (s.id, s.value)"
    )
    trino_lake.execute(
        f"CREATE TABLE {BRANCH_CATALOG}.bronze.doubled AS "
        f"SELECT id, 2 * value AS value FROM {BRANCH_CATALOG}.bronze.events"
    )
    assert everywhere(trino_lake, store) == [("a", 1), ("b", 1)]
    assert not store.exists(TableName("bronze", "doubled"))
    assert by_duckdb(dev) == by_pyiceberg(dev) == [("a", 5), ("b", 1), ("c", 5)]
    assert [change.table.name for change in store.publish_branch(BRANCH)] == ["doubled", "events"]
    assert everywhere(trino_lake, store) == [("a", 5), ("b", 1), ("c", 5)]
    doubled = trino_lake.execute("SELECT id, value FROM lake.bronze.doubled ORDER BY id")
    assert [tuple(row) for row in doubled] == [("a", 10), ("b", 2), ("c", 10)]
    trino_lake.execute("DELETE FROM lake.bronze.events WHERE id = 'b'")
    load(store, [("d", 7)], merge(DAY_2))
    assert everywhere(trino_lake, store) == [("a", 5), ("c", 5), ("d", 7)]


def test_trino_reads_on_a_branch_what_was_rebased_there(trino_lake, store, dev):
    load(dev, [("a", 5)], merge(DAY_2), extraction=1)
    trino_lake.execute("DELETE FROM lake.bronze.events WHERE id = 'b'")
    load(store, [("d", 7)], merge(DAY_3), extraction=2)
    assert [change.table for change in store.update_branch(BRANCH).rebased] == [EVENTS]
    rows = trino_lake.execute(f"SELECT id, value FROM {BRANCH_CATALOG}.bronze.events ORDER BY id")
    assert [tuple(row) for row in rows] == [("a", 5), ("d", 7)]
    store.publish_branch(BRANCH)
    assert everywhere(trino_lake, store) == [("a", 5), ("d", 7)]


def test_trino_reads_and_writes_a_lake_that_was_migrated(trino_lake, store, tmp_path, monkeypatch):
    monkeypatch.setattr(stage_module, "REWRITE_ROWS", 0)
    folder = tmp_path / ".phlo"
    folder.mkdir()
    catalog = load_catalog(
        "lake",
        type="sql",
        uri=f"sqlite:///{folder}/catalog.db",
        warehouse=f"file://{folder}/warehouse",
    )
    embedded = IcebergStore(catalog)
    load(embedded, [(f"k{n}", n) for n in range(9)], merge(DAY_1))
    assert load(embedded, [("k7", -7)], merge(DAY_2), 1).strategy == "merge-on-read"
    (migrated,) = store.migrate(folder)
    assert (migrated.action, migrated.rows) == ("copied", 9)
    rows = [(f"k{n}", n if n != 7 else -7) for n in range(9)]
    assert by_trino(trino_lake) == by_duckdb(store) == rows
    first, _ = (
        s[0]
        for s in trino_lake.execute(
            'SELECT snapshot_id FROM bronze."events$snapshots" ORDER BY committed_at'
        )
    )
    (before,) = trino_lake.execute(
        f"SELECT value FROM bronze.events FOR VERSION AS OF {first} WHERE id = 'k7'"
    )
    assert before == [7]
    trino_lake.execute("DELETE FROM bronze.events WHERE id = 'k0'")
    trino_lake.execute("ALTER TABLE bronze.events EXECUTE optimize")
    assert by_trino(trino_lake) == by_duckdb(store) == rows[1:]
    load(store, [("k1", 10)], merge(DAY_3), 2)
    assert by_trino(trino_lake) == [("k1", 10), *rows[2:]]
    assert by_duckdb(embedded) == rows
    catalog.engine.dispose()
