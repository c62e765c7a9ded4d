"""What a query holds that engines do not answer alike, told before it runs."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from phlo.errors import QueryError, TableNotFoundError
from phlo.values import SqlFinding
from sqlglot import TokenType
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import SqlglotError

from phlo_iceberg.read.dialect.functions import known_functions
from phlo_iceberg.read.dialect.parser import LITERAL_TYPES, ends_a_value
from phlo_iceberg.read.dialect.rules import DIFFERENT_IN_DUCKDB, MAY_DIFFER, NOT_IN_TRINO
from phlo_iceberg.read.dialect.translation import differing_constructs, parse, translate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pyarrow as pa
    from phlo.names import TableName
    from sqlglot.tokenizer_core import Token

    from phlo_iceberg.read.dialect.translation import Parsed

_DUCKDB = DuckDB()


def examine_trino(
    text: str, catalog: str, columns: Callable[[TableName], pa.Schema]
) -> list[SqlFinding]:
    """Examine a query in Trino's dialect.

    Args:
        text: The query.
        catalog: A first part of names that is taken for the catalog.
        columns: Gives the columns of a table.

    Returns:
        The construct that is refused, or those that may differ. Of a query over tables that do
        not exist yet, only what needs no types.
    """
    try:
        query = parse(text, frozenset(), catalog)
        with suppress(TableNotFoundError):
            translate(query, _schemas(query, columns))
    except QueryError as error:
        return [SqlFinding(str(error.got), True, error.message, error.hint or "")]
    return [SqlFinding(name, False, why) for name, why in differing_constructs(query).items()]


def _schemas(
    query: Parsed, columns: Callable[[TableName], pa.Schema]
) -> Mapping[TableName | str, pa.Schema]:
    return {table: columns(table) for table in query.tables}


def examine_duckdb(text: str) -> list[SqlFinding]:
    """Examine a query in DuckDB's dialect, such as a dbt model, for what Trino does otherwise.

    Its tokens are looked at, not its types, so that a template can be examined too.
    """
    try:
        tokens = _DUCKDB.tokenize(text)
    except SqlglotError:
        return []
    constructs = dict.fromkeys(_constructs(tokens))
    return [finding for name in constructs if (finding := _judge(name)) is not None]


def _constructs(tokens: list[Token]) -> Iterator[str]:
    """Return operators, keywords, and names of functions with ``(`` behind them."""
    places = zip([None, *tokens], tokens, [*tokens[1:], None], strict=False)
    for before, token, after in places:
        name = token.text.lower()
        if token.token_type in (TokenType.STRING, TokenType.IDENTIFIER):
            continue
        is_name = re.fullmatch(r"[a-z_]\w*", name) is not None and name not in _TYPES
        is_call = is_name and after is not None and after.token_type is TokenType.L_PAREN
        is_function = is_call and token.token_type in _DUCKDB.parser_class.FUNC_TOKENS
        if is_function and not ends_a_value(before):
            yield f"{name}()"
        elif name in NOT_IN_TRINO or name in DIFFERENT_IN_DUCKDB:
            yield name


_TYPES = LITERAL_TYPES | {"numeric", "array", "map", "row", "struct"}


def _judge(construct: str) -> SqlFinding | None:
    name = construct.removesuffix("()")
    if name in DIFFERENT_IN_DUCKDB:
        return SqlFinding(construct, False, DIFFERENT_IN_DUCKDB[name])
    if name in MAY_DIFFER:
        return SqlFinding(construct, False, MAY_DIFFER[name])
    if name in NOT_IN_TRINO:
        return SqlFinding(construct, True, "Trino does not know it.", NOT_IN_TRINO[name])
    if construct != name and name not in known_functions():
        return SqlFinding(construct, True, "It is not in the table of rules.")
    return None
