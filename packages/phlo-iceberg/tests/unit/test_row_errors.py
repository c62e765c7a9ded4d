"""Errors of rows have Trino's names, and the place in the user's query."""

import pytest
from phlo.errors import QueryError
from phlo.lake import open_lake


@pytest.fixture
def engine(phlo_environment):
    return open_lake().engine


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "SELECT x + y\nFROM (VALUES (2147483647, 1)) AS t(x, y)",
            r"NUMERIC_VALUE_OUT_OF_RANGE: .*, in 'x \+ y' of line 1",
        ),
        (
            "SELECT\n  x,\n  CAST(s AS integer)\nFROM (VALUES (1, 'x')) AS t(x, s)",
            r"INVALID_CAST_ARGUMENT: Cannot cast 'x' to INTEGER, in 'CAST\(s AS INTEGER\)' of "
            r"line 3",
        ),
        (
            "SELECT CAST(x AS tinyint) FROM (VALUES 1000) AS t(x)",
            r"INVALID_CAST_ARGUMENT: .*, in 'CAST\(x AS TINYINT\)' of line 1",
        ),
        (
            "SELECT a[1],\na[3] FROM (VALUES ARRAY[1]) AS t(a)",
            r"INVALID_FUNCTION_ARGUMENT: Array subscript 3 .*, in one of 'a\[1\]' of line 1, "
            r"'a\[3\]' of line 2",
        ),
        (
            "SELECT x / y FROM (VALUES (1.5, 0.0)) AS t(x, y)",
            r"DIVISION_BY_ZERO: Division by zero, in 'x / y' of line 1",
        ),
        (
            "SELECT x / y FROM (VALUES (1, 0)) AS t(x, y)",
            r"DIVISION_BY_ZERO: Division by zero in x / y, in 'x / y' of line 1",
        ),
        (
            "SELECT sum(x) FROM (VALUES 9223372036854775807, 1) AS t(x)",
            r"NUMERIC_VALUE_OUT_OF_RANGE: .*, in 'sum\(x\)' of line 1",
        ),
        (
            "SELECT date_parse(s, '%Y') FROM (VALUES 'x') AS t(s)",
            r"INVALID_FUNCTION_ARGUMENT: Invalid format: \"x\", in \"date_parse\(s, '%Y'\)\"",
        ),
        (
            "SELECT (SELECT y FROM (VALUES 1, 2) AS u(y))",
            r"SUBQUERY_MULTIPLE_ROWS: .*, in '\(SELECT y",
        ),
        ("SELECT x, count(*) FROM (VALUES 1) AS t(x)", r"EXPRESSION_NOT_AGGREGATE: column \"x\""),
    ],
)
def test_an_error_of_a_row_names_the_part_of_the_query_that_raised_it(engine, query, message):
    with pytest.raises(QueryError, match=message) as error:
        engine.query(query).read_all()
    text = str(error.value)
    assert not [word for word in ("UDF", "LINE 1", "SET scalar", "trino_") if word in text]
