"""What the server's absence allows to judge: the bytes of one small row."""

import subprocess
import sys

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


def test_encoding_imports_no_pandas():
    """Importing it would cost more than encoding a hundred thousand rows."""
    code = """
import sys
import pyarrow as pa
from phlo_publishing.copy_format import encode_batch, encode_bytes, encode_number

fixed = pa.Array.from_buffers(pa.int32(), 2, [pa.py_buffer(b"\\x01"), pa.py_buffer(bytes(8))])
flags = pa.Array.from_buffers(pa.bool_(), 2, [pa.py_buffer(b"\\x01"), pa.py_buffer(b"\\x03")])
ends = pa.py_buffer(b"".join(n.to_bytes(4, "little") for n in (0, 1, 1)))
texts = pa.Array.from_buffers(pa.string(), 2, [pa.py_buffer(b"\\x01"), ends, pa.py_buffer(b"a")])
batch = pa.record_batch([fixed, flags, texts], ["fixed", "flags", "texts"])
rows = encode_batch(batch, [encode_number(">i4"), encode_number("?"), encode_bytes])
print(bytes(rows).hex(), "pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    full = "0003 00000004 00000000 00000001 01 00000001 61".replace(" ", "")
    nulls = "0003" + "ffffffff" * 3
    assert done.stdout.split() == [full + nulls, "False"]
