"""Macros and Python functions of a query, made in its connection."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from phlo_iceberg.read.dialect.macros import BODIES
from phlo_iceberg.read.dialect.values import OR_NULL, PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import duckdb

    from phlo_iceberg.read.dialect.python_functions import PythonFunction

_CALL = re.compile(r"@(\w+)")
_ERROR = re.compile(r"error\((?:[^()']|'(?:[^']|'')*'|\([^()]*\))*\)")


def prepare(connection: duckdb.DuckDBPyConnection, uses: frozenset[str] | set[str]) -> None:
    """Make what a query's text calls.

    Args:
        connection: Runs the query.
        uses: Names of macros and Python functions, without their prefix.
    """
    macros, functions = _needed(frozenset(uses))
    for name in functions:
        _make_function(connection, name)
    for statement in macros:
        connection.execute(statement)


@lru_cache(maxsize=256)
def _needed(uses: frozenset[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Statements that make macros, each after those that it calls, and names of functions."""
    macros: dict[str, str] = {}
    functions: dict[str, None] = {}
    for name in sorted(uses):
        _collect(name, macros, functions)
    return tuple(macros.values()), tuple(functions)


def _collect(name: str, macros: dict[str, str], functions: dict[str, None]) -> None:
    if name in macros or name in functions:
        return
    plain, suffix = name.removesuffix(OR_NULL), OR_NULL if name.endswith(OR_NULL) else ""
    if plain not in BODIES:
        functions[name] = None
        return
    parameters, body = BODIES[plain]
    for inner in _CALL.findall(body):
        _collect(inner + suffix, macros, functions)
    text = _CALL.sub(rf"{PREFIX}\1{suffix}", body)
    if suffix:
        text = _ERROR.sub("NULL", text).replace("CAST(x ", "TRY_CAST(x ")
    macros[name] = f"CREATE OR REPLACE TEMP MACRO {PREFIX}{name}({parameters}) AS {text}"


def _make_function(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    from phlo_iceberg.read.dialect.python_functions import FUNCTIONS

    function = FUNCTIONS[name.removesuffix(OR_NULL)]
    create: Any = connection.create_function
    create(
        PREFIX + name,
        _over_columns(function, is_safe=name.endswith(OR_NULL)),
        list(function.parameters),
        function.returns,
        type="arrow",  # plain values would make NaN null
        null_handling="special",  # it may give null itself
    )


def _over_columns(function: PythonFunction, *, is_safe: bool) -> Callable[..., pa.Array]:
    """Call a function for each row of some columns; where one is null the result is."""
    call, kind = function.function, _ARROW[function.returns]
    from phlo_iceberg.read.dialect.python_functions import TrinoError

    def one(row: tuple[Any, ...]) -> Any:
        if None in row:
            return None
        try:
            return call(*row)
        except TrinoError:
            if is_safe:
                return None
            raise

    def over(rows: Iterable[tuple[Any, ...]]) -> pa.Array:
        return pa.array([one(row) for row in rows], kind)

    # DuckDB counts the parameters.
    return {
        1: lambda a: over(zip(a.to_pylist(), strict=True)),
        2: lambda a, b: over(zip(a.to_pylist(), b.to_pylist(), strict=True)),
        3: lambda a, b, c: over(zip(a.to_pylist(), b.to_pylist(), c.to_pylist(), strict=True)),
        4: lambda a, b, c, d: over(
            zip(a.to_pylist(), b.to_pylist(), c.to_pylist(), d.to_pylist(), strict=True)
        ),
    }[len(function.parameters)]


_ARROW = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "INTEGER": pa.int32(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
    "TIMESTAMPTZ": pa.timestamp("us", "UTC"),
    "BLOB": pa.binary(),
    "VARCHAR[]": pa.list_(pa.string()),
    "MAP(VARCHAR, VARCHAR)": pa.map_(pa.string(), pa.string()),
}
