"""What is told as a broken file or service: by its class, never by names and values alone."""

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from phlo.errors import UnreadableTableError
from phlo_iceberg.service_errors import explain

WORDS = (
    "bucket",
    "Forbidden",
    "AccessDenied",
    "AWS Error",
    "ZSTD",
    "Failed to read",
    "No magic bytes",
)


def refuse(value: str) -> int:
    raise ValueError(f"Cannot cast '{value}'")


def error_of(query):
    with duckdb.connect() as connection:
        connection.create_function("refuse", refuse, [str], int)
        with pytest.raises(duckdb.Error) as caught:
            connection.sql(query).fetchall()
    return caught.value


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(
    "query",
    [
        'SELECT "{}" FROM (SELECT 1 AS a)',
        'SELECT * FROM "{}"',
        "SELECT CAST('{}' AS INTEGER)",
        "SELECT refuse('{}')",
    ],
)
def test_a_query_about_the_words_of_other_errors_is_an_error_of_the_query(query, word):
    error = error_of(query.format(word))
    assert explain(error) is error


@pytest.mark.parametrize("word", WORDS)
def test_a_value_or_a_local_path_of_such_words_is_none_either(word):
    for error in (ValueError(word), pa.ArrowInvalid(f"Failed to parse string: '{word}' as a date")):
        assert explain(error) is error
    told = str(explain(PermissionError(13, "Permission denied", f"/{word}/a.parquet")))
    assert told.startswith("phlo has no right to use a file: Permission denied")


def answer_of(query):
    """Ask a DuckDB of its own: other tests may leave the module's connection in the middle."""
    with duckdb.connect() as connection:
        return connection.sql(query).fetchall()


def test_a_file_that_is_garbled_anywhere_is_told_as_one(tmp_path):
    file, errors = tmp_path / "a.parquet", []
    rows = {"id": [f"r{n}" for n in range(2000)], "v": list(range(2000))}
    pq.write_table(pa.table(rows), file, compression="zstd")
    whole = file.read_bytes()
    spoilt = [whole[:n] for n in (0, 3, 50, len(whole) - 1)]
    spoilt += [whole[:n] + b"\xff" * 10 + whole[n + 10 :] for n in range(0, len(whole), 100)]
    for content in spoilt:
        file.write_bytes(content)
        for read in (lambda: answer_of(f"FROM '{file}'"), lambda: pq.read_table(file)):
            try:
                read()
            except Exception as error:  # noqa: BLE001 - whatever it is, it has to be told
                errors.append(error)
    file.unlink()
    errors.append(error_of(f"FROM '{file}'"))
    untold = [error for error in errors if not isinstance(explain(error), UnreadableTableError)]
    assert len(errors) > 10
    assert untold == []
