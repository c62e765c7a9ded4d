"""Private parts of Pandera that phlo uses; everything else works with its public interface.

Each function says what it does, why no public way will do, and the version it was written for.
``tests/unit/test_pandera_private.py`` says what each must do.
"""

from __future__ import annotations

import copy
from types import FunctionType
from typing import TYPE_CHECKING, Any

from pandera.api.dataframe.model_components import CHECK_KEY
from pandera.engines import pandas_engine
from pydantic import RootModel, ValidationError, create_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from pandera.api.checks import Check
    from pandera.pandas import DataFrameModel


def check_functions(model: type[DataFrameModel]) -> dict[str, FunctionType]:
    """Return the functions of a model's ``@check`` methods by name, inherited ones included.

    The compiled schema holds checks already bound to the model, so that their first argument,
    ``cls``, can no longer be chosen (Pandera 0.35).
    """
    functions = (info.check_fn for info in model._collect_check_infos(CHECK_KEY))
    return {f.__name__: f for f in functions if isinstance(f, FunctionType)}


def with_function(check: Check, function: Callable[..., Any]) -> Check:
    """Return a copy of a check that judges by another function, its options kept.

    Building a ``Check`` anew would need every option that decorators and extensions may set, and
    some are private (Pandera 0.35).
    """
    copied = copy.copy(check)
    copied._check_fn = function
    return copied


def fit_nested(dtype: pandas_engine.PythonGenericType) -> Callable[[Any, bool], Any]:
    """Return a function that holds lists and dicts to a Python type such as ``dict[str, int]``.

    It takes a value, and whether elements may be coerced; it returns the value, or raises
    ``ValueError``. Pandera's own check of one element has no public name (Pandera 0.35).
    """
    is_dict = isinstance(dtype, pandas_engine.PythonDict | pandas_engine.PythonTypedDict)
    typed = dtype.generic_type or dtype.special_type
    is_tuple = isinstance(dtype, pandas_engine.PythonTuple | pandas_engine.PythonNamedTuple)
    coercing = create_model("Nested", __base__=RootModel[typed]) if typed is not None else None

    def fit(value: Any, coerce: bool) -> Any:
        if isinstance(value, dict) != is_dict:
            raise ValueError("no dict" if is_dict else "no list")
        value = tuple(value) if is_tuple else value
        if coercing is None or dtype._check_type(value):
            return value
        if not coerce:
            raise ValueError(f"its elements are not those of {typed}")
        try:
            return coercing(value).model_dump()
        except ValidationError as exc:
            raise ValueError(f"its elements are not those of {typed}") from exc

    return fit
