"""Checking what checks and decorators are given, at the time they are written."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NoReturn

from phlo.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence


def refuse(owner: object, argument: str, value: object, expected: str, hint: str = "") -> NoReturn:
    """Raise the error for one wrong argument.

    Args:
        owner: The check, its class, or the name of what was called.
        argument: The argument's name.
        value: What was given.
        expected: What is allowed.
        hint: The edit that helps; made from ``expected`` when left out.
    """
    name = owner if isinstance(owner, str) else getattr(owner, "__name__", type(owner).__name__)
    raise InvalidArgumentError(
        f"{name} cannot take {argument}={value!r}.",
        got=repr(value),
        expected=expected,
        hint=hint or f"Set {argument} to {expected}.",
        argument=argument,
        value=value,
    )


def column_name(owner: object, argument: str, value: object) -> str:
    """A column's name."""
    if not isinstance(value, str) or not value:
        refuse(owner, argument, value, "the name of a column")
    return value


def column_names(owner: object, argument: str, value: Sequence[str]) -> tuple[str, ...]:
    """A list of different column names, not empty; a bare text is no list."""
    if isinstance(value, str):
        refuse(owner, argument, value, "a list of columns", f"Write {argument}=[{value!r}].")
    names = tuple(column_name(owner, argument, v) for v in value)
    if not names or len(set(names)) < len(names):
        refuse(owner, argument, list(names), "one or more different columns")
    return names


def fraction(owner: object, argument: str, value: float) -> float:
    """A share between 0 and 1."""
    if not is_number(value) or not 0 <= value <= 1:
        refuse(owner, argument, value, "a share between 0 and 1")
    return value


def not_negative(owner: object, argument: str, value: float) -> float:
    """A finite number, zero or more."""
    if not is_number(value) or not math.isfinite(value) or value < 0:
        refuse(owner, argument, value, "a number of at least 0")
    return value


def is_number(value: object) -> bool:
    """Whether a value is a number and not a boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def share_of(share: float, total: Any) -> Fraction:
    """A share of a total, as people mean it: 0.29 of 100 is 29, not 28.999999999999996.

    >>> share_of(0.29, 100) == 29
    True
    """
    return Fraction(str(share)) * Fraction(str(total))
