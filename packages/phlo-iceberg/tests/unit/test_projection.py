"""Columns as data files hold them: fields inside, files of others, all against plain Python."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import hypothesis.strategies as st
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from phlo.errors import InvalidNameError, UnsupportedTableError, UnsupportedTypeError
from phlo.lake import open_lake
from phlo.sql import Sql, sql
from phlo_iceberg.read.connection import connect
from phlo_iceberg.read.duckdb_types import converted
from phlo_iceberg.store import IcebergStore
from phlo_iceberg.upkeep.policy import Policy
from phlo_iceberg.write import stage
from phlo_testing.stores import DAY_1, DAY_2, EVENTS, merge, publish_rows
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.schema import Schema
from pyiceberg.table.name_mapping import create_mapping_from_schema
from pyiceberg.typedef import Record
from pyiceberg.types import (
    DateType,
    DoubleType,
    FloatType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
)

NAMES = ["city", "zip code", "1st", "@type", 'a"b', "é", "key", "x0", "select"]
PROMOTED = {IntegerType(): LongType(), FloatType(): DoubleType()}
VALUES = {
    IntegerType(): st.integers(-(2**31), 2**31 - 1),
    FloatType(): st.floats(allow_nan=False, width=32),
    StringType(): st.text(max_size=3),
}


class Types:
    """Draws types whose ids are all different."""

    def __init__(self, draw):
        self.draw, self.last_id = draw, 0

    def new_id(self):
        self.last_id += 1
        return self.last_id

    def any(self, depth=0):
        kinds = ["leaf", "struct", "list", "map"] if depth < 3 else ["leaf"]
        match self.draw(st.sampled_from(kinds)):
            case "struct":
                return self.struct(depth)
            case "list":
                return ListType(self.new_id(), self.any(depth + 1), element_required=False)
            case "map":
                key, value = self.new_id(), self.new_id()
                return MapType(key, StringType(), value, self.any(depth + 1), value_required=False)
        return self.draw(st.sampled_from(list(VALUES)))

    def struct(self, depth):
        names = self.draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
        return StructType(*(self.field(name, self.any(depth + 1)) for name in names))

    def field(self, name, kind):
        return NestedField(self.new_id(), name, kind, required=False)

    def later(self, kind):
        """What becomes of a type: fields renamed, dropped, added, moved; numbers widened."""
        match kind:
            case StructType():
                return self.later_struct(kind)
            case ListType():
                return ListType(
                    kind.element_id, self.later(kind.element_type), element_required=False
                )
            case MapType():
                value = self.later(kind.value_type)
                return MapType(
                    kind.key_id, kind.key_type, kind.value_id, value, value_required=False
                )
        return PROMOTED.get(kind, kind) if self.draw(st.booleans()) else kind

    def later_struct(self, kind):
        """Names stay, are swapped, or become others, of fields that are gone too."""
        kept = list(kind.fields)[self.draw(st.integers(0, 1)) :]
        names = [f.name for f in kept]
        ways = st.sampled_from([names, names[::-1]]) | st.permutations(NAMES)
        fields = [
            NestedField(f.field_id, name, self.later(f.field_type), required=False)
            for f, name in zip(kept, self.draw(ways), strict=False)
        ]
        taken = {f.name for f in fields}
        if not fields or self.draw(st.booleans()):
            free = next(n for n in (kind.fields[0].name, *NAMES) if n not in taken)
            fields.append(self.field(free, self.draw(st.sampled_from(list(VALUES)))))
        return StructType(*(fields if self.draw(st.booleans()) else fields[::-1]))


def values(kind):
    """Values of a type as Arrow takes and gives them."""
    match kind:
        case StructType():
            some = st.fixed_dictionaries({f.name: values(f.field_type) for f in kind.fields})
        case ListType():
            some = st.lists(values(kind.element_type), max_size=2)
        case MapType():
            items = st.tuples(st.text(max_size=2), values(kind.value_type))
            some = st.lists(items, max_size=2, unique_by=lambda item: item[0])
        case _:
            some = VALUES[kind]
    return st.none() | some


def by_id(value, held, wanted):
    """The oracle: a value as another type."""
    if value is None:
        return None
    match held:
        case StructType():
            there = {f.field_id: f for f in held.fields}
            return {
                f.name: by_id(value[old.name], old.field_type, f.field_type)
                if (old := there.get(f.field_id))
                else None
                for f in wanted.fields
            }
        case ListType():
            return [by_id(v, held.element_type, wanted.element_type) for v in value]
        case MapType():
            return [(k, by_id(v, held.value_type, wanted.value_type)) for k, v in value]
    return value


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_values_are_found_by_id_whatever_became_of_their_names(data):
    types = Types(data.draw)
    held = types.struct(depth=0)
    wanted = types.later(held)
    given_values = data.draw(st.lists(values(held), min_size=1, max_size=4))
    found = _converted_by_duckdb(given_values, held, wanted)
    assert found == [by_id(v, held, wanted) for v in given_values]


def _converted_by_duckdb(given_values, held, wanted):
    arrow = schema_to_pyarrow(Schema(NestedField(1000, "c", held)), include_field_ids=False)
    connection = connect()
    connection.register("held", pa.table([pa.array(given_values, arrow.field(0).type)], arrow))
    rows = connection.sql(sql("SELECT {v} AS c FROM held", v=converted(Sql("c"), held, wanted)))
    return rows.to_arrow_table()["c"].to_pylist()


PLACE = pa.struct([("city", pa.string()), ("zip", pa.string())])
BEFORE_1970 = datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
EVERYTHING_SMALL = Policy(min_small_files=2, deleted_share=0)


class Tables:
    """A store, and its table as pyiceberg and the engine read it."""

    @pytest.fixture
    def store(self, phlo_environment):
        return IcebergStore(open_lake().store.catalog, EVERYTHING_SMALL)

    def load(self, store, rows, schema, partition=DAY_1, extraction=0):
        how = merge(partition)
        return publish_rows(store, rows, how, schema=schema, extraction=extraction)

    def rows(self, store, *names):
        """The table by id, on which both readers agree."""
        scan = store.catalog.load_table("bronze.events").scan(selected_fields=("id", *names))
        columns = ", ".join(f'"{name}"' for name in ("id", *names))
        by_engine = open_lake().engine.query(f"SELECT {columns} FROM bronze.events")
        found = {row.pop("id"): row for row in by_engine.read_all().to_pylist()}
        assert found == {row.pop("id"): row for row in scan.to_arrow().to_pylist()}
        return found

    def evolve(self, store):
        return store.catalog.load_table("bronze.events").update_schema()


class TestFieldsInside(Tables):
    def schema(self, kind):
        return pa.schema([("id", pa.string()), ("value", pa.int64()), ("place", kind)])

    def test_names_that_files_cannot_have_keep_their_values(self, store):
        odd = pa.struct([("zip code", pa.string()), ("1st", pa.int64()), ("é", pa.string())])
        kind = pa.struct([("@list", pa.list_(odd)), ("a-b", odd)])
        inner = {"zip code": "1", "1st": 2, "é": None}
        rows = [{"id": "a", "place": {"@list": [inner, None], "a-b": inner}}, {"id": "b"}]
        self.load(store, rows, self.schema(kind))
        again = self.load(store, rows, self.schema(kind), extraction=1)
        assert (again.account.unchanged, again.snapshot_id) == (2, None)
        self.load(store, [{"id": "c", "place": rows[0]["place"]}], self.schema(kind), extraction=2)
        assert len(store.maintain(EVENTS).compacted_files) == 2
        assert self.rows(store, "place") == {
            "a": {"place": rows[0]["place"]},
            "b": {"place": None},
            "c": {"place": rows[0]["place"]},
        }

    def test_a_renamed_field_keeps_its_values(self, store):
        self.load(store, [{"id": "a", "place": {"city": "Ulm", "zip": "1"}}], self.schema(PLACE))
        with self.evolve(store) as update:
            update.rename_column("place.city", "town")
            update.add_column(("place", "street"), StringType())
        kind = pa.struct([("town", pa.string()), ("zip", pa.string()), ("street", pa.string())])
        new = {"town": "Bonn", "zip": "2", "street": "x"}
        self.load(store, [{"id": "b", "place": new}], self.schema(kind), DAY_2)
        old = {"town": "Ulm", "zip": "1", "street": None}
        assert self.rows(store, "place") == {"a": {"place": old}, "b": {"place": new}}
        again = self.load(store, [{"id": "a", "place": old}], self.schema(kind), DAY_1, 1)
        assert again.account.unchanged == 1

    def test_a_field_that_took_the_name_of_another_is_not_taken_for_it(self, store):
        self.load(store, [{"id": "a", "place": {"city": "Ulm", "zip": "1"}}], self.schema(PLACE))
        with self.evolve(store) as update:
            update.delete_column("place.zip")
            update.rename_column("place.city", "zip")
        with self.evolve(store) as update:
            update.add_column(("place", "city"), StringType())
        assert self.rows(store, "place") == {"a": {"place": {"zip": "Ulm", "city": None}}}

    def test_a_field_with_a_default_has_it_in_older_rows(self, store):
        self.load(store, [{"id": "a", "place": {"city": "Ulm", "zip": "1"}}], self.schema(PLACE))
        with self.evolve(store) as update:
            update.add_column("count", LongType(), default_value=5)
            update.add_column("day", DateType(), default_value="2025-01-02")
            update.add_column(("place", "note"), StringType(), default_value="it's")
        wider = pa.schema([*self.schema(PLACE), ("more", pa.string())])
        kind = pa.struct([*PLACE, ("note", pa.string())])
        wider = wider.set(2, pa.field("place", kind))
        self.load(store, [{"id": "b"}], wider, DAY_2)
        place = {"city": "Ulm", "zip": "1", "note": "it's"}
        assert self.rows(store, "count", "day", "place") == {
            "a": {"count": 5, "day": date(2025, 1, 2), "place": place},
            "b": {"count": None, "day": None, "place": None},
        }


TWO_VALUES = [
    (pa.bool_(), (True, False)),
    (pa.int8(), (1, -2)),
    (pa.uint32(), (1, 2**32 - 1)),
    (pa.uint64(), (Decimal(1), Decimal(2**64 - 1))),
    (pa.int64(), (2**63 - 1, -(2**63))),
    (pa.float32(), (0.5, float("inf"))),
    (pa.float64(), (0.1, float("-inf"))),
    (pa.decimal128(38, 10), (Decimal("1234567890.0000000001"), Decimal("-0.5"))),
    (pa.date32(), (date(1, 1, 1), date(9999, 12, 31))),
    (pa.date64(), (date(1969, 12, 31), date(2025, 1, 1))),
    (pa.time32("s"), (time(0), time(23, 59, 59))),
    (pa.time64("us"), (time(0, 0, 0, 1), time(23, 59, 59, 999999))),
    (pa.timestamp("s"), (datetime(1969, 12, 31, 23, 59, 59), datetime(2025, 1, 1))),
    (pa.timestamp("us", tz="UTC"), (BEFORE_1970, datetime(2025, 1, 1, tzinfo=UTC))),
    (pa.timestamp("us", tz="Europe/Berlin"), (BEFORE_1970, datetime(2025, 1, 1, tzinfo=UTC))),
    (pa.binary(), (b"\x00\xff", b"")),
    (pa.binary(2), (b"ab", b"\x00\x01")),
    (pa.uuid(), (UUID(int=1), UUID(int=2**127))),
    (pa.large_string(), ("", "' OR 1=1 --")),
    (pa.dictionary(pa.int32(), pa.string()), ("ü", "z")),
]


class TestTypes(Tables):
    """Keys and contents of every type are the same to a second load, and to pyiceberg."""

    @pytest.mark.parametrize(("kind", "pair"), TWO_VALUES, ids=lambda v: str(v).replace(" ", ""))
    def test_keys(self, store, kind, pair):
        schema = pa.schema([("id", kind), ("value", pa.int64())])
        rows = [{"id": key, "value": n} for n, key in enumerate(pair)]
        assert self.load(store, rows, schema).account.inserted == 2
        again = self.load(store, [rows[0], rows[1] | {"value": 7}], schema, extraction=1).account
        assert (again.unchanged, again.updated) == (1, 1)
        assert self._by_pyiceberg(store, "id", "value") == sorted(zip(pair, (0, 7), strict=True))

    def test_keys_whose_bounds_cannot_be_cut_short(self, store):
        """The next character after the sixteenth is none, or there is no next."""
        keys = ["a" * 15 + "\ud7ffbc", "a" * 15 + "\ud7ff", "\U0010ffff" * 17, "z" * 40]
        schema = pa.schema([("id", pa.string()), ("value", pa.int64())])
        for n, key in enumerate(keys):
            self.load(store, [{"id": key, "value": n}], schema, extraction=n)
        again = self.load(store, [{"id": key, "value": 9} for key in keys], schema, extraction=9)
        assert again.account.updated == 4
        assert self._by_pyiceberg(store, "id", "value") == [(key, 9) for key in sorted(keys)]

    def test_contents(self, store):
        kinds = {f"c{n}": kind for n, (kind, _) in enumerate(TWO_VALUES)}
        schema = pa.schema([("id", pa.string()), *kinds.items()])
        one, two = (
            {f"c{n}": pair[which] for n, (_, pair) in enumerate(TWO_VALUES)} for which in (0, 1)
        )
        rows = [{"id": "a"} | one, {"id": "b"} | two]
        self.load(store, rows, schema)
        again = self.load(store, [rows[0], {"id": "b"} | one], schema, extraction=1).account
        assert (again.unchanged, again.updated) == (1, 1)
        found = self._by_pyiceberg(store, "id", *kinds)
        assert found == [("a", *one.values()), ("b", *one.values())]

    @pytest.mark.parametrize(
        ("kind", "pair"),
        # pyarrow makes no lists of UUIDs from Python's.
        [(kind, pair) for kind, pair in TWO_VALUES if kind != pa.uuid()],
        ids=lambda v: str(v).replace(" ", ""),
    )
    def test_contents_inside(self, store, kind, pair):
        """Of a list of structs, and of a map."""
        inside = pa.list_(pa.struct([("x", kind)]))
        columns = [("id", pa.string()), ("one", inside), ("two", pa.map_(pa.string(), kind))]
        one, two = ({"one": [{"x": v}, {"x": None}], "two": [("k", v)]} for v in pair)
        rows = [{"id": "a"} | one, {"id": "b"} | two]
        self.load(store, rows, pa.schema(columns))
        again = self.load(store, [rows[0], {"id": "b"} | one], pa.schema(columns), extraction=1)
        assert (again.account.unchanged, again.account.updated) == (1, 1)
        found = self._by_pyiceberg(store, "id", "one", "two")
        assert found == [("a", *one.values()), ("b", *one.values())]

    def _by_pyiceberg(self, store, *names):
        rows = store.catalog.load_table("bronze.events").scan().to_arrow().to_pylist()
        return sorted(tuple(row[name] for name in names) for row in rows)

    @pytest.mark.parametrize(
        "kind", [pa.duration("s"), pa.list_(pa.float16()), pa.struct([]), pa.decimal256(50, 2)]
    )
    def test_a_type_that_iceberg_lacks_is_named(self, store, kind):
        schema = pa.schema([("id", pa.string()), ("span", kind)])
        with pytest.raises(UnsupportedTypeError, match="'span' of bronze.events"):
            self.load(store, [{"id": "a"}], schema)


class TestNamesThatDifferInCaseAlone(Tables):
    """DuckDB would take one column's values for the other's."""

    SCHEMA = pa.schema([("id", pa.string()), ("value", pa.int64())])

    @pytest.mark.parametrize(
        "field",
        [
            pa.field("VALUE", pa.int64()),
            pa.field("place", pa.struct([("city", pa.string()), ("City", pa.string())])),
        ],
    )
    def test_a_load_that_brings_them_is_refused(self, store, field):
        self.load(store, [{"id": "a", "value": 1}], self.SCHEMA)
        with pytest.raises(InvalidNameError, match="case alone"):
            self.load(store, [{"id": "b", "value": 2}], self.SCHEMA.append(field), DAY_2)
        assert self.rows(store, "value") == {"a": {"value": 1}}

    def test_a_table_of_another_writer_that_has_them_is_refused(self, store):
        self.load(store, [{"id": "a", "value": 1}], self.SCHEMA)
        with self.evolve(store) as update:
            update.add_column("Value", LongType())
        with pytest.raises(InvalidNameError, match="case alone") as told:
            open_lake().engine.query("SELECT id FROM bronze.events")
        assert told.value.got == "['Value', 'value']"


class TestFilesOfOthers(Tables):
    """Files that were added as they are, and carry no field ids."""

    SCHEMA = pa.schema([("id", pa.string()), ("value", pa.int64())])

    @pytest.fixture
    def folder(self, phlo_environment):
        return Path(phlo_environment, "others [1]")

    @pytest.fixture
    def store(self, phlo_environment):
        store = IcebergStore(open_lake().store.catalog, EVERYTHING_SMALL)
        self.load(store, [{"id": "phlo's", "value": 0}], self.SCHEMA)
        return store

    def add(self, store, folder, table):
        path = folder / "x.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)
        handle = store.catalog.load_table("bronze.events")
        with handle.transaction() as transaction:
            if "schema.name-mapping.default" not in handle.properties:
                mapping = create_mapping_from_schema(handle.schema())
                entry = {"schema.name-mapping.default": mapping.model_dump_json()}
                transaction.set_properties(entry)
            with transaction.update_snapshot().fast_append() as append:
                append.append_data_file(self._of_day_1(path, table, handle))

    def _of_day_1(self, path, table, handle):
        file = DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=f"file://{path}",
            file_format=FileFormat.PARQUET,
            partition=Record((DAY_1.date - date(1970, 1, 1)).days),
            record_count=table.num_rows,
            file_size_in_bytes=path.stat().st_size,
        )
        file.spec_id = handle.spec().spec_id
        return file

    def test_they_are_found_by_names_and_by_partition(self, store, folder):
        """A file of a Hive table does not hold what its folder says."""
        self.add(store, folder, pa.table({"value": pa.array([1, 2], "int32"), "id": ["a", "b"]}))
        assert self.rows(store, "value", "_phlo_partition_date", "_phlo_run_id") == {
            "phlo's": self._row(0, "run-0"),
            "a": self._row(1, None),
            "b": self._row(2, None),
        }

    def _row(self, value, run):
        return {"value": value, "_phlo_partition_date": DAY_1.date, "_phlo_run_id": run}

    def test_a_column_renamed_since_is_found_by_the_name_it_had(self, store, folder):
        self.add(store, folder, pa.table({"id": ["a"], "value": [1], "unknown": [9]}))
        with self.evolve(store) as update:
            update.rename_column("value", "amount")
        found = open_lake().engine.query("SELECT id, amount FROM bronze.events").read_all()
        amounts = {r["id"]: r["amount"] for r in found.to_pylist()}  # pyiceberg refuses "unknown"
        assert amounts == {"phlo's": 0, "a": 1}

    def test_two_names_of_one_column_in_a_file_are_refused(self, store, folder):
        """Which of them is meant was lost when the column took the name of the other."""
        self.add(store, folder, pa.table({"id": ["a"], "value": [1], "amount": [9]}))
        with self.evolve(store) as update:
            update.rename_column("value", "amount")
        with pytest.raises(UnsupportedTableError, match="two are one column's"):
            open_lake().engine.query("SELECT id FROM bronze.events")

    @pytest.mark.parametrize("rewrite_rows", [0, 250_000])
    def test_their_rows_are_merged_and_joined_as_any(
        self, store, folder, rewrite_rows, monkeypatch
    ):
        monkeypatch.setattr(stage, "REWRITE_ROWS", rewrite_rows)
        ids = [f"k{n}" for n in range(20)]
        self.add(store, folder, pa.table({"id": ids, "value": [1] * 20}))
        changed = [{"id": "k3", "value": 3}, {"id": "k4", "value": 1}, {"id": "new", "value": 5}]
        account = self.load(store, changed, self.SCHEMA, DAY_2).account
        assert (account.inserted, account.updated, account.unchanged) == (1, 1, 1)
        expected = {i: {"value": 1} for i in ids} | {
            "phlo's": {"value": 0},
            "k3": {"value": 3},
            "new": {"value": 5},
        }
        assert self.rows(store, "value") == expected
        assert store.maintain(EVENTS).compacted_files
        assert self.rows(store, "value") == expected

    def test_fields_inside_are_found_by_names_too(self, store, folder):
        with self.evolve(store) as update:
            update.add_column("place", StructType(NestedField(1, "zip code", StringType())))
        place = pa.array([{"zip code": "1"}, None])
        self.add(store, folder, pa.table({"id": ["a", "b"], "place": place}))
        with self.evolve(store) as update:
            update.rename_column("place.zip code", "zip")
        assert self.rows(store, "place") == {
            "phlo's": {"place": None},
            "a": {"place": {"zip": "1"}},
            "b": {"place": None},
        }

    def test_columns_may_have_names_of_duckdb(self, store, folder):
        with self.evolve(store) as update:
            update.add_column("file_row_number", LongType())
            update.add_column("filename", StringType())
        table = pa.table({"filename": ["f"], "id": ["a"], "file_row_number": [7]})
        self.add(store, folder, table)
        found = self.rows(store, "file_row_number", "filename")
        assert found["a"] == {"file_row_number": 7, "filename": "f"}

    def test_names_that_differ_in_case_alone_are_refused(self, store, folder):
        with self.evolve(store) as update:
            update.add_column("ID", StringType())
        self.add(store, folder, pa.table({"id": ["a"], "ID": ["b"]}))
        with self.evolve(store) as update:
            update.rename_column("ID", "other")
        with pytest.raises(UnsupportedTableError, match=r"\['ID', 'id'\] differ in case alone"):
            open_lake().engine.query("SELECT id FROM bronze.events")
        with pytest.raises(UnsupportedTableError):
            self.load(store, [{"id": "a", "value": 2}], self.SCHEMA)
