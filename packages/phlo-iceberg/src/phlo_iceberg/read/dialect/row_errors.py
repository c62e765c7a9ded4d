"""Errors that rows raise, in Trino's words, with the part of the query that raises them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from phlo_iceberg.read.dialect.parser import MARK, as_written, parse_select
from phlo_iceberg.read.dialect.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Callable

    from phlo_iceberg.read.dialect.values import Node

MOST_PLACES = 3
"""Parts of a query that are named where any of several may have raised."""

_FRAME = re.compile(
    r"^(?:[A-Z][\w ]* Error: )?(?:Python exception occurred while executing the UDF: (?:\w+: )?)?"
)
_NAMED = re.compile(r"[A-Z]+(?:_[A-Z]+)+: ")
_FOR_DUCKDB = re.compile(r"\n+(?:LINE \d+: |Use \"SET |Either add it).*", re.S)


def describe_row_error(message: str, query: str) -> str:
    """Describe an error of DuckDB as Trino names it, with its place in the user's query.

    Args:
        message: What DuckDB says.
        query: The query in Trino's dialect.

    Example:
        >>> describe_row_error(
        ...     "Out of Range Error: Overflow in addition of INT32 (1 + 2)!", "SELECT a + b FROM t"
        ... )
        "NUMERIC_VALUE_OUT_OF_RANGE: Overflow in addition of INT32 (1 + 2)!, in 'a + b' of line 1"
    """
    text = _FOR_DUCKDB.sub("", message)
    named = _NAMED.search(text)
    text = text[named.start() :] if named else _FRAME.sub("", text)
    for pattern, name, is_place in _KINDS:
        if re.search(pattern, text):
            text = text if named else f"{name}: {text}"
            return text if "' of line" in text else text + _places(query, text, is_place)
    return text


def _places(query: str, message: str, is_place: Callable[[Node, str], bool]) -> str:
    nodes = [node for node in parse_select(query).walk() if is_place(node, message)]
    places = list(
        dict.fromkeys(f"{str(as_written(node))!r} of line {_line(node)}" for node in nodes)
    )
    if not places or len(places) > MOST_PLACES:
        return ""
    return f", in {'one of ' if len(places) > 1 else ''}{', '.join(places)}"


def _line(node: Node) -> int:
    """Return the first line in which a part of the query has a name or literal."""
    lines = [part.meta["line"] for part in node.walk() if "line" in part.meta]
    return min(lines, default=1)


def _of(*kinds: type[exp.Expr]) -> Callable[[Node, str], bool]:
    return lambda node, message: isinstance(node, kinds)


def _calls(*names: str) -> Callable[[Node, str], bool]:
    return lambda node, message: _called(node) in names


def _called(node: Node) -> str:
    return node.name.removeprefix(MARK).lower() if isinstance(node, exp.Anonymous) else ""


def _is_division(node: Node, message: str) -> bool:
    return isinstance(node, exp.Div | exp.Mod) or _called(node) == "mod"


def _is_cast(node: Node, message: str) -> bool:
    """Return whether it is a cast to the type that the message names, if it names one."""
    if not isinstance(node, exp.Cast) or isinstance(node, exp.TryCast):
        return False
    wanted = re.search(r" to (\w+)", message)
    written = node.args["to"].sql(dialect="trino").lower()
    known = {"int32": "integer", "int64": "bigint", "int16": "smallint", "int8": "tinyint"}
    name = known.get(wanted[1].lower(), wanted[1].lower()) if wanted else ""
    return written.startswith(name) or name not in _TYPE_NAMES


_TYPE_NAMES = ("integer", "bigint", "smallint", "tinyint", "double", "real", "decimal", "date")


def _may_raise(node: Node, message: str) -> bool:
    return any("@" in rule.text for rule in RULES.get(_called(node), ()))


_KINDS: tuple[tuple[str, str, Callable[[Node, str], bool]], ...] = (
    (r"INT128 .* INT64|Overflow in SUM|sum\(", "NUMERIC_VALUE_OUT_OF_RANGE", _calls("sum")),
    (r"DIVISION_BY_ZERO", "DIVISION_BY_ZERO", _is_division),
    (
        r"[Oo]verflow",
        "NUMERIC_VALUE_OUT_OF_RANGE",
        _of(exp.Add, exp.Sub, exp.Mul, exp.Neg),
    ),
    (r"Array subscript|Key not present", "INVALID_FUNCTION_ARGUMENT", _of(exp.Bracket)),
    (r"INVALID_CAST|[Cc]ast|Could not convert", "INVALID_CAST_ARGUMENT", _is_cast),
    (r"More than one row", "SUBQUERY_MULTIPLE_ROWS", _of(exp.Subquery)),
    (r"must appear in the GROUP BY|in an aggregate", "EXPRESSION_NOT_AGGREGATE", _of()),
    (r"Map keys", "INVALID_FUNCTION_ARGUMENT", _calls("map", "map_agg", "map_from_entries")),
    (r"INVALID_FUNCTION_ARGUMENT", "INVALID_FUNCTION_ARGUMENT", _may_raise),
)
"""What a message says, Trino's name of the error, and which parts of a query may raise it."""
