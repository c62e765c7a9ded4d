"""Statements of dbt that would change main, or delete files of tables which a branch shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.errors import FatalRunError
from phlo.names import TableName
from sqlglot import exp, parse_one, tokenize
from sqlglot.errors import SqlglotError

if TYPE_CHECKING:
    from collections.abc import Sequence

_WRITES = ("CREATE", "INSERT", "DELETE", "UPDATE", "MERGE", "ALTER", "DROP", "TRUNCATE", "COMMENT")
_BEFORE_NAMES = ("OR", "REPLACE", "TABLE", "VIEW", "MATERIALIZED", "SCHEMA", "COLUMN", "IF", "NOT")
_BEFORE_NAMES += ("EXISTS", "INTO", "FROM", "ON")
_PROCEDURES = ("EXPIRE_SNAPSHOTS", "REMOVE_ORPHAN_FILES", "DROP_EXTENDED_STATS")


def _words(statement: str) -> Sequence[str]:
    try:
        return [token.text.upper() for token in tokenize(statement, read="trino")]
    except SqlglotError:  # Trino says what is wrong
        return []


def refuse_other_catalogs(statement: str, catalog: str) -> None:
    """Raise for a statement that writes into a catalog which it names, other than the run's own.

    Args:
        statement: What dbt sends.
        catalog: The work catalog.

    Raises:
        FatalRunError: It writes elsewhere, where everybody would see it at once.

    Example:
        >>> refuse_other_catalogs('insert into "work"."silver"."a" select 1 from lake.b.c', "work")
        >>> refuse_other_catalogs("create schema if not exists silver", "work")
        >>> refuse_other_catalogs("comment on column lake.silver.a.b is 'x'", "work")
        Traceback (most recent call last):
        ...
        phlo.errors.FatalRunError: This statement writes outside of the run's work catalog.
        Got a write into 'lake'; expected 'work'.
        <BLANKLINE>
        Hint: Leave the catalog out, or write {{ target.database }}.
    """
    words = _words(statement)
    if not words or words[0] not in _WRITES:
        return
    start = next((n for n, w in enumerate(words) if n and w not in _BEFORE_NAMES), len(words))
    parts = [words[start].lower()] if start < len(words) else []
    while start + 2 * len(parts) < len(words) and words[start + 2 * len(parts) - 1] == ".":
        parts.append(words[start + 2 * len(parts)].lower())
    full = 2 if "SCHEMA" in words[:start] else 4 if "COLUMN" in words[:start] else 3
    if len(parts) == full and parts[0] != catalog:
        raise FatalRunError(
            "This statement writes outside of the run's work catalog.",
            got=f"a write into {parts[0]!r}",
            expected=repr(catalog),
            hint="Leave the catalog out, or write {{ target.database }}.",
        )


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
