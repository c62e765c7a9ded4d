"""Trino's SQL as a tree in which every function keeps the name that its author wrote.

sqlglot's own reading of functions is made for writing other dialects, and forgets what it takes for
the same: ``DECIMAL '1.5'`` and ``CAST('1.5' AS DECIMAL)``, or ``extract(dow ...)`` and how weeks
begin. So function names and literals with a type are marked among the tokens, and sqlglot
parses the rest.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from phlo.errors import QueryError
from sqlglot import TokenType, exp
from sqlglot.dialects.trino import Trino
from sqlglot.errors import SqlglotError

from phlo_iceberg.read.dialect.values import Written

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlglot.tokenizer_core import Token

    from phlo_iceberg.read.dialect.values import Node


MARK = "f$"
"""Before the name of a function that sqlglot leaves alone."""

LITERAL = "literal of a type"
"""Name of the function for ``DATE '2025-01-15'``: the type's name and the text."""

PARAMETER = "parameter of the query"

_TRINO = Trino()
_TRINO.INDEX_OFFSET = 0  # pyright: ignore[reportAttributeAccessIssue] - subscripts as written
KEEP_SYNTAX = frozenset(
    [
        "cast",
        "try_cast",
        "extract",
        "substring",
        "trim",
        "position",
        "json_value",
        "json_query",
        "json_object",
        "normalize",
        "listagg",
        "if",
        "exists",
        "values",
        "unnest",
        "in",
        "any",
        "all",
        "some",
        "over",
        "filter",
        "within",
        "as",
        "and",
        "or",
        "not",
        "on",
        "using",
        "bernoulli",
        "system",
        "select",
        "from",
        "where",
        "when",
        "then",
        "else",
        "case",
        "between",
        "like",
        "grouping_sets",
        "sets",
        "cube",
        "rollup",
        "by",
        "lateral",
        "group",
        "with",
        "array",
        "interval",
        "table",
        "is",
        "distinct",
        "union",
        "intersect",
        "except",
        "end",
        "order",
        "partition",
    ]
)
LITERAL_TYPES = frozenset(
    [
        "decimal",
        "date",
        "timestamp",
        "time",
        "char",
        "varchar",
        "double",
        "real",
        "bigint",
        "integer",
        "int",
        "smallint",
        "tinyint",
        "boolean",
        "uuid",
        "json",
    ]
)


def parse_select(text: str) -> exp.Query:
    """Parse one SELECT in Trino's dialect.

    Raises:
        QueryError: It is not SQL, not one statement, or not a SELECT.
    """
    try:
        plain = _TRINO.tokenize(_with_plain_numbers(text))
        _check_order_of_limits(plain)
        tokens = list(_marked(plain))
        statements = [s for s in _TRINO.parser().parse(tokens, text) if s is not None]
    except SqlglotError as exc:
        raise QueryError(
            f"The query cannot be parsed: {_without_colours(exc)}",
            got=text,
            expected="SQL in Trino's dialect",
        ) from exc
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise QueryError(
            "A query is one SELECT.", got=text, expected="one statement that only reads"
        )
    for name in statements[0].find_all(exp.Identifier):
        if name.this.lower() in _RESERVED and not name.args.get("quoted"):
            raise QueryError(
                f"SYNTAX_ERROR: {name.this!r} is a reserved word.",
                got=name.this,
                expected="a name, or the word in double quotes",
                hint=f'Write "{name.this}".',
            )
    for alias in statements[0].find_all(exp.TableAlias):
        if alias.name.startswith(MARK):
            alias.set("this", exp.to_identifier(alias.name.removeprefix(MARK)))
    return statements[0]


def _check_order_of_limits(tokens: Sequence[Token]) -> None:
    """Raise where OFFSET stands after LIMIT or FETCH, which sqlglot takes in either order."""
    for before, token, after in zip(tokens, tokens[1:], tokens[2:], strict=False):
        is_limit = before.token_type is TokenType.LIMIT or token.text.upper() in ("ONLY", "TIES")
        if is_limit and after.token_type is TokenType.OFFSET:
            raise QueryError(
                "SYNTAX_ERROR: OFFSET stands before LIMIT and FETCH.",
                got=f"OFFSET in line {after.line}, column {after.col}",
                expected="OFFSET, then LIMIT or FETCH",
                hint="Write OFFSET before LIMIT.",
            )


_RESERVED = frozenset(
    re.findall(
        r"\w+",
        """
    alter and as between by case cast constraint create cross cube current_catalog current_date
    current_path current_role current_schema current_time current_timestamp current_user
    deallocate delete describe distinct drop else end escape except execute exists extract false
    for from full group grouping having in inner insert intersect into is join json_array
    json_exists json_object json_query json_table json_value left like listagg localtime
    localtimestamp natural normalize not null on or order outer prepare recursive right rollup
    select skip table then trim true uescape union unnest using values when where with
    """,
    )
)
"""Words that Trino takes for a name only in double quotes; sqlglot takes some as they are."""

_NUMBER = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/"""
    r"""|(?P<double>\b\d+\.?\d*[eE]\d+)(?=[+-])|(?P<number>\b\d\w*)""",
    re.S,
)


def _with_plain_numbers(text: str) -> str:
    """Write numbers as sqlglot reads them.

    It takes the ``-`` of ``1e0-x`` for a sign of the exponent, ``1_000`` for 1 with an alias, and
    ``0x1F`` for bytes.
    """
    return _NUMBER.sub(_plain_number, text)


def _plain_number(match: re.Match[str]) -> str:
    number = match["number"]
    if number is None:
        return f"{match[0]} " if match["double"] else match[0]
    if re.fullmatch(r"\d+(?:[eE]\d*)?", number):
        return number
    if re.fullmatch(r"\d+(?:_\d+)+", number):
        return number.replace("_", "")
    if re.fullmatch(r"0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO](?:_?[0-7])+", number):
        return str(int(number, 0))
    raise QueryError(
        f"SYNTAX_ERROR: {number!r} is no number, and names do not begin with a digit.",
        got=number,
        expected="a number, or a name in double quotes",
        hint=f'Write "{number}" if it is a name.',
    )


def _without_colours(exc: SqlglotError) -> str:
    return str(exc).replace("\x1b[4m", "").replace("\x1b[0m", "").replace(MARK, "")


def as_written(node: Node) -> Written:
    """Return a part of a query in Trino's dialect, for messages."""
    return Written(lambda: _write(node))


def _write(node: Node) -> str:
    text = node.sql(dialect=_TRINO, normalize_functions=False)
    text = re.sub(rf"{re.escape(MARK + LITERAL)}\('(\w+)', ", r"\1(", text).replace(MARK, "")
    return text if len(text) <= 80 else text[:77] + "..."


def _marked(tokens: Sequence[Token]) -> Iterator[Token]:
    in_type: int | None = None
    depth = parameters = 0
    casts: list[int] = []
    after: Token | None
    for number, token in enumerate(tokens):
        after = tokens[number + 1] if number + 1 < len(tokens) else None
        name = token.text.lower()
        previous = tokens[number - 1] if number else None
        if token.token_type is TokenType.L_PAREN:
            depth += 1
        elif token.token_type is TokenType.R_PAREN:
            depth -= 1
            if casts and depth < casts[-1]:
                casts.pop()
                in_type = None
        elif name in ("cast", "try_cast") and _opens(after):
            casts.append(depth + 1)
        elif token.token_type is TokenType.ALIAS and casts and depth == casts[-1]:
            in_type = depth
        elif in_type is None and _is_typed_literal(name, token, after):
            yield from _literal_call(token)
            continue
        elif token.token_type is TokenType.DCOLON:
            raise QueryError(
                "'::' is not in Trino's dialect.",
                got=f"'::' in line {token.line}, column {token.col}",
                expected="CAST(value AS type)",
                hint="Write CAST(... AS ...).",
            )
        elif token.token_type is TokenType.PLACEHOLDER:
            parameters += 1
            yield from _parameter_call(token, parameters)
            continue
        elif (
            in_type is None
            and not ends_a_value(previous)
            and _is_function(name, token, after, tokens[number + 2 : number + 3])
        ):
            yield _as_name(token, MARK + name)
            continue
        if (
            in_type is None
            and previous is not None
            and _is_typed_literal(previous.text.lower(), previous, token)
        ):
            yield token
            yield _copy(token, TokenType.R_PAREN, ")")
            continue
        yield token


def ends_a_value(token: Token | None) -> bool:
    """Return whether a name after the token is an alias, with names of columns in parentheses."""
    ends = (TokenType.R_PAREN, TokenType.ALIAS, TokenType.VAR, TokenType.IDENTIFIER)
    return token is not None and token.token_type in ends


def _parameter_call(token: Token, number: int) -> Iterator[Token]:
    """Make ``f$parameter(2)`` of the second ``?``."""
    yield _as_name(token, MARK + PARAMETER)
    yield _copy(token, TokenType.L_PAREN, "(")
    yield _copy(token, TokenType.NUMBER, str(number))
    yield _copy(token, TokenType.R_PAREN, ")")


def _literal_call(token: Token) -> Iterator[Token]:
    """Make ``f$literal of a type('date',`` of ``DATE`` before a text."""
    yield _as_name(token, MARK + LITERAL)
    yield _copy(token, TokenType.L_PAREN, "(")
    yield _copy(token, TokenType.STRING, token.text.lower())
    yield _copy(token, TokenType.COMMA, ",")


def _is_typed_literal(name: str, token: Token, after: Token | None) -> bool:
    is_name = token.token_type not in (TokenType.IDENTIFIER, TokenType.STRING)
    return (
        is_name
        and name in LITERAL_TYPES
        and after is not None
        and after.token_type is TokenType.STRING
    )


def _is_function(name: str, token: Token, after: Token | None, rest: Sequence[Token]) -> bool:
    if not _opens(after) or token.token_type not in _TRINO.parser_class.FUNC_TOKENS:
        return False
    if name == "grouping":
        return not (rest and rest[0].token_type is TokenType.L_PAREN)
    if name == "filter":
        return not (rest and rest[0].token_type is TokenType.WHERE)
    return (
        name not in KEEP_SYNTAX
        and " " not in name
        and token.text.replace("_", "").isalnum()
        and token.token_type is not TokenType.NUMBER
    )


def _opens(token: Token | None) -> bool:
    return token is not None and token.token_type is TokenType.L_PAREN


def _as_name(token: Token, text: str) -> Token:
    return _copy(token, TokenType.VAR, text)


def _copy(token: Token, token_type: TokenType, text: str) -> Token:
    return type(token)(token_type, text, token.line, token.col, token.start, token.end)
