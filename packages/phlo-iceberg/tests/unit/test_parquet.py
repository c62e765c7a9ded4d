"""What stands in a data file: only features that the readers in the field have."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from phlo.errors import ConfigurationError
from phlo.lake import open_lake
from phlo_iceberg.write.parquet import TEXT_ENCODING_PROPERTY
from phlo_testing.stores import DAY_1, DAY_2, EVENTS, merge, publish_rows

ROWS = 2_000
MOMENT = datetime(2025, 1, 1, tzinfo=UTC)
COMMON_ENCODINGS = {"PLAIN", "RLE", "RLE_DICTIONARY", "PLAIN_DICTIONARY"}
"""What Iceberg's vectorized reader had before version 1.11."""

EVERY_TYPE = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        ("note", pa.string()),
        ("flag", pa.bool_()),
        ("small", pa.int32()),
        ("big", pa.int64()),
        ("ratio", pa.float32()),
        ("share", pa.float64()),
        ("price", pa.decimal128(9, 2)),
        ("exact", pa.decimal128(38, 9)),
        ("day", pa.date32()),
        ("clock", pa.time64("us")),
        ("local", pa.timestamp("us")),
        ("moment", pa.timestamp("us", tz="UTC")),
        ("raw", pa.binary()),
        ("tags", pa.list_(pa.string())),
        ("place", pa.struct([("city", pa.string()), ("height", pa.float64())])),
        ("labels", pa.map_(pa.string(), pa.string())),
    ]
)


def row(n: int) -> dict:
    return {
        "id": f"key-{n:08}",
        "note": f"note {n % 7}",
        "flag": n % 2 == 0,
        "small": n,
        "big": n * 10**12,
        "ratio": n / 2,
        "share": n / 3,
        "price": Decimal(n).scaleb(-2),
        "exact": Decimal(n**3).scaleb(-9),
        "day": date(2025, 1, 1) + timedelta(days=n),
        "clock": time(n % 24, n % 60, n % 60, n),
        "local": MOMENT.replace(tzinfo=None) + timedelta(microseconds=n),
        "moment": MOMENT + timedelta(seconds=n),
        "raw": str(n).encode(),
        "tags": [f"tag-{n}", f"tag-{n + 1}"],
        "place": {"city": f"city-{n}", "height": n / 7},
        "labels": [(f"label-{n}", f"value-{n}")],
    }


@pytest.fixture
def store(phlo_environment):
    return open_lake().store


def footers(store) -> list[pq.FileMetaData]:
    """The footers of all data and delete files of ``bronze.events``."""
    tasks = store.catalog.load_table("bronze.events").scan().plan_files()
    paths = {f.file_path for task in tasks for f in (task.file, *task.delete_files)}
    return [pq.read_metadata(path.removeprefix("file://")) for path in sorted(paths)]


def columns(footer: pq.FileMetaData) -> dict[str, pq.ColumnChunkMetaData]:
    group = footer.row_group(0)
    return {group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)}


def test_values_of_every_type_are_written_with_encodings_that_every_reader_has(store, monkeypatch):
    monkeypatch.setattr("phlo_iceberg.write.stage.REWRITE_ROWS", 0)
    publish_rows(store, [row(n) for n in range(ROWS)], merge(DAY_1), schema=EVERY_TYPE)
    publish_rows(store, [row(7) | {"note": "changed"}], merge(DAY_2), schema=EVERY_TYPE)
    written = footers(store)
    assert len(written) == 3  # two data files, one of position deletes
    for footer in written:
        for column in columns(footer).values():
            assert set(column.encodings) <= COMMON_ENCODINGS, column.path_in_schema
            assert column.compression == "ZSTD"
            assert column.physical_type != "INT96"


def test_only_text_that_hardly_repeats_is_written_without_a_dictionary(store):
    publish_rows(store, [row(n) for n in range(ROWS)], merge(DAY_1), schema=EVERY_TYPE)
    (footer,) = footers(store)
    encodings = {name: set(column.encodings) for name, column in columns(footer).items()}
    assert not {"RLE_DICTIONARY", "PLAIN_DICTIONARY"} & encodings["id"]
    assert "PLAIN" in encodings["id"]
    for name in ("note", "big"):
        assert "RLE_DICTIONARY" in encodings[name]


def test_a_table_property_chooses_the_encoding_of_lengths_and_characters_apart(store):
    rows = [row(n) for n in range(ROWS)]
    publish_rows(store, rows[:1], merge(DAY_1), schema=EVERY_TYPE)
    with store.catalog.load_table("bronze.events").transaction() as change:
        change.set_properties({TEXT_ENCODING_PROPERTY: "delta-length"})
    publish_rows(store, rows, merge(DAY_2), schema=EVERY_TYPE)
    encodings = [set(columns(footer)["id"].encodings) for footer in footers(store)]
    assert {"DELTA_LENGTH_BYTE_ARRAY", "RLE"} in encodings
    read = open_lake().engine.query(f"SELECT id FROM {EVENTS}").read_all().column("id")
    assert sorted(read.to_pylist()) == [r["id"] for r in rows]


def test_an_encoding_that_there_is_not_is_refused(store):
    publish_rows(store, [row(0)], merge(DAY_1), schema=EVERY_TYPE)
    with store.catalog.load_table("bronze.events").transaction() as change:
        change.set_properties({TEXT_ENCODING_PROPERTY: "delta"})
    with pytest.raises(ConfigurationError, match=r"'delta'; expected one of \['plain'"):
        publish_rows(store, [row(1)], merge(DAY_2), schema=EVERY_TYPE)
