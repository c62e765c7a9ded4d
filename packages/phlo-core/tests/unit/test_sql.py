from decimal import Decimal

import pytest
from phlo.errors import QueryError
from phlo.names import TableName
from phlo.sql import Identifier, Sql, literal, quote_identifier, sql


def test_parts_are_quoted_by_their_type():
    text = sql(
        "SELECT {c} FROM {t} WHERE {x} AND {c} IN ({v})",
        c=Identifier('a"b'),
        t=TableName("br onze", "ev;ents"),
        x=Sql("1 = 1"),
        v=["it's", 2, None],
    )
    assert text == (
        'SELECT "a""b" FROM "br onze"."ev;ents" WHERE 1 = 1 AND "a""b" IN (\'it\'\'s\', 2, NULL)'
    )


@pytest.mark.parametrize("name", ["", "a\x00b"])
def test_a_name_that_sql_cannot_hold_is_refused(name):
    with pytest.raises(QueryError):
        quote_identifier(name)


def test_floats_stay_doubles_and_special_values_are_casts():
    assert [literal(v) for v in (1.5, float("nan"), float("-inf"), 1e300)] == [
        "1.5e0",
        "CAST('NaN' AS DOUBLE)",
        "CAST('-Infinity' AS DOUBLE)",
        "1e+300",
    ]


def test_a_decimal_keeps_all_its_digits_in_every_engine():
    assert [literal(Decimal(v)) for v in ("0.12345", "-100", "1E+3", "NaN")] == [
        "CAST('0.12345' AS DECIMAL(5, 5))",
        "CAST('-100' AS DECIMAL(3, 0))",
        "CAST('1000' AS DECIMAL(4, 0))",
        "CAST('NaN' AS DOUBLE)",
    ]


def test_a_decimal_too_long_for_sql_is_refused():
    with pytest.raises(QueryError, match="38 digits"):
        literal(Decimal("1" * 39))
