"""A small lake with everything that a reader of Iceberg can meet in phlo's tables.

Built by phlo's store alone, but for the partition specs, which another engine may change. Each
table comes with the rows that it must have, as Python values that the builder knows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import pyarrow as pa
from canonical import canonical_rows
from phlo.names import TableName
from phlo_iceberg.store import IcebergStore
from phlo_iceberg.upkeep.policy import Policy
from phlo_iceberg.write import stage
from phlo_testing.stores import DAY_1, DAY_2, DAY_3, merge, publish_rows, stage_rows
from pyiceberg.transforms import BucketTransform, TruncateTransform

MOMENT = datetime(2025, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
BRANCH = "audit/dlt_branches/2025-01-01/0"
MANY = 1_500
"""More rows than it takes for text that hardly repeats to be written without a dictionary."""

TYPES = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        ("flag", pa.bool_()),
        ("small", pa.int32()),
        ("big", pa.int64()),
        ("ratio", pa.float32()),
        ("share", pa.float64()),
        ("price", pa.decimal128(9, 2)),
        ("exact", pa.decimal128(38, 9)),
        ("day", pa.date32()),
        ("local", pa.timestamp("us")),
        ("moment", pa.timestamp("us", tz="UTC")),
        ("raw", pa.binary()),
        ("tags", pa.list_(pa.string())),
        ("place", pa.struct([("city", pa.string()), ("height", pa.float64())])),
        ("labels", pa.map_(pa.string(), pa.int64())),
    ]
)
SIMPLE = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("value", pa.int64()),
        pa.field("note", pa.string()),
    ]
)


@dataclass(frozen=True)
class GoldenTable:
    """One state of one table.

    Attributes:
        name: The table.
        rows: What it holds.
        ref: The branch read; ``None`` for ``main``.
    """

    name: TableName
    rows: list[dict]
    ref: str | None = None

    @property
    def key(self) -> str:
        """Name of the case."""
        return f"{self.name.name}@{self.ref}" if self.ref else self.name.name


def build_lake(store: IcebergStore) -> list[GoldenTable]:
    """Write the golden tables into an empty catalog."""
    before, stage.REWRITE_ROWS = stage.REWRITE_ROWS, 0  # few changed rows become position deletes
    try:
        return [
            every_type(store),
            lists_of_structs(store),
            times(store),
            uuids(store),
            evolved(store),
            with_deletes(store),
            several_specs(store),
            *branches(store),
            maintained(store),
            empty(store),
        ]
    finally:
        stage.REWRITE_ROWS = before


def every_type(store: IcebergStore) -> GoldenTable:
    name = TableName("golden", "every_type")
    rows = [typed_row(n) for n in range(MANY)] + extremes()
    publish_rows(store, rows, merge(DAY_1), table=name, schema=TYPES)
    return GoldenTable(name, [dict.fromkeys(TYPES.names) | row for row in rows])


def typed_row(n: int) -> dict:
    return {
        "id": f"key-{n:08}",
        "flag": n % 2 == 0,
        "small": n - 700,
        "big": n * 10**12,
        "ratio": n / 4,
        "share": n / 3,
        "price": Decimal(n).scaleb(-2),
        "exact": Decimal(n**5).scaleb(-9),
        "day": date(1969, 1, 1) + timedelta(days=n),
        "local": MOMENT.replace(tzinfo=None) - timedelta(days=30 * n, microseconds=n),
        "moment": MOMENT - timedelta(hours=n),
        "raw": n.to_bytes(4, "big"),
        "tags": [f"tag-{n % 5}", None, "é"],
        "place": {"city": f"city-{n}", "height": n / 7},
        "labels": [("a", n), ("b", None)],
    }


def extremes() -> list[dict]:
    """Nulls, empty values and the ends of every type."""
    digits = "9" * 29 + "." + "9" * 9
    return [
        {"id": "nulls"},
        {
            "id": "",
            "raw": b"",
            "tags": [],
            "labels": [],
            "place": {"city": None, "height": None},
        },
        {"id": "ŝ 🎉 'quoted\" \\ \n", "share": math.nan, "ratio": math.nan},
        {
            "id": "least",
            "small": -(2**31),
            "big": -(2**63),
            "share": -math.inf,
            "price": Decimal("-9999999.99"),
            "exact": Decimal(f"-{digits}"),
            "day": date(1, 1, 3),
            "local": datetime(1, 1, 3),
            "moment": datetime(1600, 1, 1, tzinfo=UTC),
        },
        {
            "id": "greatest",
            "small": 2**31 - 1,
            "big": 2**63 - 1,
            "share": math.inf,
            "price": Decimal("9999999.99"),
            "exact": Decimal(digits),
            "day": date(9999, 12, 31),
            "local": datetime(9999, 12, 31, 23, 59, 59, 999999),
            "moment": datetime(9999, 12, 30, tzinfo=UTC),
        },
    ]


def lists_of_structs(store: IcebergStore) -> GoldenTable:
    visits = pa.list_(pa.struct([("day", pa.date32()), ("count", pa.int32())]))
    many = [{"day": date(2025, 1, 1), "count": 1}, {"day": None, "count": None}]
    return _of_one_type(store, "lists_of_structs", visits, {"many": many, "none": [], "null": None})


def times(store: IcebergStore) -> GoldenTable:
    values = {"first": time(0, 0), "last": time(23, 59, 59, 999999), "null": None}
    return _of_one_type(store, "times", pa.time64("us"), values)


def uuids(store: IcebergStore) -> GoldenTable:
    values = {"least": UUID(int=0), "greatest": UUID(int=2**128 - 1), "null": None}
    return _of_one_type(store, "uuids", pa.uuid(), values)


def _of_one_type(
    store: IcebergStore, name: str, kind: pa.DataType, values: dict[str, object]
) -> GoldenTable:
    """A type that not every reader has, in a table of its own."""
    table = TableName("golden", name)
    schema = pa.schema([SIMPLE.field("id"), ("value", kind)])
    rows = [{"id": key, "value": value} for key, value in values.items()]
    publish_rows(store, rows, merge(DAY_1), table=table, schema=schema)
    return GoldenTable(table, rows)


def evolved(store: IcebergStore) -> GoldenTable:
    """A column renamed, one widened, one dropped, and one added under the dropped one's name."""
    name = TableName("golden", "evolved")
    first = pa.schema([SIMPLE.field("id"), ("value", pa.int32()), ("note", pa.string())])
    publish_rows(
        store, [{"id": "a", "value": 1, "note": "old"}], merge(DAY_1), table=name, schema=first
    )
    with store.catalog.load_table((name.namespace, name.name)).update_schema() as change:
        change.delete_column("note")
    renamed = pa.schema(
        [
            SIMPLE.field("id"),
            pa.field("amount", pa.int64(), metadata={"renamed_from": "value"}),
            ("note", pa.string()),
            ("extra", pa.float64()),
        ]
    )
    rows = [{"id": "b", "amount": 2**40, "note": "new", "extra": 0.5}]
    publish_rows(store, rows, merge(DAY_2), table=name, schema=renamed)
    old = {"id": "a", "amount": 1, "note": None, "extra": None}
    return GoldenTable(name, [old, *rows])


def simple_rows(values: dict[str, int | None]) -> list[dict]:
    return [{"id": key, "value": value, "note": f"note {key}"} for key, value in values.items()]


def with_deletes(store: IcebergStore) -> GoldenTable:
    name = TableName("golden", "with_deletes")
    values = {f"k{n:03}": n for n in range(200)}
    publish_rows(store, simple_rows(values), merge(DAY_1), table=name)
    for day, changed in ((DAY_2, range(0, 200, 20)), (DAY_3, range(5, 200, 50))):
        changes = {f"k{n:03}": -n for n in changed}
        publish_rows(store, simple_rows(changes), merge(day), table=name)
        values |= changes
    return GoldenTable(name, simple_rows(values))


def several_specs(store: IcebergStore) -> GoldenTable:
    name = TableName("golden", "several_specs")
    values = {f"k{n}": n for n in range(10)}
    spec = (("value", "truncate[4]"), ("id", "bucket[3]"))
    publish_rows(store, simple_rows(values), merge(DAY_1), table=name, partition_by=spec)
    with store.catalog.load_table((name.namespace, name.name)).update_spec() as change:
        change.add_field("note", TruncateTransform(6), "note_start")
    second = {f"m{n}": n for n in range(5)} | {"k1": 100}
    publish_rows(store, simple_rows(second), merge(DAY_2), table=name, partition_by=spec)
    with store.catalog.load_table((name.namespace, name.name)).update_spec() as change:
        change.add_field("value", BucketTransform(4), "value_bucket")
    third = {"n0": None, "k2": 200}
    publish_rows(store, simple_rows(third), merge(DAY_3), table=name, partition_by=spec)
    return GoldenTable(name, simple_rows(values | second | third))


def branches(store: IcebergStore) -> list[GoldenTable]:
    name = TableName("golden", "branches")
    published = {"a": 1, "b": 2}
    publish_rows(store, simple_rows(published), merge(DAY_1), table=name)
    withheld = stage_rows(store, simple_rows({"b": 20, "c": 3}), merge(DAY_2), table=name)
    assert store.keep(withheld, BRANCH)
    audited = simple_rows(published | {"b": 20, "c": 3})
    return [GoldenTable(name, simple_rows(published)), GoldenTable(name, audited, BRANCH)]


def maintained(store: IcebergStore) -> GoldenTable:
    """Small files joined and deletes written in, old snapshots gone."""
    name = TableName("golden", "maintained")
    values: dict[str, int | None] = {}
    for n in range(4):
        changes = {f"k{i:02}": n for i in range(n * 5, n * 5 + 20)}
        publish_rows(store, simple_rows(changes), merge(DAY_1), table=name, extraction=n)
        values |= changes
    policy = Policy(1, timedelta(0), min_small_files=2, deleted_share=0)
    IcebergStore(store.catalog, policy).maintain(name)
    return GoldenTable(name, simple_rows(values))


def empty(store: IcebergStore) -> GoldenTable:
    name = TableName("golden", "empty")
    publish_rows(store, [], merge(DAY_1), table=name)
    return GoldenTable(name, [])


def expected_rows(table: GoldenTable) -> list[str]:
    """The rows of a table as every reader must give them."""
    return canonical_rows(table.rows)
