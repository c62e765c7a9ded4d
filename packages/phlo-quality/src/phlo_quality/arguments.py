"""Checking what checks and decorators are given, at the time they are written."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NoReturn

from phlo.errors import InvalidArgumentError, QueryError
from phlo.sql import parse_expression

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phlo.sql import Sql

SHARE_ROUNDING = Fraction(1, 10**12)
"""Relative error allowed in a share: 1 / 3 and 0.7 - 0.4 are no exact floats."""


def refuse(
    owner: object,
    argument: str,
    value: object,
    expected: str,
    hint: str = "",
    cause: Exception | None = None,
) -> NoReturn:
    """Raise the error for one wrong argument.

    Args:
        owner: The check, its class, or the name of what was called.
        argument: The argument's name.
        value: What was given.
        expected: What is allowed.
        hint: The edit that helps; made from ``expected`` when left out.
        cause: The error that told it.
    """
    name = owner if isinstance(owner, str) else getattr(owner, "__name__", type(owner).__name__)
    raise InvalidArgumentError(
        f"{name} cannot take {argument}={value!r}.",
        got=repr(value),
        expected=expected,
        hint=hint or f"Set {argument} to {expected}.",
        argument=argument,
        value=value,
    ) from cause


def column_name(owner: object, argument: str, value: object) -> str:
    """Return the argument if it is a column's name."""
    if not isinstance(value, str) or not value:
        refuse(owner, argument, value, "the name of a column")
    return value


def column_names(owner: object, argument: str, value: Sequence[str]) -> tuple[str, ...]:
    """Return the argument as names of different columns, at least one; a bare text is no list."""
    if isinstance(value, str):
        refuse(owner, argument, value, "a list of columns", f"Write {argument}=[{value!r}].")
    names = tuple(column_name(owner, argument, v) for v in value)
    if not names or len(set(names)) < len(names):
        refuse(owner, argument, list(names), "one or more different columns")
    return names


def expression(owner: object, argument: str, value: object) -> Sql:
    """Parse a text that must be one SQL expression, and take its comments off.

    A text that is more than that, such as ``1=1) OR (1=1``, could undo the conditions around it.

    Raises:
        InvalidArgumentError: It is no text, or not one expression.
    """
    try:
        return parse_expression(value if isinstance(value, str) else "")
    except QueryError as exc:
        hint = f"Set {argument} to SQL that can stand alone in parentheses."
        refuse(owner, argument, value, "one SQL expression, such as 'amount > 0'", hint, exc)


def fraction(owner: object, argument: str, value: float) -> float:
    """Return the argument if it is a share between 0 and 1."""
    if not is_number(value) or not 0 <= value <= 1:
        refuse(owner, argument, value, "a share between 0 and 1")
    return value


def not_negative(owner: object, argument: str, value: float) -> float:
    """Return the argument if it is a finite number, zero or more."""
    if not is_number(value) or not math.isfinite(value) or value < 0:
        refuse(owner, argument, value, "a number of at least 0")
    return value


def is_number(value: object) -> bool:
    """Return whether a value is a number and not a boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def share_of(share: float, total: Any) -> Fraction:
    """Compute a share of a total, up to the rounding of a share that was itself computed.

    >>> share_of(0.29, 100) >= 29, share_of(1 / 3, 3) >= 1, share_of(0.7 - 0.4, 10) >= 3
    (True, True, True)
    """
    return Fraction(str(share)) * Fraction(str(total)) * (1 + SHARE_ROUNDING)
