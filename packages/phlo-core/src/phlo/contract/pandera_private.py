"""Private parts of Pandera that phlo uses; everything else works with its public interface.

Each function says what it does, why no public way will do, and the version it was written for.
``tests/unit/test_pandera_private.py`` says what each must do.
"""

from __future__ import annotations

import copy
from types import FunctionType
from typing import TYPE_CHECKING, Any

from pandera.api.dataframe.model_components import CHECK_KEY

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
