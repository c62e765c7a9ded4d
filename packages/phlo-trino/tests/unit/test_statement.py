from datetime import date
from decimal import Decimal

import pytest
from phlo.errors import QueryError
from phlo.names import TableName
from phlo_trino.statement import write_statement

EVENTS = TableName("bronze", "events")


def test_text_without_tables_of_another_catalog_or_version_stays_as_written():
    text = "SELECT  a FROM bronze.events -- é\nWHERE b = 'x ? y'"
    assert write_statement(text, {}).text == text


def test_a_version_follows_every_mention_of_its_table_and_no_other():
    text = "WITH e AS (SELECT 1 FROM bronze.events AS e) SELECT 1 FROM e, Lake.bronze.events, b.c"
    assert write_statement(text, {EVENTS: "17"}).text == (
        'WITH e AS (SELECT 1 FROM "bronze"."events" FOR VERSION AS OF 17 AS e)'
        ' SELECT 1 FROM e, "bronze"."events" FOR VERSION AS OF 17, b.c'
    )
    text = "SELECT * FROM bronze.events"
    written = write_statement(text, {EVENTS: "audit/it's"}).text
    assert written.endswith("""FOR VERSION AS OF 'audit/it''s'""")
    assert write_statement(text, {EVENTS: "main"}).text == text


def test_parameters_become_typed_literals():
    text = "SELECT ?, ?, '?', \"?\" /* ? */ FROM t LIMIT ?"
    written = write_statement(text, {}, [1, Decimal("1.50"), 3]).text
    assert written == (
        "SELECT CAST(1 AS BIGINT), CAST(CAST('1.50' AS DECIMAL(3, 2)) AS DECIMAL(38, 2)), "
        "'?', \"?\" /* ? */ FROM t LIMIT 3"
    )
    assert write_statement("SELECT ?", {}, [date(2025, 1, 2)]).text == "SELECT DATE '2025-01-02'"


def test_a_parameter_without_a_value_is_an_error():
    with pytest.raises(QueryError, match="more parameters than values"):
        write_statement("SELECT ?, ?", {}, [1])


@pytest.mark.parametrize("wanted", ["?", "lake", "nonesuch", "WHERE", "nope"])
def test_a_place_is_told_in_the_authors_text(wanted):
    text = "SELECT ?, nonesuch\n  FROM lake.bronze.events\nWHERE a = ? AND nope"
    statement = write_statement(text, {EVENTS: "17"}, ["a long parameter", "b"])
    shown = {"?": "'a long", "lake": '"bronze"'}.get(wanted, wanted)
    before = statement.text[: statement.text.index(shown)]
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    line, column = statement.place(line, column)
    assert text.split("\n")[line - 1][column - 1 :].startswith(wanted)
