"""Columns of a DuckDB relation in types that Iceberg has and Trino reads the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phlo.sql import Identifier, Sql, quote_identifier, sql

if TYPE_CHECKING:
    import duckdb
    from duckdb.sqltypes import DuckDBPyType

# HUGEINT is what DuckDB makes of sum(bigint); Parquet would turn it into an inexact double, and
# Trino gives bigint. A sum that does not fit is an error.
_NEAREST = {
    "bignum": "BIGINT",
    "hugeint": "BIGINT",
    "uhugeint": "BIGINT",
    "uinteger": "BIGINT",
    "ubigint": "DECIMAL(20, 0)",
    "tinyint": "INTEGER",
    "smallint": "INTEGER",
    "utinyint": "INTEGER",
    "usmallint": "INTEGER",
    "timestamp_s": "TIMESTAMP",
    "timestamp_ms": "TIMESTAMP",
    "timestamp_ns": "TIMESTAMP",
    "bit": "VARCHAR",
    "enum": "VARCHAR",
    "interval": "VARCHAR",
    "json": "VARCHAR",
    '"null"': "VARCHAR",
    "time with time zone": "VARCHAR",
    "union": "VARCHAR",
    "variant": "VARCHAR",
}
_NESTED = ("array", "list", "map", "struct")


def select_list(connection: duckdb.DuckDBPyConnection, relation: Sql) -> list[Sql]:
    """List the columns of a relation, cast where Iceberg has no such type; a union becomes JSON."""
    columns = connection.sql(f"SELECT * FROM {relation} LIMIT 0")
    return [
        _cast(Identifier(name), kind)
        for name, kind in zip(columns.columns, columns.types, strict=True)
    ]


def _cast(name: Identifier, kind: DuckDBPyType) -> Sql:
    if kind.id == "union":
        return sql("CAST(to_json({n}) AS VARCHAR) AS {n}", n=name)
    target = stored_type(kind)
    if target == str(kind):
        return sql("{n}", n=name)
    return sql("CAST({n} AS {t}) AS {n}", n=name, t=Sql(target))


def stored_type(kind: DuckDBPyType) -> str:
    """Return the nearest type that Iceberg has, in DuckDB's words.

    Example:
        >>> import duckdb
        >>> stored_type(duckdb.sqltype("STRUCT(a HUGEINT, b ENUM('x')[])"))
        'STRUCT("a" BIGINT, "b" VARCHAR[])'
    """
    if kind.id not in _NESTED or not kind.children:
        return _NEAREST.get(str(kind).lower()) or _NEAREST.get(kind.id, str(kind))
    children: dict[str, Any] = dict(kind.children)  # of an array the size too
    if kind.id == "struct":
        fields = (f"{quote_identifier(name)} {stored_type(c)}" for name, c in children.items())
        return f"STRUCT({', '.join(fields)})"
    if kind.id == "map":
        return f"MAP({stored_type(children['key'])}, {stored_type(children['value'])})"
    return f"{stored_type(children['child'])}[]"
