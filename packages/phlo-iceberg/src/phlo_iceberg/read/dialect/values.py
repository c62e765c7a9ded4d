"""A translated expression with its type, and the error for what is not translated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phlo.errors import QueryError
from phlo.sql import literal

from phlo_iceberg.read.dialect.types import Type

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

Node = Any
"""A node of sqlglot's tree. Its base class has another name in other versions of sqlglot."""

PAGE = "docs/reference/sql.md"
"""Where the table of rules is."""


PREFIX = "trino_"
"""Before the names of macros and Python functions, some of which DuckDB has too."""


LAMBDA = "phlo_"
"""Before the names of parameters of lambdas."""


OR_NULL = "_or_null"
"""After the name of a macro or Python function that gives null instead of an error."""

IN_TRY = "_in_try"
"""After the name of a macro whose errors DuckDB's TRY catches, which it does not of ``error()``."""


def used(uses: set[str], name: str, *arguments: str) -> str:
    """Write a call of a macro or Python function of the connection, and note its name."""
    uses.add(name)
    return f"{PREFIX}{name}({', '.join(arguments)})"


class Written:
    """A part of a query in Trino's dialect, which is written where a message needs it.

    Args:
        write: Gives the text; writing a tree takes longer than translating it.
    """

    __slots__ = ("_write",)

    def __init__(self, write: Callable[[], str]) -> None:
        self._write = write

    def __str__(self) -> str:
        return self._write()

    def __repr__(self) -> str:
        return repr(self._write())


Words = str | Written
"""A construct for messages."""


@dataclass(frozen=True)
class Value:
    """A translated expression.

    Attributes:
        sql: Text for DuckDB, which can stand as an operand.
        type: Its type in Trino.
        constant: Its value, where it is a literal.
    """

    sql: str
    type: Type
    constant: str | int | float | Decimal | None = None

    @property
    def text(self) -> str | None:
        """The text, where it is a text literal."""
        is_text = isinstance(self.constant, str) and self.type.name == "varchar"
        return self.constant if is_text else None  # pyright: ignore[reportReturnType]

    @property
    def is_finite(self) -> bool:
        """Whether it is a number that surely is neither null nor NaN."""
        if self.constant is None:
            return False
        return not isinstance(self.constant, float) or math.isfinite(self.constant)


def null_of(value: Value, kind: str) -> str:
    """Write a value of unknown type, which is null, as one of a type of DuckDB.

    What raises on the way to the null still does: ``element_at(ARRAY[], 0)``.
    """
    is_plain = value.sql.strip("()") == "NULL"
    return f"CAST({'NULL' if is_plain else f'CAST({value.sql} AS VARCHAR)'} AS {kind})"


def checked(text: str) -> str:
    """Hide whole-number arithmetic from DuckDB's optimizer.

    It turns ``i + 1 > 0`` into ``i > -1``, which answers where the sum overflows.
    """
    return f"greatest({text})"


def text_literal(text: str) -> Value:
    """Return a text of the query."""
    return Value(literal(text), Type("varchar", (len(text),)), constant=text)


def refuse(what: Words, why: str, instead: str = "") -> QueryError:
    """Return the error for a construct that is not translated, raised before anything runs.

    Args:
        what: The construct, as it is written.
        why: What keeps DuckDB from answering as Trino does.
        instead: What to write that both answer alike.
    """
    return QueryError(
        f"The embedded engine does not answer {what!r} as Trino does: {why}",
        got=str(what),
        expected=f"what the table of rules has ({PAGE})",
        hint=instead or "Write it with functions of the table, or run the query on Trino.",
    )
