"""Statements of dbt that would delete files of tables which a branch shares with main."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.errors import FatalRunError
from phlo.names import TableName
from sqlglot import exp, parse_one, tokenize
from sqlglot.errors import SqlglotError

if TYPE_CHECKING:
    from collections.abc import Sequence

_PROCEDURES = ("EXPIRE_SNAPSHOTS", "REMOVE_ORPHAN_FILES", "DROP_EXTENDED_STATS")


def _words(statement: str) -> Sequence[str]:
    try:
        return [token.text.upper() for token in tokenize(statement, read="trino")]
    except SqlglotError:  # Trino says what is wrong
        return []


def dropped_table(statement: str) -> TableName | None:
    """Return the table that a statement drops; ``None`` for any other statement.

    Example:
        >>> dropped_table('/* dbt */ drop table if exists "work"."silver"."Planes"')
        TableName(namespace='silver', name='planes')
        >>> dropped_table("drop view silver.planes")
    """
    if list(_words(statement)[:2]) != ["DROP", "TABLE"]:
        return None
    table = parse_one(statement, read="trino").find(exp.Table)
    return TableName(table.db.lower(), table.name.lower()) if table and table.db else None


def refuse_deleting_files(statement: str) -> None:
    """Raise for statements whose deletions nobody can bring back.

    Raises:
        FatalRunError: It drops a whole schema, or removes files of a table.

    Example:
        >>> refuse_deleting_files("alter table t execute optimize")
    """
    words = _words(statement)
    is_cascade = list(words[:2]) == ["DROP", "SCHEMA"] and "CASCADE" in words
    removes = list(words[:2]) == ["ALTER", "TABLE"] and any(p in words for p in _PROCEDURES)
    if is_cascade or removes:
        raise FatalRunError(
            "This statement would delete files that the lake's main needs.",
            got=" ".join(words),
            hint="`phlo catalog maintain` removes what no branch needs any more.",
        )
