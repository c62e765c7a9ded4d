"""PostgreSQL types by Arrow type."""

import pyarrow as pa
import pytest
from phlo.errors import ColumnNotFoundError, InvalidNameError, UnsupportedTypeError
from phlo.names import TableName
from phlo_publishing.types import published_columns

MART = TableName("marts", "daily")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (pa.decimal128(12, 3), "numeric(12, 3)"),
        (pa.decimal128(5, -2), "numeric(7, 0)"),
        (pa.timestamp("us", "UTC"), "timestamptz"),
        (pa.timestamp("ns"), "timestamp"),
        (pa.date32(), "date"),
        (pa.large_string(), "text"),
        (pa.dictionary(pa.int8(), pa.string()), "text"),
        (pa.list_(pa.int64()), "jsonb"),
        (pa.struct([("a", pa.int8())]), "jsonb"),
        (pa.map_(pa.string(), pa.int8()), "jsonb"),
        (pa.binary(16), "bytea"),
        (pa.uuid(), "uuid"),
        (pa.uint64(), "numeric(20, 0)"),
        (pa.uint32(), "bigint"),
        (pa.null(), "text"),
    ],
)
def test_a_column_gets_the_type_that_holds_all_its_values(kind, expected):
    (column,) = published_columns(pa.schema([("c", kind)]), MART)
    assert column.type == expected


@pytest.mark.parametrize(
    "kind", [pa.duration("s"), pa.decimal256(76, 2), pa.month_day_nano_interval()]
)
def test_a_type_without_counterpart_is_an_error_that_names_the_column(kind):
    with pytest.raises(UnsupportedTypeError, match="'odd' of 'marts.daily'") as caught:
        published_columns(pa.schema([("fine", pa.int8()), ("odd", kind)]), MART)
    assert caught.value.column == "odd"
    assert "varchar" in str(caught.value)


def test_a_name_that_postgresql_would_cut_is_an_error():
    with pytest.raises(InvalidNameError, match="64 bytes"):
        published_columns(pa.schema([("x" * 64, pa.int8())]), MART)


def test_a_mart_without_columns_is_an_error():
    with pytest.raises(ColumnNotFoundError, match=r"marts\.daily"):
        published_columns(pa.schema([]), MART)


def test_columns_get_lower_case_names_where_that_is_asked_for():
    schema = pa.schema([("ID", pa.int64()), ("Ünï", pa.string())])
    columns = published_columns(schema, TableName("marts", "m"), lower_case=True)
    assert [column.name for column in columns] == ["id", "ünï"]


def test_two_columns_of_one_name_in_lower_case_are_refused():
    schema = pa.schema([("ID", pa.int64()), ("id", pa.string())])
    with pytest.raises(InvalidNameError, match="both be published as 'id'"):
        published_columns(schema, TableName("marts", "m"), lower_case=True)


@pytest.mark.parametrize("name", ["ctid", "xmin", "tableoid"])
def test_names_of_system_columns_are_refused(name):
    with pytest.raises(InvalidNameError, match="system column"):
        published_columns(pa.schema([(name, pa.int64())]), TableName("marts", "m"))


def test_more_columns_than_a_table_can_have_are_refused():
    schema = pa.schema([(f"c{n}", pa.int64()) for n in range(1601)])
    with pytest.raises(UnsupportedTypeError, match="1601"):
        published_columns(schema, TableName("marts", "m"))
