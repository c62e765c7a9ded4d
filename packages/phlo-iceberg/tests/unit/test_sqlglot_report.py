"""The page about what sqlglot translates otherwise is true of the sqlglot that is installed."""

import re
from pathlib import Path

import duckdb
import pytest
import sqlglot
from phlo_testing.trino_answers import read_answers

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "sqlglot.md"
ANSWERS = Path(__file__).parent.parent / "data" / "trino_answers.jsonl"
ROWS = re.findall(r"^\| `(.+?)` \| `(.+?)` \| `(.+?)` \| `(.+?)` \|$", PAGE.read_text(), re.M)


@pytest.fixture(scope="module")
def recorded():
    return {answer["sql"]: answer for answer in read_answers(ANSWERS)}


def cells(rows):
    return "; ".join(", ".join(row) for row in rows)


def answer_of_duckdb(text):
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        try:
            rows = connection.execute(text).fetchall()
        except duckdb.Error as error:
            return type(error).__name__
    return cells([[repr(value) for value in row] for row in rows])


def test_the_page_has_rows():
    assert len(ROWS) > 40


@pytest.mark.parametrize(("query", "written", "by_duckdb", "by_trino"), ROWS)
def test_a_row_of_the_page_is_true_until_sqlglot_mends_it(
    recorded, query, written, by_duckdb, by_trino
):
    answer = recorded[query]
    assert (answer.get("error") or cells(answer["rows"])) == by_trino
    (text,) = sqlglot.transpile(query, read="trino", write="duckdb")
    found = answer_of_duckdb(text)
    assert found != by_trino, f"sqlglot has mended this: take it off {PAGE.name}"
    assert (text, found) == (written, by_duckdb)
