"""A conformance suite for query engines: what every ``QueryEngine`` must answer alike.

A test module inherits it and provides the fixtures ``store`` and ``engine``, the engine over the
tables of that store.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from phlo.errors import QueryError, TableNotFoundError
from phlo.names import TableName
from phlo.values import Append, Replace

if TYPE_CHECKING:
    from phlo.protocols import QueryEngine, Staged, TableStore

ITEMS = TableName("bronze", "items")
SCHEMA = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("note", pa.string())])

_UTC = pa.timestamp("us", "UTC")
_PLACE = pa.struct([("x", pa.int32()), ("Zip code", pa.string())])

VALUES: dict[str, tuple[pa.DataType, Any]] = {
    "1": (pa.int32(), 1),
    "CAST(-128 AS tinyint)": (pa.int8(), -128),
    "CAST(32767 AS smallint)": (pa.int16(), 32767),
    "9223372036854775807": (pa.int64(), 2**63 - 1),
    "true": (pa.bool_(), True),
    "0.1e0": (pa.float64(), 0.1),
    "1e300 * -1e10": (pa.float64(), -math.inf),
    "CAST(0.1 AS real)": (pa.float32(), 0.10000000149011612),
    "infinity()": (pa.float64(), math.inf),
    "DECIMAL '1.50'": (pa.decimal128(3, 2), Decimal("1.50")),
    "DECIMAL '-99999999999999999999999999999999.999999'": (
        pa.decimal128(38, 6),
        Decimal("-99999999999999999999999999999999.999999"),
    ),
    "'naïve 😀, it''s'": (pa.string(), "naïve 😀, it's"),
    "''": (pa.string(), ""),
    "CAST('a' AS char(3))": (pa.string(), "a  "),
    "X'00FF10'": (pa.binary(), b"\x00\xff\x10"),
    "X''": (pa.binary(), b""),
    "DATE '1969-12-31'": (pa.date32(), date(1969, 12, 31)),
    "DATE '9999-12-31'": (pa.date32(), date(9999, 12, 31)),
    "TIME '23:59:59.123456'": (pa.time64("us"), time(23, 59, 59, 123456)),
    "TIME '10:00:00'": (pa.time64("us"), time(10)),
    "TIMESTAMP '0001-01-01 00:00:00'": (pa.timestamp("us"), datetime(1, 1, 1)),
    "TIMESTAMP '1969-12-31 23:59:59.999999'": (
        pa.timestamp("us"),
        datetime(1969, 12, 31, 23, 59, 59, 999999),
    ),
    "TIMESTAMP '2025-01-02 03:04:05.120 UTC'": (
        _UTC,
        datetime(2025, 1, 2, 3, 4, 5, 120000, UTC),
    ),
    "TIMESTAMP '2025-07-02 03:04:05 Europe/Berlin'": (
        _UTC,
        datetime(2025, 7, 2, 1, 4, 5, tzinfo=UTC),
    ),
    "TIMESTAMP '2025-01-02 03:04:05 -02:30'": (_UTC, datetime(2025, 1, 2, 5, 34, 5, tzinfo=UTC)),
    "UUID '12151fd2-7586-11e9-8f9e-2a86e4085a59'": (
        pa.string(),
        "12151fd2-7586-11e9-8f9e-2a86e4085a59",
    ),
    "INTERVAL '2' DAY": (
        pa.month_day_nano_interval(),
        pa.MonthDayNano([0, 0, 172_800_000_000_000]),
    ),
    "INTERVAL '-1' SECOND": (
        pa.month_day_nano_interval(),
        pa.MonthDayNano([0, 0, -1_000_000_000]),
    ),
    "INTERVAL '14' MONTH": (pa.month_day_nano_interval(), pa.MonthDayNano([14, 0, 0])),
    "ARRAY[1, NULL, 3]": (pa.list_(pa.int32()), [1, None, 3]),
    "ARRAY[DATE '2025-01-02']": (pa.list_(pa.date32()), [date(2025, 1, 2)]),
    "ARRAY[TIMESTAMP '2025-01-02 03:04:05 UTC']": (
        pa.list_(_UTC),
        [datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)],
    ),
    "ARRAY[X'01', X'']": (pa.list_(pa.binary()), [b"\x01", b""]),
    "MAP(ARRAY['b'], ARRAY[1.5])": (
        pa.map_(pa.string(), pa.decimal128(2, 1)),
        [("b", Decimal("1.5"))],
    ),
    "MAP(ARRAY[7], ARRAY[CAST(NULL AS varchar)])": (pa.map_(pa.int32(), pa.string()), [(7, None)]),
    "MAP(ARRAY[true], ARRAY[ARRAY[0e0]])": (
        pa.map_(pa.bool_(), pa.list_(pa.float64())),
        [(True, [0.0])],
    ),
    "MAP(ARRAY[DATE '2025-01-02'], ARRAY['x'])": (
        pa.map_(pa.date32(), pa.string()),
        [(date(2025, 1, 2), "x")],
    ),
    "MAP(ARRAY[DECIMAL '1.50'], ARRAY['x'])": (
        pa.map_(pa.decimal128(3, 2), pa.string()),
        [(Decimal("1.50"), "x")],
    ),
    "MAP(ARRAY[TIMESTAMP '2025-01-02 03:04:05.1'], ARRAY['x'])": (
        pa.map_(pa.timestamp("us"), pa.string()),
        [(datetime(2025, 1, 2, 3, 4, 5, 100000), "x")],
    ),
    """CAST(ROW(1, 'a') AS ROW(x integer, "Zip code" varchar))""": (
        _PLACE,
        {"x": 1, "Zip code": "a"},
    ),
    """ARRAY[CAST(ROW(1, 'a') AS ROW(x integer, "Zip code" varchar)), NULL]""": (
        pa.list_(_PLACE),
        [{"x": 1, "Zip code": "a"}, None],
    ),
    "ROW(1, X'02')": (
        pa.struct([("field0", pa.int32()), ("field1", pa.binary())]),
        {"field0": 1, "field1": b"\x02"},
    ),
    "CAST(NULL AS bigint)": (pa.int64(), None),
    "CAST(NULL AS ROW(a decimal(5, 1)))": (pa.struct([("a", pa.decimal128(5, 1))]), None),
    "NULL": (pa.int32(), None),
}
"""Expressions, each with its Arrow type and value."""

PARAMETERS: list[tuple[Any, pa.DataType]] = [
    (None, pa.string()),
    (True, pa.bool_()),
    (-7, pa.int64()),
    (0.1, pa.float64()),
    (math.inf, pa.float64()),
    (Decimal("-1.50"), pa.decimal128(38, 2)),
    ("it's ? -- é", pa.string()),
    (b"\x00\xff", pa.binary()),
    (date(1969, 12, 31), pa.date32()),
    (datetime(2025, 1, 2, 3, 4, 5, 678901), pa.timestamp("us")),
    (datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC), _UTC),
]
"""Values of parameters, each with the type that it has in SQL."""


def stage_items(store: TableStore, notes: dict[int, str | None], how: Any = None) -> Staged:
    """Stage rows of ``bronze.items``; by default they replace what is there."""
    rows = pa.table({"id": list(notes), "note": list(notes.values())}, schema=SCHEMA)
    return store.stage(ITEMS, ds.dataset(rows), how or Replace(), schema=SCHEMA)


def publish_items(store: TableStore, notes: dict[int, str | None], how: Any = None) -> int | None:
    """Publish rows of ``bronze.items``, and return the snapshot."""
    (published,) = store.publish([stage_items(store, notes, how)])
    return published.snapshot_id


class QueryEngineConformance:
    """Inherit this, and provide fixtures ``store`` and ``engine``."""

    # -- values

    def test_every_type_arrives_with_its_exact_value(self, engine: QueryEngine) -> None:
        columns = ", ".join(f"{text} AS v{n}" for n, text in enumerate(VALUES))
        table = engine.query(f"SELECT {columns}").read_all()
        assert table.num_rows == 1
        answers = {
            text: (field.type, table.column(n)[0].as_py())
            for n, (text, field) in enumerate(zip(VALUES, table.schema, strict=True))
        }
        expected = {
            text: (kind, pa.scalar(value, kind).as_py()) for text, (kind, value) in VALUES.items()
        }
        assert answers == expected

    def test_nan_and_negative_zero_arrive(self, engine: QueryEngine) -> None:
        table = engine.query("SELECT nan() AS x, -0e0 AS y, ARRAY[nan()] AS z").read_all()
        (row,) = table.to_pylist()
        assert math.isnan(row["x"])
        assert math.isnan(row["z"][0])
        assert math.copysign(1, row["y"]) == -1

    def test_a_query_without_rows_has_its_columns(self, engine: QueryEngine) -> None:
        table = engine.query("SELECT 1 AS a, 'x' AS b WHERE 1 = 0").read_all()
        assert table.schema.names == ["a", "b"]
        assert table.schema.types == [pa.int32(), pa.string()]
        assert table.num_rows == 0

    def test_many_rows_are_streamed_in_batches(self, engine: QueryEngine) -> None:
        query = (
            "SELECT a.n * 1000 + b.n AS n FROM UNNEST(sequence(0, 249)) AS a(n)"
            " CROSS JOIN UNNEST(sequence(0, 999)) AS b(n)"
        )
        batches = list(engine.query(query))
        assert len(batches) > 1
        numbers = pa.Table.from_batches(batches).column("n").to_pylist()
        assert sorted(numbers) == list(range(250_000))

    def test_a_reader_that_is_left_early_leaves_the_engine_usable(
        self, engine: QueryEngine
    ) -> None:
        reader = engine.query("SELECT n FROM UNNEST(sequence(1, 9999)) AS t(n) CROSS JOIN "
                              "UNNEST(sequence(1, 99)) AS u(m)")  # fmt: skip
        next(reader)
        del reader
        assert engine.query("SELECT 1 AS one").read_all().to_pylist() == [{"one": 1}]

    # -- parameters

    def test_parameters_keep_value_and_type(self, engine: QueryEngine) -> None:
        columns = ", ".join(f"? AS v{n}" for n in range(len(PARAMETERS)))
        values = [value for value, _ in PARAMETERS]
        table = engine.query(f"SELECT {columns}, '?' AS no", parameters=values).read_all()
        assert [table.column(n)[0].as_py() for n in range(len(values))] == values
        assert table.schema.types == [*(kind for _, kind in PARAMETERS), pa.string()]
        assert table.column("no")[0].as_py() == "?"

    def test_parameters_filter_and_limit_rows(self, store: TableStore, engine: QueryEngine) -> None:
        publish_items(store, {1: "a", 2: "b", 3: "c"})
        query = "SELECT id FROM bronze.items WHERE note >= ? ORDER BY id LIMIT ?"
        rows = engine.query(query, parameters=["b", 1]).read_all().to_pylist()
        assert rows == [{"id": 2}]

    def test_a_parameter_without_a_value_is_named(self, engine: QueryEngine) -> None:
        with pytest.raises(QueryError, match="more parameters than values"):
            engine.query("SELECT ? AS a, ? AS b", parameters=[1])

    # -- tables and their states

    def test_rows_of_a_table_are_those_published(
        self, store: TableStore, engine: QueryEngine
    ) -> None:
        publish_items(store, {1: "a", 2: None})
        query = "SELECT id, note FROM bronze.items ORDER BY id"
        table = engine.query(query).read_all()
        assert table.to_pylist() == [{"id": 1, "note": "a"}, {"id": 2, "note": None}]
        assert table.schema.types == [pa.int64(), pa.string()]
        assert engine.columns(ITEMS).names == ["id", "note"]

    @pytest.mark.parametrize("catalog", ["lake", "iceberg"])
    def test_a_name_may_begin_with_the_catalog(
        self, store: TableStore, engine: QueryEngine, catalog: str
    ) -> None:
        publish_items(store, {1: "a"})
        query = f"SELECT i.id FROM {catalog}.bronze.items AS i"
        assert engine.query(query).read_all().to_pylist() == [{"id": 1}]

    def test_an_earlier_snapshot_is_read(self, store: TableStore, engine: QueryEngine) -> None:
        first = publish_items(store, {1: "a"})
        publish_items(store, {2: "b"}, Append())
        query = (
            "WITH items AS (SELECT id FROM bronze.items AS i) "
            "SELECT count(*) AS n FROM items JOIN bronze.items AS j ON j.id = items.id"
        )
        assert engine.query(query).read_all().to_pylist() == [{"n": 2}]
        pinned = engine.query(query, at={ITEMS: str(first)}).read_all()
        assert pinned.to_pylist() == [{"n": 1}]

    def test_a_branch_of_a_table_is_read(self, store: TableStore, engine: QueryEngine) -> None:
        publish_items(store, {1: "a"})
        staged = stage_items(store, {2: "b"}, Append())
        if not store.keep(staged, "audit/items/1"):
            pytest.skip("the store keeps no branches")
        query = "SELECT id FROM bronze.items ORDER BY id"
        kept = engine.query(query, at={ITEMS: "audit/items/1"}).read_all()
        assert kept.to_pylist() == [{"id": 1}, {"id": 2}]
        assert engine.query(query, at={ITEMS: "main"}).read_all().to_pylist() == [{"id": 1}]

    def test_a_stage_is_read_as_if_it_were_published(
        self, store: TableStore, engine: QueryEngine
    ) -> None:
        publish_items(store, {1: "a"})
        staged = stage_items(store, {2: "b"}, Append())
        query = "SELECT id FROM bronze.items ORDER BY id"
        assert engine.query(query, at={ITEMS: staged}).read_all().num_rows == 2
        assert engine.query(query).read_all().num_rows == 1
        store.discard(staged)

    def test_rows_in_memory_are_read_by_a_bare_name(
        self, store: TableStore, engine: QueryEngine
    ) -> None:
        publish_items(store, {1: "a"})
        relations = {"extra": ds.dataset(pa.table({"id": [1, 5]}))}
        query = (
            "SELECT e.id, i.note FROM extra e LEFT JOIN bronze.items i ON i.id = e.id ORDER BY 1"
        )
        rows = engine.query(query, relations=relations).read_all().to_pylist()
        assert rows == [{"id": 1, "note": "a"}, {"id": 5, "note": None}]
        assert engine.tables(query, relations=relations) == {ITEMS}

    # -- errors

    def test_a_table_without_a_load_is_named(self, store: TableStore, engine: QueryEngine) -> None:
        publish_items(store, {1: "a"})
        with pytest.raises(TableNotFoundError, match=r"bronze\.item\b"):
            engine.query("SELECT * FROM bronze.item").read_all()

    def test_a_snapshot_that_is_not_there_is_named(
        self, store: TableStore, engine: QueryEngine
    ) -> None:
        publish_items(store, {1: "a"})
        with pytest.raises(TableNotFoundError, match="no branch, tag or snapshot 'nope'"):
            engine.query("SELECT * FROM bronze.items", at={ITEMS: "nope"}).read_all()

    @pytest.mark.parametrize(
        "statement",
        [
            "DROP TABLE bronze.items",
            "INSERT INTO bronze.items VALUES (1, 'x')",
            "SELECT 1; SELECT 2",
            "SELECT * FROM items",
            "SELECT * FROM elsewhere.bronze.items",
            "SELECT * FROM TABLE(system.query('SELECT 1'))",
            "SELEC 1",
        ],
    )
    def test_what_is_no_select_over_the_catalog_is_refused(
        self, store: TableStore, engine: QueryEngine, statement: str
    ) -> None:
        publish_items(store, {1: "a"})
        with pytest.raises(QueryError):
            engine.query(statement).read_all()
        assert engine.query("SELECT id FROM bronze.items").read_all().num_rows == 1

    def test_an_unknown_column_is_named(self, store: TableStore, engine: QueryEngine) -> None:
        publish_items(store, {1: "a"})
        with pytest.raises(QueryError, match="nonesuch"):
            engine.query("SELECT nonesuch FROM bronze.items").read_all()

    def test_a_value_that_cannot_be_cast_fails_the_query(
        self, store: TableStore, engine: QueryEngine
    ) -> None:
        publish_items(store, {1: "a"})
        with pytest.raises(QueryError):
            engine.query("SELECT CAST(note AS integer) AS n FROM bronze.items").read_all()
