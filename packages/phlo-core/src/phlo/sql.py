"""Build SQL text: the only module that puts names and values into it.

:func:`sql` fills a template by the *type* of each part, so that nothing unquoted gets in by
accident: a :class:`~phlo.values.TableName` becomes a quoted table, an :class:`Identifier` a quoted
name, a :class:`Sql` is SQL already, a list is joined by commas, and every other value becomes a
literal. The text is in Trino's dialect, which the DuckDB engine translates.
"""

from __future__ import annotations

import math
import string
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from phlo.errors import QueryError
from phlo.names import PARTITION_DATE_COLUMN, Partition, TableName

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlglot.tokenizer_core import Token


class Sql(str):
    """Text that is SQL already, made by this module or written by the user as SQL."""

    __slots__ = ()


class Identifier(str):
    """A name of a column, schema or relation, not quoted yet."""

    __slots__ = ()


SqlValue = str | int | float | bool | Decimal | date | datetime | bytes | None
SqlPart = SqlValue | Sql | Identifier | TableName | Partition


def quote_identifier(name: str) -> Sql:
    """Quote a name for use in SQL.

    Raises:
        QueryError: The name is empty or holds a NUL character.

    Example:
        >>> print(quote_identifier('a"b'))
        "a""b"
    """
    if not name or "\x00" in name:
        raise QueryError(f"{name!r} cannot be a name in SQL.", hint="Use a name without NUL.")
    return Sql('"' + name.replace('"', '""') + '"')


def quote_table(table: TableName) -> Sql:
    """Quote both parts of a table's name.

    >>> print(quote_table(TableName("bronze", "events")))
    "bronze"."events"
    """
    return Sql(f"{quote_identifier(table.namespace)}.{quote_identifier(table.name)}")


def literal(value: SqlValue) -> Sql:
    r"""Write a value as an SQL literal.

    Args:
        value: ``None`` is NULL. A datetime without zone is a TIMESTAMP, one with a zone becomes
            UTC. NaN and infinities are written as casts from text.

    Raises:
        QueryError: Text with a NUL character, or a type that has no literal.

    Example:
        >>> literal("O'Brien"), literal(None), literal(date(2025, 1, 2))
        ("'O''Brien'", 'NULL', "DATE '2025-01-02'")
    """
    if value is None:
        return Sql("NULL")
    if isinstance(value, bool):
        return Sql("TRUE" if value else "FALSE")
    if isinstance(value, float) and not math.isfinite(value):
        name = "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
        return Sql(f"CAST('{name}' AS DOUBLE)")
    if isinstance(value, float):
        return Sql(f"{value!r}" if "e" in repr(value) else f"{value!r}e0")
    if isinstance(value, Decimal):
        return _decimal_literal(value)
    if isinstance(value, int):
        return Sql(str(int(value)))
    return _textual_literal(value)


def _decimal_literal(value: Decimal) -> Sql:
    """Write a decimal with precision and scale: a bare DECIMAL is DECIMAL(18, 3) in DuckDB."""
    if not value.is_finite():
        return literal(float(value))
    _, digits, exponent = value.as_tuple()
    scale = max(-int(exponent), 0)
    precision = max(len(digits) + max(int(exponent), 0), scale, 1)
    if precision > 38:
        raise QueryError("A decimal of more than 38 digits cannot stand in SQL.", got=str(value))
    return Sql(f"CAST('{value:f}' AS DECIMAL({precision}, {scale}))")


def _textual_literal(value: SqlValue) -> Sql:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            return Sql(f"TIMESTAMP '{value.isoformat(sep=' ')}'")
        offset = value.strftime("%z")
        text = value.replace(tzinfo=None).isoformat(sep=" ")
        return Sql(f"TIMESTAMP '{text}{offset[:3]}:{offset[3:5]}'")
    if isinstance(value, date):
        return Sql(f"DATE '{value.isoformat()}'")
    if isinstance(value, bytes):
        return Sql(f"X'{value.hex().upper()}'")
    if isinstance(value, str):
        if "\x00" in value:
            raise QueryError("A text with a NUL character cannot stand in SQL.", got=repr(value))
        return Sql("'" + value.replace("'", "''") + "'")
    raise QueryError(
        f"A {type(value).__name__} cannot be written as an SQL literal.",
        got=repr(value),
        expected="text, a number, a boolean, a date, a datetime, bytes or None",
    )


def sql(template: str, **parts: SqlPart | Iterable[SqlPart]) -> Sql:
    """Fill a template with quoted parts.

    Args:
        template: SQL with ``{name}`` fields; ``{{`` and ``}}`` stand for braces.
        **parts: Values for the fields, quoted by their type; lists are joined by commas.

    Raises:
        KeyError: A field has no part.

    Example:
        >>> print(sql("SELECT {c} FROM {t} WHERE {n} = {v}", c=[Identifier("a"), Identifier("b")],
        ...     t=TableName("bronze", "events"), n=Identifier("a"), v="it's"))
        SELECT "a", "b" FROM "bronze"."events" WHERE "a" = 'it''s'
    """
    quoted = {name: _part(value) for name, value in parts.items()}
    return Sql(string.Formatter().vformat(template, (), quoted))


def _part(value: SqlPart | Iterable[SqlPart]) -> Sql:
    if isinstance(value, Sql):
        return value
    if isinstance(value, Identifier):
        return quote_identifier(value)
    if isinstance(value, TableName):
        return quote_table(value)
    if isinstance(value, Partition):
        return literal(value.date)
    if isinstance(value, list | tuple | set | frozenset):
        return Sql(", ".join(_part(v) for v in value))
    return literal(value)  # pyright: ignore[reportArgumentType] - literal() refuses the rest


def parse_expression(text: str) -> Sql:
    """Check that a user's text is one SQL expression, and write it without its comments.

    Raises:
        QueryError: It is empty, unbalanced, a statement, or more than one expression.

    Example:
        >>> print(parse_expression("k = 1 -- ours"))
        k = 1
    """
    import sqlglot
    from sqlglot import TokenType, exp
    from sqlglot.errors import SqlglotError

    try:
        tokens = sqlglot.tokenize(text, read="trino")
        trees = sqlglot.parse(text, read="trino")
    except SqlglotError as exc:
        raise _no_expression(text) from exc
    values = exp.Condition | exp.Subquery | exp.Filter | exp.WithinGroup | exp.Interval
    is_value = len(trees) == 1 and isinstance(trees[0], values)
    if not is_value or any(token.token_type is TokenType.SEMICOLON for token in tokens):
        raise _no_expression(text)
    return Sql("".join(_with_gap(token, after, text) for token, after in _pairs(tokens)))


def _pairs(tokens: list[Token]) -> Iterable[tuple[Token, Token | None]]:
    return zip(tokens, [*tokens[1:], None], strict=True)


def _with_gap(token: Token, after: Token | None, text: str) -> str:
    """Return a token as it is written, and one space where spaces or a comment follow."""
    is_apart = after is not None and after.start > token.end + 1
    return text[token.start : token.end + 1] + (" " if is_apart else "")


def _no_expression(text: str) -> QueryError:
    return QueryError(
        "The text is not one SQL expression.",
        got=repr(text),
        expected="one expression in Trino's dialect, such as 'amount > 0'",
        hint="Write what can stand alone in parentheses.",
    )


def identifiers(names: Iterable[str]) -> list[Identifier]:
    """Mark names as identifiers."""
    return [Identifier(name) for name in names]


def qualified(alias: str, name: str) -> Sql:
    """Build the name of a column of an aliased relation.

    >>> print(qualified("t", "id"))
    "t"."id"
    """
    return Sql(f"{quote_identifier(alias)}.{quote_identifier(name)}")


def all_of(conditions: Sequence[str]) -> Sql:
    """Join conditions with AND; none is TRUE.

    >>> print(all_of([Sql("a > 1"), Sql("b > 2")]))
    (a > 1) AND (b > 2)
    """
    return Sql(" AND ".join(f"({c})" for c in conditions) or "TRUE")


def union_all(selects: Sequence[str]) -> Sql:
    """Put the rows of SELECTs of the same columns one after another.

    >>> print(union_all([Sql("SELECT 1"), Sql("SELECT 2")]))
    SELECT 1 UNION ALL SELECT 2
    """
    return Sql(" UNION ALL ".join(selects))


def any_of(conditions: Sequence[str]) -> Sql:
    """Join conditions with OR; none is FALSE.

    >>> print(any_of([]))
    FALSE
    """
    return Sql(" OR ".join(f"({c})" for c in conditions) or "FALSE")


def same_values(left: str, right: str, columns: Iterable[str]) -> Sql:
    """Build the condition that two aliased rows agree in ``columns``; null agrees with null.

    >>> print(same_values("a", "b", ["id"]))
    ("a"."id" IS NOT DISTINCT FROM "b"."id")
    """
    return all_of(
        [f"{qualified(left, c)} IS NOT DISTINCT FROM {qualified(right, c)}" for c in columns]
    )


def keep_nan(column: str, *, is_nested: bool = False) -> Sql:
    """Read floating-point values of a Parquet file so that DuckDB loses no NaN of them.

    A file's statistics leave NaN out. DuckDB skips rows by them, so that ``column <> 1.5`` would
    lose every NaN of a file whose other values are 1.5; it does not look through an expression.

    Args:
        column: A FLOAT or DOUBLE column in DuckDB's dialect, quoted.
        is_nested: Whether it is a struct that has such fields.

    Example:
        >>> print(keep_nan(quote_identifier("level")))
        CASE WHEN isnan("level") THEN CAST('nan' AS FLOAT) ELSE "level" END
    """
    if is_nested:
        return sql("CASE WHEN {c} IS NULL THEN NULL ELSE {c} END", c=Sql(column))
    return sql("CASE WHEN isnan({c}) THEN CAST('nan' AS FLOAT) ELSE {c} END", c=Sql(column))


def partition_predicate(partition: Partition, column: str = PARTITION_DATE_COLUMN) -> Sql:
    """Build the condition that a row belongs to a partition by a date or timestamp column.

    Example:
        >>> print(partition_predicate(Partition.parse("2025-01-15"), "day"))
        "day" >= DATE '2025-01-15' AND "day" < DATE '2025-01-16'
    """
    return sql(
        "{column} >= {first} AND {column} < {end}",
        column=Identifier(column),
        first=partition.date,
        end=partition.end,
    )
