"""Macros and Python functions of a query, made in its connection."""

from __future__ import annotations

import re
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from phlo_iceberg.read.dialect.macros import BODIES
from phlo_iceberg.read.dialect.values import IN_TRY, OR_NULL, PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb

    from phlo_iceberg.read.dialect.python_functions import NotTranslatedError, PythonFunction

_CALL = re.compile(r"@(\w+)")
_ERROR = re.compile(r"error\((?:[^()']|'(?:[^']|'')*'|\([^()]*\))*\)")


def prepare(
    connection: duckdb.DuckDBPyConnection, uses: frozenset[str] | set[str]
) -> list[NotTranslatedError]:
    """Make what a query's text calls.

    Args:
        connection: Runs the query.
        uses: Names of macros and Python functions, without their prefix.

    Returns:
        What no rule reads of the rows' patterns, paths and years: it grows while the query runs.
        DuckDB's ``TRY`` makes null of these errors, so whoever reads the rows must raise the first.
    """
    untranslated: list[NotTranslatedError] = []
    macros, functions = _needed(frozenset(uses))
    if any(name.endswith(IN_TRY) for name in uses):
        # It takes a branch that raises for one that gives null: so `TRY(1 / 0 IS NULL)` was true.
        connection.execute("SET disabled_optimizers = 'statistics_propagation'")
    for name in functions:
        _make_function(connection, name, untranslated)
    for statement in macros:
        connection.execute(statement)
    return untranslated


@lru_cache(maxsize=256)
def _needed(uses: frozenset[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return statements that make macros, each after those it calls, and names of functions."""
    macros: dict[str, str] = {}
    functions: dict[str, None] = {}
    for name in sorted(uses):
        _collect(name, macros, functions)
    return tuple(macros.values()), tuple(functions)


def _collect(name: str, macros: dict[str, str], functions: dict[str, None]) -> None:
    if name in macros or name in functions:
        return
    plain, suffix = _apart(name)
    if plain not in BODIES:
        functions[name] = None
        return
    parameters, body = BODIES[plain]
    for inner in _CALL.findall(body):
        _collect(inner + suffix, macros, functions)
    text = _CALL.sub(rf"{PREFIX}\1{suffix}", body)
    if suffix == OR_NULL:
        text = _ERROR.sub("NULL", text).replace("CAST(x ", "TRY_CAST(x ")
    if suffix == IN_TRY:
        text = _ERROR.sub(_failing_cast, text)
    macros[name] = f"CREATE OR REPLACE TEMP MACRO {PREFIX}{name}({parameters}) AS {text}"


def _apart(name: str) -> tuple[str, str]:
    """Split the name of a macro or function from what stands after it."""
    suffix = next((s for s in (OR_NULL, IN_TRY) if name.endswith(s)), "")
    return name.removesuffix(suffix), suffix


def _failing_cast(error: re.Match[str]) -> str:
    """Raise by a cast of the message, since TRY takes no ``error()``."""
    message = error[0].removeprefix("error(").removesuffix(")")
    return f"CASE WHEN CAST({message} AS BOOLEAN) THEN NULL END"


def _make_function(
    connection: duckdb.DuckDBPyConnection, name: str, untranslated: list[NotTranslatedError]
) -> None:
    from phlo_iceberg.read.dialect.python_functions import FUNCTIONS

    function = FUNCTIONS[_apart(name)[0]]
    create: Any = connection.create_function
    create(
        PREFIX + name,
        _over_columns(function, untranslated, is_safe=name.endswith(OR_NULL)),
        list(function.parameters),
        function.returns,
        type="arrow",  # plain values would make NaN null
        null_handling="special",  # it may give null itself
    )


def _over_columns(
    function: PythonFunction, untranslated: list[NotTranslatedError], *, is_safe: bool
) -> Callable[..., pa.Array]:
    """Call a function for each row of some columns; where one is null the result is."""
    call, kind = function.function, _ARROW[function.returns]
    from phlo_iceberg.read.dialect.python_functions import NotTranslatedError, TrinoError

    def one(row: tuple[Any, ...]) -> Any:
        if None in row:
            return None
        try:
            return call(*row)
        except NotTranslatedError:
            raise
        except (TrinoError, ValueError, ArithmeticError, LookupError, struct.error) as exc:
            if is_safe:
                return None
            raise _as_trino_error(exc) from exc

    def over(*columns: pa.Array) -> pa.Array:
        try:
            rows = zip(*map(_values, columns), strict=True)
            return pa.array([one(row) for row in rows], kind)
        except NotTranslatedError as exc:
            untranslated.append(exc)
            raise
        except (UnicodeEncodeError, pa.ArrowException) as exc:
            raise TrinoError(f"INVALID_FUNCTION_ARGUMENT: {exc}") from exc

    # DuckDB counts the parameters.
    return {
        1: lambda a: over(a),
        2: lambda a, b: over(a, b),
        3: lambda a, b, c: over(a, b, c),
        4: lambda a, b, c, d: over(a, b, c, d),
    }[len(function.parameters)]


def _as_trino_error(exc: Exception) -> Exception:
    from phlo_iceberg.read.dialect.python_functions import TrinoError

    return exc if isinstance(exc, TrinoError) else TrinoError(f"INVALID_FUNCTION_ARGUMENT: {exc}")


def _values(column: pa.Array) -> list[Any]:
    """Read a column as Python's values, which have no years before the first or of five digits."""
    try:
        return column.to_pylist()
    except (OverflowError, ValueError) as exc:
        from phlo_iceberg.read.dialect.python_functions import FAR_YEAR, NotTranslatedError

        raise NotTranslatedError(FAR_YEAR) from exc


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
    "MAP(VARCHAR, VARCHAR[])": pa.map_(pa.string(), pa.list_(pa.string())),
}
