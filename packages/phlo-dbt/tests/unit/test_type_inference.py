from datetime import date, datetime

import pytest
from phlo.errors import UnsupportedTypeError
from phlo_dbt.type_inference import infer_type, type_of_sql


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("reading_timestamp", datetime),
        ("reading_date", datetime),
        ("created_at", datetime),
        ("CREATED_AT", datetime),
        ("entry_id", str),
        ("id", str),
        ("reading_count", int),
        ("paid_amount", int),
        ("line_num", int),
        ("order_qty", int),
        ("in_range_pct", float),
        ("share_percent", float),
        ("flat", str),
        ("timestamp", str),
        ("valid", str),
        ("discount", str),
        ("note", str),
    ],
)
def test_a_name_tells_the_type_by_its_exact_suffix(name, kind):
    assert infer_type(name) is kind


@pytest.mark.parametrize(
    ("accepted", "kind"),
    [([1, 2], int), (["a", "b"], str), ([1, 2.5], float), ([True, False], bool), ([1, "a"], str)],
)
def test_accepted_values_tell_the_type(accepted, kind):
    assert infer_type("x", accepted=accepted) is kind


def test_bounds_tell_the_type():
    assert infer_type("x", bounds=[0, 10]) is int
    assert infer_type("x", bounds=[0.5, 10]) is float


def test_a_name_wins_over_values():
    assert infer_type("x_id", accepted=[1, 2]) is str


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("VARCHAR(20)", str),
        ("text", str),
        ("integer", int),
        ("int64", int),
        ("HUGEINT", int),
        ("double precision", float),
        ("FLOAT8", float),
        ("boolean", bool),
        ("date", date),
        ("timestamp(6) with time zone", datetime),
        ("TIMESTAMPTZ", datetime),
        ("varbinary", bytes),
        ("struct(a int)", str),
        ("varchar[]", str),
    ],
)
def test_sql_types_are_known(sql, kind):
    assert type_of_sql(sql, where="m.c") is kind


def test_decimals_keep_precision_and_scale():
    assert type_of_sql("numeric(12,4)", where="m.c").__metadata__[:2] == (12, 4)


def test_an_unknown_sql_type_is_an_error():
    with pytest.raises(UnsupportedTypeError, match=r"m\.c"):
        type_of_sql("geometry", where="m.c")
