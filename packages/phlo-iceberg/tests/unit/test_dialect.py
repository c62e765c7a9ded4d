"""Trino's SQL over DuckDB, held against what a real Trino 476 answered."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from phlo.contract.patterns import to_sql_pattern
from phlo.errors import QueryError, TableNotFoundError
from phlo.names import TableName
from phlo_iceberg.read.dialect import parser
from phlo_iceberg.read.dialect.connection import prepare
from phlo_iceberg.read.dialect.examine import examine_duckdb, examine_trino
from phlo_iceberg.read.dialect.patterns import is_alike_in_both
from phlo_iceberg.read.dialect.rules import AGGREGATE_RULES, RULES, WINDOW_RULES
from phlo_iceberg.read.dialect.translation import parse, translate
from phlo_testing.trino_answers import compare_answers, read_answers

ANSWERS = Path(__file__).parent.parent / "data" / "trino_answers.jsonl"
FUNCTIONS = ANSWERS.with_name("trino_functions.txt")
EVENTS = TableName("bronze", "events")
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("x", pa.float64()),
        ("p", pa.decimal128(10, 2)),
        ("s", pa.string()),
        ("day", pa.date32()),
        ("at", pa.timestamp("us", "UTC")),
    ]
)


@pytest.fixture
def answer():
    """Answer a statement over no tables, in one connection for all."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    made, untranslated = set(), []

    def run(statement):
        for errors in untranslated:
            errors.clear()
        query = translate(parse(statement, frozenset(), "lake"), {})
        untranslated.append(prepare(connection, query.uses - made))
        made.update(query.uses)
        table = connection.sql(query.sql).to_arrow_table()
        for errors in filter(None, untranslated):
            raise errors[0]
        types = [column.type for column in query.columns]
        columns = [column.to_pylist() for column in table.columns]
        return types, [list(row) for row in zip(*columns, strict=True)]

    yield run
    connection.close()


def test_every_recorded_answer_is_equal_or_refused_by_name(answer):
    comparison = compare_answers(read_answers(ANSWERS), answer)
    assert not comparison.different, "\n".join(comparison.different)
    assert comparison.counts["equal"] + comparison.counts["equal error"] > 2400


def translated(text):
    return translate(parse(text, frozenset(), "lake"), {EVENTS: SCHEMA})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELECT word_stem(s) FROM bronze.events", "word_stem(s)"),
        ("SELECT nonsense(s) FROM bronze.events", "nonsense(...)"),
        ("SELECT checksum(id) FROM bronze.events", "checksum(id)"),
        ("SELECT length(id) FROM bronze.events", "length does not take (bigint)"),
        ("SELECT id FROM bronze.events WHERE s = 1", "compares two types"),
        ("SELECT id FROM bronze.events WHERE day = '2025-01-15'", "compares two types"),
        ("SELECT nosuch FROM bronze.events", "There is no column 'nosuch'"),
        ("SELECT id::varchar FROM bronze.events", "'::' is not in Trino's dialect"),
        ("SELECT id FROM bronze.events FOR VERSION AS OF 1", "VERSION is not translated"),
        ("SELECT count(order) FROM bronze.events", "'order' is a reserved word"),
        ("SELECT id AS end FROM bronze.events", "'end' is a reserved word"),
        ("SELECT s || id FROM bronze.events", "puts together what is no text"),
    ],
)
def test_what_has_no_rule_or_no_type_is_named_before_it_runs(text, said):
    with pytest.raises(QueryError) as error:
        translated(text)
    assert said in str(error.value)
    assert "Hint:" in str(error.value)


def test_a_function_that_reads_files_is_named_as_it_is_written():
    with pytest.raises(QueryError, match=r"not read_csv\('x'\)"):
        parse("SELECT * FROM read_csv('x')", frozenset(), "lake")


@pytest.mark.parametrize(
    "text",
    [
        "try(width_bucket(1e0, array[b, 1e0])) FROM (VALUES cast(null as double)) AS t(b)",
        "try(regexp_like('a', p)) FROM (VALUES 'a', '[[:alpha:]]') AS t(p)",
        "try(coalesce(try_cast(s AS date), current_date)) FROM (VALUES '-0976-01-01') AS t(s)",
        "try_cast(s AS timestamp) FROM (VALUES '12024-01-01 00:00:00') AS t(s)",
        "try(date_format(date_add('year', 9000, at), '%Y')) FROM (VALUES now()) AS t(at)",
        "try(date_parse(s, '%Y-%m')) FROM (VALUES '12024-01') AS t(s)",
    ],
)
def test_what_no_rule_reads_of_a_row_is_no_null_of_try(answer, text):
    with pytest.raises((duckdb.Error, ValueError), match="not translated|for any number"):
        answer(f"SELECT {text}")


def test_an_error_of_a_row_names_the_place_in_the_query(answer):
    with pytest.raises(duckdb.Error, match=r"DIVISION_BY_ZERO.*x / y"):
        answer("SELECT x / y FROM (VALUES (1, 0)) AS t(x, y)")


def test_columns_have_the_types_of_trino():
    query = translated(
        "SELECT sum(id) AS a, avg(p) AS b, p / 3 AS c, date_trunc('month', day) AS d, p * p AS e,"
        " count_if(x > 1) AS f FROM bronze.events GROUP BY p, day"
    )
    assert [str(column.type) for column in query.columns] == [
        "bigint",
        "decimal(10,2)",
        "decimal(10,2)",
        "date",
        "decimal(20,4)",
        "bigint",
    ]


def test_a_comparison_with_a_literal_stays_one_that_skips_files():
    assert '"x" < CAST' in translated("SELECT id FROM bronze.events WHERE x < 1e0").sql
    assert "isnan" not in translated("SELECT id FROM bronze.events WHERE x < 1e0").sql
    assert "isnan" in translated("SELECT id FROM bronze.events WHERE x > 1e0").sql


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            r"\w+",
            r"\W",
            r"\s\S*",
            r"[\w.]+@[^\s@]+\.\w{2,}",
            r"\D",
            r"[^\x00-\x7f]",
            r"[\x80-\xff]",
        ),
        *(r"\#[\$\.\*]+\ \=", r"\a\v\t", r"[&~^-]", r"it's|\"", r"[]a]\Z", r"[a&b][\[]"),
    ],
)
def test_patterns_of_python_in_the_form_for_engines_are_read_alike(pattern):
    for where in ("start", "whole", "anywhere"):
        rewritten = to_sql_pattern(pattern, where)
        assert rewritten is not None
        assert is_alike_in_both(rewritten)


def test_every_function_of_the_table_has_a_recorded_answer():
    text = " ".join(recorded["sql"] for recorded in read_answers(ANSWERS))
    names = {*RULES, *AGGREGATE_RULES, *WINDOW_RULES} - {"phlo_hash"}
    assert not {name for name in names if f"{name}(" not in text}


@pytest.mark.parametrize("arguments", ["", "1", "'a', 'b'"])
def test_every_function_of_trino_is_translated_or_refused_by_name(arguments):
    errors = [
        refusal_of(f"SELECT {name}({arguments}) AS x") for name in FUNCTIONS.read_text().split()
    ]
    assert len(errors) > 390
    assert not [text for text in errors if "this query" in text]


def refusal_of(text):
    try:
        return "" if translated(text).columns else "no columns"
    except QueryError as error:
        return str(error)


def test_every_function_of_the_table_is_on_the_page():
    page = (Path(__file__).parents[4] / "docs" / "reference" / "sql.md").read_text()
    names = {*RULES, *AGGREGATE_RULES, *WINDOW_RULES} - {"phlo_hash"}
    assert not {name for name in names if f"`{name}(" not in page}


@pytest.mark.parametrize(
    ("text", "constructs"),
    [
        ("SELECT count(*) FROM bronze.events WHERE id > 1", []),
        ("SELECT approx_distinct(id), random() FROM bronze.events", ["approx_distinct", "random"]),
        ("SELECT shuffle(array[1]) FROM bronze.events", ["shuffle(ARRAY[1])"]),
        ("SELECT id = s FROM bronze.events", ["bigint and varchar"]),
        ("SELECT approx_distinct(v) FROM bronze.missing", ["approx_distinct"]),
        ("SELECT id, s FROM bronze.events ORDER BY id OFFSET 1 LIMIT 1", []),
        (
            "SELECT id FROM (SELECT id FROM bronze.events OFFSET 1 LIMIT 1) ORDER BY id",
            ["LIMIT without ORDER BY", "OFFSET without ORDER BY"],
        ),
        ("SELECT id FROM bronze.events FETCH FIRST ROW ONLY", ["LIMIT without ORDER BY"]),
        (
            "SELECT array_agg(id), any_value(id), array_sort(array_agg(id)), "
            "array_agg(id ORDER BY id), map_agg(s, id) FROM bronze.events",
            ["array_agg without ORDER BY", "any_value", "map_agg without ORDER BY"],
        ),
        (
            "SELECT row_number() OVER (PARTITION BY s), first_value(id) OVER (ORDER BY id) "
            "FROM bronze.events TABLESAMPLE BERNOULLI (10)",
            ["row_number without ORDER BY", "TABLESAMPLE"],
        ),
    ],
)
def test_a_query_is_examined_before_it_runs(text, constructs):
    def columns(table):
        if table != EVENTS:
            raise TableNotFoundError("No such table.")
        return SCHEMA

    assert [f.construct for f in examine_trino(text, "lake", columns)] == constructs


def test_a_query_that_may_differ_is_warned_of_once(caplog):
    for _ in range(2):
        translated("SELECT approx_distinct(s) AS warned FROM bronze.events")
    assert [r.message.partition(":")[0] for r in caplog.records] == [
        "approx_distinct may differ on Trino"
    ]


def test_a_look_at_some_rows_is_not_warned_of(caplog):
    translated("SELECT id AS looked FROM bronze.events LIMIT 3")
    assert caplog.records == []
    translated("SELECT id AS looked FROM (SELECT id FROM bronze.events LIMIT 3)")
    assert [r.message.partition(":")[0] for r in caplog.records] == [
        "LIMIT without ORDER BY may differ on Trino"
    ]


@pytest.mark.parametrize(
    ("text", "constructs"),
    [
        (
            "WITH x AS (SELECT CAST(a AS decimal(10,2)) AS d, row_number() OVER (ORDER BY b) "
            "FROM (SELECT 1) t(a) WHERE a IN (1, 2) AND NOT (b)) SELECT coalesce(d, 0) FROM x",
            [],
        ),
        ("SELECT date_diff('day', a, b), a / 2 FROM t", ["date_diff()", "/"]),
        ("SELECT x::int, foo(y), 'bar(' FROM t QUALIFY z", ["::", "foo()", "qualify"]),
    ],
)
def test_a_dbt_model_is_examined_for_what_trino_does_otherwise(text, constructs):
    assert [f.construct for f in examine_duckdb(text)] == constructs


def test_no_part_of_a_query_that_fits_is_written_for_messages(monkeypatch):
    def write(node):
        raise AssertionError(node)

    monkeypatch.setattr(parser, "_write", write)
    conditions = ["x > 1 AND NOT is_nan(x)", "s IN ('a', 'b')", "p * p > 1.5", "id BETWEEN 1 AND 2"]
    filters = [f"count(*) FILTER (WHERE {condition})" for condition in conditions]
    query = translated(f"SELECT {', '.join(filters)}, count_if(x = 1) FROM bronze.events")
    assert len(query.columns) == 5
