"""A Pandera model as a contract."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

import duckdb
import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from pandera.engines import pandas_engine
from pandera.errors import SchemaErrors
from pandera.typing import Series
from phlo.contract import Contract
from phlo.errors import ConfigurationError, InvalidNameError, UnsupportedTypeError
from phlo.schemas import PhloSchema


def types(model) -> dict[str, pyarrow.DataType]:
    return {f.name: f.type for f in Contract.of(model).arrow_schema}


def failing(contract: Contract, rows: pyarrow.Table) -> dict[str, list[int]]:
    """Positions of failing rows by rule, as DuckDB and Pandera find them."""
    found = {r.name: r.failing(rows) for r in contract.frame_rules}
    connection = duckdb.connect()
    connection.register("rows", rows.append_column("_n", [list(range(rows.num_rows))]))
    for rule in contract.rules:
        query = f"SELECT _n FROM rows WHERE {rule.predicate} ORDER BY _n"
        statement = sqlglot.transpile(query, read="trino", write="duckdb")[0]
        found[rule.name] = [n for (n,) in connection.execute(statement).fetchall()]
    return {name: positions for name, positions in found.items() if positions}


def test_types_of_the_guide_become_arrow_types():
    class Model(pa.DataFrameModel):
        s: Series[str]
        i: Series[int]
        f: Series[float]
        t: Series[datetime]
        b: Series[bool]
        d: date
        n: bytes
        o: list
        m: dict[str, int]
        c: Annotated[pd.ArrowDtype, pyarrow.decimal128(10, 2)]
        small: np.int16
        single: np.float32
        wide: pd.Int64Dtype
        zoned: Annotated[pd.DatetimeTZDtype, "ns", "Europe/Berlin"]

    assert types(Model) == {
        "s": pyarrow.string(),
        "i": pyarrow.int64(),
        "f": pyarrow.float64(),
        "t": pyarrow.timestamp("us", tz="UTC"),
        "b": pyarrow.bool_(),
        "d": pyarrow.date32(),
        "n": pyarrow.binary(),
        "o": pyarrow.string(),
        "m": pyarrow.string(),
        "c": pyarrow.decimal128(10, 2),
        "small": pyarrow.int32(),
        "single": pyarrow.float32(),
        "wide": pyarrow.int64(),
        "zoned": pyarrow.timestamp("us", tz="UTC"),
    }


def test_decimal_keeps_precision_and_scale():
    class Model(pa.DataFrameModel):
        plain: Decimal
        money: Annotated[pandas_engine.Decimal, 12, 2, None]

    assert types(Model) == {"plain": pyarrow.decimal128(28, 0), "money": pyarrow.decimal128(12, 2)}


def test_only_columns_that_pandera_requires_are_not_nullable():
    class Model(pa.DataFrameModel):
        id: Series[str] = pa.Field(description="The key.", metadata={"renamed_from": "key"})
        notes: Series[str] | None = pa.Field(nullable=True)
        status: Series[str] = pa.Field(nullable=True, default="pending")

    schema = Contract.of(Model).arrow_schema

    assert [f.nullable for f in schema] == [False, True, True]
    assert schema.field("id").metadata == {b"doc": b"The key.", b"renamed_from": b"key"}
    assert [c.default for c in Contract.of(Model).columns] == [None, None, "pending"]


def test_an_unsupported_type_names_class_and_field():
    class Oddities(pa.DataFrameModel):
        elapsed: pd.Timedelta

    with pytest.raises(UnsupportedTypeError, match=r"'elapsed' of Oddities"):
        Contract.of(Oddities)


@pytest.mark.filterwarnings("ignore:Importing pandas-specific classes:FutureWarning")
def test_models_of_plain_pandera_work_with_aliases_and_inheritance():
    import pandera as plain

    class Base(plain.DataFrameModel):
        key: Series[str] = plain.Field(alias="the key", unique=True)

    class Child(Base):
        day: int
        value: float

        class Config:
            strict = True
            unique = ["day", "value"]

    contract = Contract.of(Child)

    assert contract.column_names == ("the key", "day", "value")
    assert contract.unique == (("the key",), ("day", "value"))
    assert contract.strict


def test_underscored_fields_of_a_phlo_schema_are_columns():
    class Entries(PhloSchema):
        _id: str = pa.Field(unique=True, str_startswith="e")
        value: int

        @pa.check("_id")
        def is_short(cls, ids):
            return ids.str.len() < 4

    class More(Entries):
        extra: str

    contract = Contract.of(More)

    assert contract.column_names == ("_id", "value", "extra")
    assert contract.unique == (("_id",),)
    rows = pyarrow.table({"_id": ["e1", "x2", "e345"], "value": [1, 2, 3], "extra": ["", "", ""]})
    assert failing(contract, rows) == {"_id: str_startswith('e')": [1], "_id: is_short": [2]}
    assert list(Entries.validate(pd.DataFrame({"_id": ["e1"], "value": [1]})).columns) == [
        "_id",
        "value",
    ]


def test_underscored_fields_of_a_plain_model_are_an_error_that_shows_the_alias():
    class Plain(pa.DataFrameModel):
        _id: str = pa.Field(unique=True)

    with pytest.raises(InvalidNameError, match=r'Field\(alias="_id"\)'):
        Contract.of(Plain)


def test_parsers_are_refused():
    class Parsed(pa.DataFrameModel):
        name: str

        @pa.parser("name")
        def lower(cls, names):
            return names.str.lower()

    with pytest.raises(ConfigurationError, match="Parsed has parsers"):
        Contract.of(Parsed)


def test_a_text_given_as_regex_is_judged_as_whole_value_pattern_with_a_warning():
    class Address(pa.DataFrameModel):
        postal_code: str = pa.Field(regex=r"^\d{5}$")

    with pytest.warns(UserWarning, match="str_matches"):
        contract = Contract.of(Address)

    rows = pyarrow.table({"postal_code": ["12345", "123456", "1234", "12345\n"]})
    assert failing(contract, rows) == {"postal_code: matches('^\\\\d{5}$')": [1, 2, 3]}


def test_nulls_break_not_nullable_alone_and_nan_counts_as_null():
    class Model(pa.DataFrameModel):
        value: float = pa.Field(ge=0)
        name: str = pa.Field(isin=["a"])

    rows = pyarrow.table({"value": [1.0, None, float("nan"), -1.0], "name": ["a", None, "a", "b"]})

    assert failing(Contract.of(Model), rows) == {
        "value: not_nullable": [1, 2],
        "value: greater_than_or_equal_to(0)": [3],
        "name: not_nullable": [1],
        "name: isin(['a'])": [3],
    }


def test_functions_groups_and_lookaround_are_judged_by_pandera():
    class Model(pa.DataFrameModel):
        value: float
        code: str = pa.Field(str_matches="(?=a)a.")

        @pa.check("value")
        def is_small(cls, values):
            return values < 10

        @pa.check("value")
        def mean_is_small(cls, values):
            return values.mean() < 100

        @pa.dataframe_check
        def code_is_long(cls, frame):
            return frame["code"].str.len() > 1

    contract = Contract.of(Model)
    rows = pyarrow.table({"value": [1.0, 20.0], "code": ["ab", "b"]})

    assert {r.name for r in contract.rules} == {"value: not_nullable", "code: not_nullable"}
    assert failing(contract, rows) == {
        "value: is_small": [1],
        "code: str_matches('(?=a)a.')": [1],
        "code_is_long": [1],
    }


def test_a_check_may_read_other_columns_from_its_class_as_the_guide_does():
    class Model(pa.DataFrameModel):
        start_date: Series[datetime]
        end_date: Series[datetime] = pa.Field(nullable=True)

        @pa.check("end_date")
        def end_after_start(cls, series):
            return series >= cls.start_date

    days = [datetime(2025, 1, day) for day in (1, 2, 3)]
    columns = {"start_date": [days[1]] * 4, "end_date": [*days, None]}
    rows = pyarrow.table(columns).cast(Contract.of(Model).arrow_schema)

    assert failing(Contract.of(Model), rows) == {"end_date: end_after_start": [0]}


def test_a_check_that_raises_fails_every_row():
    class Model(pa.DataFrameModel):
        value: float

        @pa.check("value")
        def broken(cls, values):
            raise TypeError("no")

    rows = pyarrow.table({"value": [1.0, 2.0]})
    assert failing(Contract.of(Model), rows) == {"value: broken": [0, 1]}


class Everything(pa.DataFrameModel):
    number: float = pa.Field(ge=-1, le=2.5, ne=0.5, nullable=True)
    between: float = pa.Field(in_range={"min_value": 0, "max_value": 1, "include_max": False})
    count: int = pa.Field(gt=-2, lt=3, isin=[-1, 0, 1, 2, 5])
    other: int = pa.Field(notin=[0, 7], eq=1)
    text: str = pa.Field(nullable=True, str_startswith="a", str_endswith="b")
    sized: str = pa.Field(str_length={"min_value": 1, "max_value": 2}, str_contains=r"\d|\s")
    match: str = pa.Field(str_matches=r"\w[^a\d]?$", nullable=True)
    flag: bool = pa.Field(eq=True)
    moment: datetime = pa.Field(ge=datetime(2020, 1, 1), nullable=True)


TEXTS = st.text(alphabet="ab1 _\n\x0bé٣\u2003", max_size=3)
FLOATS = st.sampled_from([-1.5, -1.0, -0.0, 0.0, 0.5, 1.0, 2.5, 2.6, float("inf"), float("nan")])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "number": st.none() | FLOATS,
            "between": FLOATS,
            "count": st.integers(-3, 6),
            "other": st.sampled_from([0, 1, 7]),
            "text": st.none() | TEXTS,
            "sized": TEXTS,
            "match": st.none() | TEXTS,
            "flag": st.booleans(),
            "moment": st.none() | st.datetimes(datetime(2019, 12, 31), datetime(2020, 1, 2)),
        }
    ),
    min_size=1,
    max_size=6,
)


@given(ROWS)
@settings(max_examples=80, deadline=None)
def test_the_verdict_on_every_row_equals_panderas(rows):
    contract = Contract.of(Everything)
    frame = pd.DataFrame(rows, columns=list(contract.column_names)).astype(
        {"moment": "datetime64[ns]", "number": "float64", "text": "str", "match": "str"}
    )
    table = pyarrow.Table.from_pylist(rows, schema=contract.arrow_schema)

    assert not contract.frame_rules
    assert failing(contract, table) == panderas_report(frame)


def panderas_report(frame: pd.DataFrame) -> dict[str, list[int]]:
    try:
        Everything.validate(frame, lazy=True)
    except SchemaErrors as exc:
        cases = exc.failure_cases
        assert cases["index"].notna().all(), cases
        cases = cases.assign(rule=cases["column"] + ": " + cases["check"])
        return {r: sorted({int(i) for i in g["index"]}) for r, g in cases.groupby("rule")}
    return {}
