"""Files as they are found in the field: each is read exactly, or refused with file and line."""

import gzip
import json
from decimal import Decimal
from typing import Annotated

import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dlt.common.storages.fsspec_filesystem import FileItemDict
from dlt.sources.filesystem import filesystem
from hypothesis import given
from hypothesis import strategies as st
from pandera.engines import pandas_engine
from phlo.contract import Contract
from phlo.errors import BrokenSourceError, ConfigurationError, InvalidArgumentError
from phlo_dlt import read_files
from phlo_dlt.rows import items
from phlo_dlt.rows.batches import batches_of
from phlo_dlt.rows.conformer import ORIGINAL, PROBLEMS, Conformer
from phlo_dlt.rows.layout import Layout
from phlo_dlt.rows.plain import CastError, read_float, to_json


class Lines(pandera.DataFrameModel):
    id: str
    v: int = pandera.Field(nullable=True)
    f: float = pandera.Field(nullable=True)
    d: Annotated[pandas_engine.Decimal, 38, 2, None] = pandera.Field(nullable=True)


@pytest.fixture
def read(tmp_path):
    """Read one file as rows ``id, v, f, d`` of Python values, a broken value as its rule."""

    def read_file(name, content, **options):
        (tmp_path / name).write_bytes(content)
        files = filesystem(tmp_path.as_uri(), file_glob=name)
        conformer = Conformer(Contract.of(Lines))
        listed = files | read_files(**options) if options else files
        rows = []
        for item in listed:
            for table in batches_of(item, conformer):
                rows += _rows(table)
        read_file.origins = conformer.origins
        read_file.dropped = conformer.dropped
        return rows

    return read_file


def _rows(table):
    values = zip(*(table[f"c{i}"].to_pylist() for i in range(4)), strict=True)
    problems = table[PROBLEMS].to_pylist()
    return [v if p is None else json.loads(p) for v, p in zip(values, problems, strict=True)]


CELLS = ["0x1F", "31", " 5", "1_000", "nan", "NA", "", "1e400", "007", "-0", "5.0", "１", "+5"]


@pytest.mark.parametrize("cell", CELLS)
def test_a_csv_cell_means_the_same_beside_any_other(read, cell):
    (alone,) = read("a.csv", f"id,v,f,d\na,{cell},{cell},{cell}\n".encode())

    for other in CELLS:
        content = f"id,v,f,d\na,{cell},{cell},{cell}\nb,{other},{other},{other}\n"
        assert read("b.csv", content.encode())[0] == alone, other


@pytest.mark.parametrize(
    ("cell", "expected"),
    [("007", 7), ("+5", 5), (" 5", 5), ("NA", None), ("nan", None), ("", None)],
)
def test_a_csv_cell_is_read_as_programs_write_numbers(read, cell, expected):
    assert read("a.csv", f"id,v,f,d\na,{cell},{cell},{cell}\n".encode()) == [
        ("a", expected, expected, expected)
    ]


def test_a_csv_file_of_other_ways_is_read_by_its_options(read):
    content = "é;1;0.5;-\nb;-;2;'-'\n".encode("latin-1")

    rows = read(
        "a.csv",
        content,
        delimiter=";",
        encoding="latin-1",
        header=["id", "v", "f", "d"],
        null_values=["-"],
        quote="'",
    )

    assert rows == [("é", 1, 0.5, None), ("b", None, 2.0, None)]


def test_utf_16_and_byte_order_marks_are_read(read):
    rows = [("é", 1, None, None)]

    assert read("a.csv", "id,v\né,1\n".encode("utf-16"), encoding="utf-16") == rows
    assert read("b.csv", "id,v\né,1\n".encode("utf-8-sig")) == rows
    assert read("c.jsonl", '{"id": "é", "v": 1}\n'.encode("utf-8-sig")) == rows


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (b'id,v\n1,"open\n2,b\n', {}, ["line 2", "'1,\"open'", "not closed"]),
        (b'id,v\n1,"a"\n2,"open\n3,"b\n', {}, ["line 3", "not closed, or text follows"]),
        (b"id,v\na,1\n\nb\n", {}, ["line 4", "has 2 columns, and 'b' has 1"]),
        (b"id,v,v\na,1,2\n", {}, ["line 1", "'v' twice"]),
        (b"id,v\na,1\n\xe9,2\n", {}, ["line 3", "not utf-8", "xe9", 'encoding="latin-1"']),
        (b"", {}, ["empty"]),
    ],
)
def test_a_broken_csv_file_is_refused_with_its_line(read, content, options, words):
    with pytest.raises(Exception, match=r"a\.csv") as caught:
        read("a.csv", content, **options)

    error = _root(caught.value)
    assert isinstance(error, BrokenSourceError)
    assert all(word in str(error) for word in words), str(error)


def _root(error):
    while not isinstance(error, BrokenSourceError | ConfigurationError):
        error = error.__cause__
    return error


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"id": ', ["line 3", "no JSON", '{"id":']),
        (b"null", ["line 3", "no object"]),
        (b'"text"', ["line 3", "no object"]),
        (b"[1]", ["line 3", "no object"]),
    ],
)
def test_a_broken_line_of_json_is_refused_with_its_number(read, line, words):
    with pytest.raises(Exception, match=r"a\.jsonl") as caught:
        read("a.jsonl", b'{"id": "a"}\n\n' + line + b"\n")

    assert all(word in str(_root(caught.value)) for word in words)


def test_numbers_of_json_lines_keep_all_their_digits(read):
    lines = [
        {"id": "a", "v": 2**63 - 1, "f": 0.1, "d": "12345678901234567.89"},
        {"id": "b", "v": None, "f": "NaN", "d": "90071992547409.93"},
        {"id": "c", "v": 2**64 + 1, "f": None, "d": None},
    ]
    text = "\n".join(json.dumps(line) for line in lines)
    for number in ("12345678901234567.89", "90071992547409.93", "NaN"):
        text = text.replace(f'"{number}"', number)

    rows = read("a.jsonl", text.encode())

    assert rows == [
        ("a", 2**63 - 1, 0.1, Decimal("12345678901234567.89")),
        ("b", None, None, Decimal("90071992547409.93")),
        ["v: cannot be cast to int64 (out of range)"],
    ]


def test_a_number_of_json_beyond_a_double_is_refused_not_infinite(read):
    lines = b'{"id": "a", "f": 1e400}\n{"id": "b", "f": -1e400}\n{"id": "c", "f": 1.50}\n'

    refused = ["f: cannot be cast to double (out of range)"]
    assert read("a.jsonl", lines) == [refused, refused, ("c", None, 1.5, None)]


@pytest.mark.parametrize("content", [b"id,v", b"id,v\n", b"id,v\r\n\r\n"])
def test_a_csv_file_of_a_header_alone_has_no_rows(read, content):
    assert read("a.csv", content) == []


def test_a_first_record_of_megabytes_is_read(read):
    cell = "line\n" * 400_000

    (first, second) = read("a.csv", f'id,v\n"{cell}",1\nb,2\n'.encode())

    assert (len(first[0]), second) == (len(cell), ("b", 2, None, None))


def test_a_column_without_a_name_is_dropped(read):
    assert read("a.csv", b"id,v,\na,1,\nb,2,x\n") == [("a", 1, None, None), ("b", 2, None, None)]
    assert read.dropped == {"": 1}


def test_columns_without_a_name_are_dropped_and_counted_each(read):
    assert read("a.csv", b"id,v,, ,,\na,1,x, ,,y\n") == [("a", 1, None, None)]
    assert read.dropped == {"": 1, " ": 1, "(5)": 0, "(6)": 1}


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz"])
def test_a_file_that_gzip_cannot_unpack_is_named(read, name):
    whole = gzip.compress(b'{"id": "a"}\n' * 50)
    for content in (b'{"id": "a"}\n', whole[:-12], whole[:30] + b"\xff" * 20 + whole[30:]):
        with pytest.raises(Exception, match=r"a\..*\.gz': it is no whole gzip file") as caught:
            read(name, content)
        assert isinstance(_root(caught.value), BrokenSourceError)


def test_a_parquet_file_that_is_broken_anywhere_is_named(read, tmp_path):
    rows = {"id": [f"row {n}" for n in range(500)], "v": list(range(500))}
    pq.write_table(pa.table(rows), tmp_path / "whole.parquet", compression="zstd")
    whole = (tmp_path / "whole.parquet").read_bytes()
    errors = []
    for start in range(0, len(whole), 200):
        try:
            read("a.parquet", whole[:start] + b"\xff" * 20 + whole[start + 20 :])
        except Exception as exc:  # noqa: BLE001 - whatever it is, it has to name the file
            errors.append(exc)
    assert len(errors) > 5
    assert all(isinstance(_root(error), BrokenSourceError) for error in errors)
    assert all("a.parquet" in str(error) for error in errors)
    with pytest.raises(Exception, match=r"a\.parquet"):
        read("a.parquet", whole[:-4] + b"PARE")  # encrypted


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (gzip.compress(b"id,v\na,1\n"), "the suffix .gz"),
        ("id,v\na,1\n".encode("utf-16"), 'encoding="utf-16"'),
        (b'"id";"v"\n"a";1\n', "delimiter=';'"),
    ],
    ids=["gzip", "utf-16", "semicolons"],  # a gzip file holds the second it was made
)
def test_a_csv_file_written_in_another_way_is_told_how_to_read_it(read, content, hint):
    with pytest.raises(Exception, match=r"a\.csv") as caught:
        read("a.csv", content)

    assert hint in str(_root(caught.value))


def test_a_deeply_nested_line_of_json_is_read():
    line = b'{"a":' * 300 + b"1" + b"}" * 300

    assert items._read_json(line) == json.loads(line)


def test_a_wrong_delimiter_is_said(read):
    with pytest.raises(Exception, match="cells seem to be parted by ';'") as caught:
        read("a.csv", b"id;v\na;1\n")

    assert "read_files(delimiter=';')" in str(_root(caught.value))


def test_a_csv_file_of_one_column_is_a_table_of_one(read):
    assert read("a.csv", b"id\na;b\nc,\n"[:-3]) == [("a;b", None, None, None)]


@pytest.mark.parametrize(
    ("argument", "value"),
    [("delimiter", ";;"), ("encoding", "klingon"), ("header", []), ("header", "id"), ("quote", "")],
)
def test_an_argument_of_the_reader_is_checked(argument, value):
    with pytest.raises(InvalidArgumentError, match=argument):
        read_files(**{argument: value})


def test_rows_of_text_files_know_their_lines(read):
    read("a.csv", b'id,v\na,1\n\n"x\ny",2\nb,3\n')
    (origin,) = read.origins.values()
    assert [origin.place(row) for row in range(3)] == ["a.csv:2", "a.csv:4", "a.csv:6"]

    read("b.jsonl", b'\n{"id": "a"}\n\n{"id": "b"}\n')
    (origin,) = read.origins.values()
    assert [origin.place(row) for row in range(2)] == ["b.jsonl:2", "b.jsonl:4"]


def test_lines_that_hold_no_record_of_their_own_are_counted():
    layout = Layout(first_line=2)
    layout.add(1)
    layout.skip(2)
    layout.add(1)

    assert [layout.line(0), layout.line(1)] == [2, 5]


def test_times_of_old_parquet_writers_are_read_in_microseconds(tmp_path):
    class Times(pandera.DataFrameModel):
        at: pandas_engine.DateTime

    path = tmp_path / "a.parquet"
    years = [-11676096000000000, 253402214400000000]  # 1600-01-01, 9999-12-31
    table = pa.table({"at": pa.array(years, pa.timestamp("us"))})
    pq.write_table(table, path, use_deprecated_int96_timestamps=True)
    (item,) = filesystem(tmp_path.as_uri(), file_glob="*")
    assert isinstance(item, FileItemDict)

    (batch,) = batches_of(item, Conformer(Contract.of(Times)))

    assert batch["c0"].cast(pa.int64()).to_pylist() == years


class _Nested(pandera.DataFrameModel):
    at: list = pandera.Field(nullable=True)


class _Moments(pandera.DataFrameModel):
    at: pandas_engine.DateTime = pandera.Field(nullable=True)


def read_int96(tmp_path, model, values, kind):
    table = pa.table({"at": pa.array(values, kind)})
    pq.write_table(table, tmp_path / "a.parquet", use_deprecated_int96_timestamps=True)
    (item,) = filesystem(tmp_path.as_uri(), file_glob="*")
    (batch,) = batches_of(item, Conformer(Contract.of(model)))
    return batch


def test_times_of_old_parquet_writers_finer_than_a_microsecond_are_refused(tmp_path):
    values = [1704067200000000001, 1704067200000001000, None, -1]
    batch = read_int96(tmp_path, _Moments, values, pa.timestamp("ns"))
    assert batch["c0"].cast(pa.int64()).to_pylist() == [None, 1704067200000001, None, None]
    assert [p and "finer than a microsecond" in p for p in batch[PROBLEMS].to_pylist()] == [
        True,
        None,
        None,
        True,
    ]
    assert batch[ORIGINAL].to_pylist()[0] == '{"at":"2024-01-01T00:00:00.000000001"}'


def test_times_of_old_parquet_writers_keep_every_digit_inside_lists(tmp_path):
    values = [[1704067200000000001, None], None, [5000]]
    batch = read_int96(tmp_path, _Nested, values, pa.list_(pa.timestamp("ns")))
    assert batch["c0"].to_pylist() == [
        '["2024-01-01T00:00:00.000000001",null]',
        None,
        '["1970-01-01T00:00:00.000005"]',
    ]


SPELLINGS = st.sampled_from(
    [
        *("1", "-0", "1.0", "1.10", "-0.0", "1e5", "1E-7", "1e16", "1e22", "0.1", "1.5e300"),
        *("12345678901234567.89", "18446744073709551617", "9223372036854775808", "1e400", "0.30"),
        *("NaN", "-Infinity", "null", "true", '"1e5"', '"\\ud800"', '"\\u00e9"', '"é a: b"'),
        *("0.1234567890123456789", "5e-324", "100000000000000000000.0", "[1.10, {}]", '"\\/"'),
    ]
)


@given(st.lists(SPELLINGS, max_size=4), st.sampled_from([", ", ",", " , "]))
def test_a_line_of_json_is_read_as_python_reads_it_with_all_digits(spellings, comma):
    members = comma.join(f'"k{n}": {text}' for n, text in enumerate(spellings))
    line = f"{{{members}}}\n".encode()
    expected = json.loads(line, parse_float=read_float)
    assert spelled(items._read_json(line)) == spelled(expected)


def spelled(value):
    """A value with the class and digits of its numbers."""
    if isinstance(value, dict):
        return {k: spelled(v) for k, v in value.items()}
    if isinstance(value, list):
        return [spelled(v) for v in value]
    return type(value), getattr(value, "digits", None), repr(value)


@pytest.mark.parametrize(
    ("members", "refused"),
    [
        ('"v": 1, "v": 2', {"v"}),
        ('"v": 2, "x": 0, "v": null', {"v"}),
        ('"f": 0.1, "f": 0.10', {"f"}),
        ('"d": 0.1, "f": 1.5, "d": 0.2, "f": 2.5', {"d", "f"}),
        ('"v": [1], "v": {"v": 1}', {"v"}),
        ('"v": 1, "v": 1', set()),
        ('"x": 1, "x": 2', set()),
        ('"x": {"v": 1}, "v": 1', set()),
    ],
)
def test_a_name_with_two_values_in_one_object_of_json_is_refused(read, members, refused):
    row, after = read("a.jsonl", f'{{"id": "a", {members}}}\n{{"id": "b"}}\n'.encode())
    assert after == ("b", None, None, None)
    if refused:
        assert {rule.partition(":")[0] for rule in row} == refused
    else:
        assert row[0] == "a"


def test_a_name_with_two_values_is_kept_whole_where_a_row_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": "a", "v": 1.50, "v": "x"}\n')
    conformer = Conformer(Contract.of(Lines))
    (item,) = filesystem(tmp_path.as_uri(), file_glob="a.jsonl")
    (table,) = batches_of(item, conformer)
    assert json.loads(table[ORIGINAL][0].as_py())["v"] == "1.50 and 'x'"


def test_a_name_with_two_values_within_a_value_refuses_the_whole_value():
    value = items._read_json(b'{"j": {"a": [{"b": 1, "b": 2}]}}')["j"]
    with pytest.raises(CastError, match="a name in it has two values"):
        to_json(value)
