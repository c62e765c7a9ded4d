"""Files of the lake, read without Arrow where that is possible, and schemas without pyiceberg's."""

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from phlo.lake import open_lake
from phlo.names import TableName
from phlo.values import Append, Merge, Replace, TableSummary
from phlo_iceberg.read.arrow_types import arrow_schema
from phlo_iceberg.read.files import LakeFileIO, local_path
from phlo_iceberg.write.files import list_files
from pyiceberg.io import PY_IO_IMPL
from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO, schema_to_pyarrow
from pyiceberg.schema import Schema
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FixedType,
    FloatType,
    GeometryType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
    TimestampNanoType,
    TimestampType,
    TimestamptzNanoType,
    TimestamptzType,
    TimeType,
    UnknownType,
    UUIDType,
)

PRIMITIVES = [
    BinaryType(), BooleanType(), DateType(), DecimalType(38, 9), DoubleType(), FixedType(7),
    FloatType(), GeometryType(), IntegerType(), LongType(), StringType(), TimestampNanoType(),
    TimestampType(), TimestamptzNanoType(), TimestamptzType(), TimeType(), UnknownType(),
    UUIDType(),
]  # fmt: skip


def test_a_schema_is_that_of_pyiceberg_for_every_type_and_within_every_other():
    fields, number = [], 0
    for kind in PRIMITIVES:
        ids = range(number + 1, number + 10)
        number += 10
        is_required = number % 20 == 0 and not isinstance(kind, UnknownType)
        inner = NestedField(ids[3], "in", kind, required=is_required, doc="Inside.")
        fields += [
            NestedField(ids[0], f"a{number}", kind, required=is_required, doc="Of ü."),
            NestedField(ids[1], f"b{number}", ListType(ids[2], kind, element_required=False)),
            NestedField(ids[4], f"c{number}", StructType(inner)),
            NestedField(
                ids[5],
                f"d{number}",
                MapType(ids[6], StringType(), ids[7], kind, value_required=False),
            ),
        ]
    schema = Schema(*fields)
    expected = schema_to_pyarrow(schema, include_field_ids=False)
    assert arrow_schema(schema).equals(expected, check_metadata=True)
    assert arrow_schema(Schema()) == pa.schema([])


@pytest.mark.parametrize(
    "name", ["00001-a.metadata.json", "snap-1.avro", "data.parquet", "ä b#c?.json"]
)
@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_local_file_reads_as_pyiceberg_reads_it(tmp_path, name, prefix):
    location = f"{prefix}{tmp_path}/{name}"
    mine, theirs = LakeFileIO(), PyArrowFileIO()
    assert _ask(mine, location) == _ask(theirs, location)  # it is not there
    with theirs.new_output(location).create() as stream:
        stream.write(b"0123456789")
    assert _ask(mine, location) == _ask(theirs, location)
    mine.delete(location)
    assert not theirs.new_input(location).exists()


def _ask(io, location):
    file = io.new_input(location)
    try:
        with file.open() as stream:
            stream.seek(2)
            return file.location, file.exists(), len(file), stream.read(3), stream.tell()
    except FileNotFoundError:
        return file.location, file.exists(), None


def test_other_files_are_left_to_pyiceberg_with_the_catalogs_settings(tmp_path):
    io = LakeFileIO({PY_IO_IMPL: "phlo_iceberg.read.files.LakeFileIO", "s3.region": "eu-west-1"})
    stored = io.new_input("s3://lake/t/metadata/00001-a.metadata.json")
    assert isinstance(stored, PyArrowFile)
    assert io.file_io("s3://lake/t").properties == {"s3.region": "eu-west-1"}
    assert isinstance(io.new_input(f"{tmp_path}/a.parquet"), PyArrowFile)
    (tmp_path / "a.parquet").write_bytes(b"123")
    listed = [(path, info.size) for path, info in list_files(io, f"file://{tmp_path}")]
    assert listed == [(f"file://{tmp_path}/a.parquet", 3)]


@pytest.fixture
def store(phlo_environment):
    return open_lake().store


def test_a_summary_of_each_table_is_what_loading_it_tells(store):
    rows = pa.table({"id": [1, 2, 3], "n": [1, 1, 1]})
    for name, how in (("replaced", Replace()), ("merged", Merge(("id",))), ("appended", Append())):
        table = TableName("bronze", name)
        for part in (rows, rows.slice(0, 1).set_column(1, "n", pa.array([2])), rows.slice(0, 0)):
            staged = store.stage(table, ds.dataset(part), how, schema=rows.schema)
            store.publish([staged])
    store.maintain(TableName("bronze", "appended"))
    summaries = store.summaries()
    assert set(summaries) == set(store.list_tables())
    for table, summary in summaries.items():
        stored, history = store.load(table), store.history(table)
        changed = [s.committed_at for s in history if s.operation != "replace"]
        assert summary == TableSummary(
            stored.row_count, 2, len(history), history[0].committed_at, changed[0]
        )


def test_a_table_that_its_metadata_does_not_summarize_is_left_out(store, tmp_path):
    table = TableName("bronze", "t")
    rows = pa.table({"id": [1, 2, 3]})
    store.publish([store.stage(table, ds.dataset(rows), Replace(), schema=rows.schema)])
    location = store.catalog.load_table(("bronze", "t")).metadata_location
    path = local_path(location)
    whole = path.read_text()
    for text in (whole.replace("total-", "sum-").replace("phlo.row-count", "x"), whole[:99], ""):
        path.write_text(text)
        assert store.summaries() == {}
    path.unlink()
    assert store.summaries() == {}
