"""DuckDB and a real Trino answer the same queries: the recorded ones, and random ones.

A run prints its seed, and PHLO_SQL_SEED repeats it.
"""

import os
import random
from collections import Counter
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, seed, settings
from phlo_iceberg.read.dialect.connection import prepare
from phlo_iceberg.read.dialect.translation import parse, translate
from phlo_testing.trino_answers import ask_trino, compare_answers, has_order, read_answers
from phlo_testing.trino_queries import queries

pytestmark = [pytest.mark.trino, pytest.mark.integration, pytest.mark.xdist_group("servers")]

ANSWERS = Path(__file__).parent.parent / "data" / "trino_answers.jsonl"
QUERIES = int(os.environ.get("PHLO_SQL_QUERIES", "2000"))
SEED = int(os.environ.get("PHLO_SQL_SEED", random.SystemRandom().randrange(2**32)))

AVOIDABLE = ("DIVISION_BY_ZERO", "Overflow in", "Could not cast value")


@pytest.fixture(scope="module")
def trino(trino_lake):
    with trino_lake.connect() as connection:
        yield connection


def answer(statement):
    query = translate(parse(statement, frozenset(), "lake"), {})
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        untranslated = prepare(connection, query.uses)
        table = connection.sql(query.sql).to_arrow_table()
    if untranslated:
        raise untranslated[0]
    columns = [column.to_pylist() for column in table.columns]
    return [c.type for c in query.columns], [list(row) for row in zip(*columns, strict=True)]


def test_trino_still_answers_what_is_recorded(trino):
    changed = [
        recorded["sql"]
        for recorded in read_answers(ANSWERS)
        if in_any_order(ask_trino(trino, recorded["sql"])) != in_any_order(recorded)
    ]
    assert not changed


def test_the_list_of_functions_is_that_of_trino(trino):
    names = {row[0] for row in trino.cursor().execute("SHOW FUNCTIONS").fetchall()}
    assert names == set(ANSWERS.with_name("trino_functions.txt").read_text().split())


def in_any_order(recorded):
    is_ordered = "rows" not in recorded or has_order(recorded["sql"])
    return recorded if is_ordered else {**recorded, "rows": sorted(recorded["rows"])}


def test_random_queries_are_answered_alike_or_refused(trino):
    print(f"PHLO_SQL_SEED={SEED}")
    counts = Counter()

    @seed(SEED)
    @given(statement=queries())
    @settings(
        max_examples=QUERIES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def ask_both(statement):
        asked = [ask_trino(trino, statement)]
        comparison = compare_answers(asked, answer, avoidable=AVOIDABLE)
        counts.update(comparison.counts)
        assert not comparison.different, comparison.different[0]

    ask_both()
    print(dict(counts))
    excused = counts["raised"] + counts["left out"] + counts["no answer"]
    assert counts["equal"] > QUERIES / 2
    assert excused < QUERIES / 20
