"""Columns of a DuckDB relation in types that Iceberg has and Trino reads the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from phlo.sql import Identifier, Sql, sql

if TYPE_CHECKING:
    import duckdb

# HUGEINT is what DuckDB makes of sum(bigint); Parquet would turn it into an inexact double, and
# Trino gives bigint. A sum that does not fit is an error.
_CASTS: tuple[tuple[str, str], ...] = (
    (r"U?HUGEINT|UINTEGER|BIGNUM", "BIGINT"),
    (r"UBIGINT", "DECIMAL(20, 0)"),
    (r"TINYINT|SMALLINT|UTINYINT|USMALLINT", "INTEGER"),
    (r"UUID|JSON|ENUM\(.*\)|BIT|INTERVAL|TIME WITH TIME ZONE", "VARCHAR"),
    (r"TIMESTAMP_(S|MS|NS)", "TIMESTAMP"),
    (r'"NULL"', "VARCHAR"),
)
_NESTED = re.compile(r"(STRUCT|MAP|UNION)\(.*\)|.*\]", re.DOTALL)


def select_list(connection: duckdb.DuckDBPyConnection, relation: Sql) -> list[Sql]:
    """The columns of a relation, cast where Iceberg has no such type; nested ones become JSON."""
    described = connection.execute(sql("DESCRIBE {r}", r=relation)).fetchall()
    return [_cast(Identifier(row[0]), row[1]) for row in described]


def _cast(name: Identifier, kind: str) -> Sql:
    if _NESTED.fullmatch(kind):
        return sql("CAST(to_json({n}) AS VARCHAR) AS {n}", n=name)
    for pattern, target in _CASTS:
        if re.fullmatch(pattern, kind, re.DOTALL):
            return sql("CAST({n} AS {t}) AS {n}", n=name, t=Sql(target))
    return sql("{n}", n=name)
