"""What the server's absence allows to judge: the bytes of one small row."""

import pyarrow as pa
from phlo.names import TableName
from phlo_publishing.copy_format import encode_batch
from phlo_publishing.types import published_columns

MART = TableName("marts", "m")


def encoded(table):
    encoders = [column.encode for column in published_columns(table.schema, MART)]
    return b"".join(bytes(encode_batch(batch, encoders)) for batch in table.to_batches())


def test_a_row_is_its_field_count_and_each_field_after_its_length():
    table = pa.table({"n": pa.array([258], pa.int32()), "t": ["é"], "x": pa.array([None])})
    number = b"\x00\x00\x00\x04\x00\x00\x01\x02"
    text = b"\x00\x00\x00\x02\xc3\xa9"
    assert encoded(table) == b"\x00\x03" + number + text + b"\xff" * 4


def test_no_rows_are_no_bytes():
    assert encoded(pa.table({"n": pa.array([], pa.int64()), "t": pa.array([], pa.string())})) == b""


def test_a_slice_is_encoded_from_its_own_first_row():
    table = pa.table({"n": [1, None, 3, 4], "t": ["a", "bb", None, "dddd"], "b": [True] * 4})
    for start, length in ((0, 4), (1, 2), (2, 1), (3, 1)):
        part = table.slice(start, length)
        assert encoded(part) == encoded(pa.table(part.to_pydict(), schema=part.schema))


def test_a_numeric_is_digits_to_the_base_of_ten_thousand():
    table = pa.table({"d": pa.array(["-12345.67"]).cast(pa.decimal128(9, 2))})
    # three groups, the first weighs 10000 ** 1, negative, two digits after the point
    numbers = (3, 1, 0x4000, 2, 1, 2345, 6700)
    field = b"".join(n.to_bytes(2, "big") for n in numbers)
    assert encoded(table) == b"\x00\x01" + len(field).to_bytes(4, "big") + field
