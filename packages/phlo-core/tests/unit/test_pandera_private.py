"""What the private parts of Pandera must do, each by name."""

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series
from phlo.contract.pandera_private import check_functions, with_function


class Base(pa.DataFrameModel):
    low: Series[int]

    @pa.check("low")
    def is_positive(cls, low):
        return low > 0


class Derived(Base):
    high: Series[int]

    @pa.check("high")
    def is_even(cls, high):
        return high % 2 == 0


def test_check_functions_gives_own_and_inherited_functions_by_name():
    functions = check_functions(Derived)

    assert set(functions) == {"is_positive", "is_even"}
    assert functions["is_even"](None, pd.Series([1, 2])).tolist() == [False, True]


def test_with_function_replaces_the_function_and_keeps_the_options():
    check = pa.Check(lambda values: values > 0, name="positive", ignore_na=False)

    negative = with_function(check, lambda values: values < 0)

    assert negative(pd.Series([-1, -2])).check_passed
    assert not check(pd.Series([-1, -2])).check_passed
    assert (negative.name, negative.ignore_na) == ("positive", False)
