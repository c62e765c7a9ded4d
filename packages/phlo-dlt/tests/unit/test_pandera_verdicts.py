"""Coercion and nullability as Pandera judges them, on situations that its own tests look at."""

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pytest
from phlo.contract import Contract
from phlo_dlt.rows.conformer import PROBLEMS, Conformer

CATEGORY = pd.CategoricalDtype(["x", "y"])
CASES = [
    ("Int64", ["8", "9"], True),
    ("Int64", [7.5], True),
    ("Int64", ["7.5"], True),
    ("Int64", ["abc"], True),
    ("Int64", [1, None], True),
    ("Int64", [1, pd.NA], True),
    ("Int64", [2**53 + 1, None], True),
    ("int8", [127, -128], True),
    ("UInt32", [-5], True),
    ("UInt32", [0, 2**32 - 1], True),
    ("Float64", ["1.5", 2], True),
    ("Float64", ["x"], True),
    ("Float64", [None, 1.5], True),
    ("boolean", [True, None], True),
    ("string", ["a", None], True),
    ("string", [5], False),
    ("datetime64[ns]", ["2024-01-01", "1950-12-31"], True),
    ("datetime64[ns]", ["tomorrow"], True),
    ("datetime64[ns]", [None, "2024-01-01"], True),
    (CATEGORY, ["x", "y", None], True),
    (CATEGORY, ["zzz"], True),
]


@pytest.mark.parametrize(("dtype", "values", "coerce"), CASES, ids=str)
def test_a_value_is_coerced_where_pandera_coerces_it(dtype, values, coerce):
    schema = pandera.DataFrameSchema({"value": pandera.Column(dtype, nullable=True)}, coerce=coerce)

    assert is_valid(model(dtype, coerce=coerce), values) == passes(schema, values)


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, pd.NaT, np.float64("nan")])
@pytest.mark.parametrize("nullable", [True, False])
def test_a_missing_value_breaks_what_it_breaks_in_pandera(missing, nullable):
    contract = model("Float64", coerce=True, nullable=nullable)
    schema = pandera.DataFrameSchema(
        {"value": pandera.Column("Float64", nullable=nullable)}, coerce=True
    )
    frame_value = None if missing is pd.NaT else missing  # which Pandera casts to no number

    table = Conformer(contract).rows([{"value": 1.5}, {"value": missing}])

    assert table["c0"].to_pylist() == [1.5, None]
    assert contract.columns[0].nullable == passes(schema, [1.5, frame_value])


def model(dtype, *, coerce, nullable=True):
    """A contract with one column of a dtype."""
    kinds = {
        "int8": np.int8,
        "Int64": pd.Int64Dtype,
        "UInt32": pd.UInt32Dtype,
        "Float64": pd.Float64Dtype,
        "boolean": pd.BooleanDtype,
        "string": str,
        "datetime64[ns]": pd.Timestamp,
    }
    kind = kinds[dtype] if isinstance(dtype, str) else pd.CategoricalDtype
    arguments = {"categories": ["x", "y"], "ordered": False} if dtype is CATEGORY else None
    fields = {
        "__annotations__": {"value": pandera.typing.Series[kind]},
        "value": pandera.Field(nullable=nullable, coerce=coerce, dtype_kwargs=arguments),
    }
    return Contract.of(type("Model", (pandera.DataFrameModel,), fields))


def is_valid(contract, values):
    table = Conformer(contract).rows([{"value": value} for value in values])
    return table[PROBLEMS].null_count == len(values)


def passes(schema, values):
    try:
        schema.validate(pd.DataFrame({"value": pd.Series(values, dtype=object)}), lazy=True)
    except pandera.errors.SchemaErrors:
        return False
    return True
