"""A query as Trino takes it: tables pinned to what is to be read, parameters filled in.

Only these parts of the text are replaced, so all else reaches Trino as its author wrote it, and an
error's place can be told in the author's own text.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from phlo.errors import QueryError
from phlo.names import TableName
from phlo.sql import Sql, literal, sql
from sqlglot import TokenType, exp, parse_one, tokenize

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlglot.tokenizer_core import Token

_MAIN = "main"
_ROW_COUNTS = ("LIMIT", "OFFSET", "FIRST", "NEXT")
"""Words after which Trino's grammar takes a plain number and no typed one."""


@dataclass(frozen=True)
class _Replacement:
    """Text that stands in the place of a part of the author's."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Statement:
    """A statement for Trino.

    Attributes:
        text: What Trino gets.
        original: What the author wrote.
        replacements: Where they differ, in order.
    """

    text: str
    original: str
    replacements: tuple[_Replacement, ...] = ()

    def place(self, line: int, column: int) -> tuple[int, int]:
        """Return line and column of the author's text, both from 1, of a place in Trino's."""
        offset = self._original_offset(_offset(self.text, line, column))
        before = self.original[:offset]
        return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1

    def _original_offset(self, offset: int) -> int:
        """Return the author's offset; inside a replacement, where the replaced text begins."""
        grown = 0
        for part in self.replacements:
            start = part.start + grown
            if offset < start:
                break
            if offset < start + len(part.text):
                return part.start
            grown += len(part.text) - (part.end - part.start)
        return offset - grown


def write_statement(
    text: str, at: Mapping[TableName, str], parameters: Sequence[Any] | None = None
) -> Statement:
    """Write a SELECT for Trino.

    Args:
        text: One SELECT.
        at: Branch, tag or snapshot id to read, by table.
        parameters: Values for ``?``, in order.

    Raises:
        QueryError: There are fewer values than parameters, or one has no literal.
    """
    found = [*_parameters(text, parameters or ())]
    if any(ref != _MAIN for ref in at.values()) or "." in text:
        found += _tables(text, at)
    replacements = tuple(sorted(found, key=lambda part: part.start))
    pieces, end = [], 0
    for part in replacements:
        pieces += [text[end : part.start], part.text]
        end = part.end
    return Statement("".join([*pieces, text[end:]]), text, replacements)


def _tables(text: str, at: Mapping[TableName, str]) -> Iterator[_Replacement]:
    """Name tables without their catalog, and the version that is to be read."""
    for node in parse_one(text, read="trino").find_all(exp.Table):
        if not node.db:
            continue
        table = TableName(node.db, node.name)
        ref = at.get(table, _MAIN)
        if node.catalog or ref != _MAIN:
            first, last = node.parts[0].meta, node.parts[-1].meta
            yield _Replacement(first["start"], last["end"] + 1, _versioned(table, ref))


def _versioned(table: TableName, ref: str) -> str:
    if ref == _MAIN:
        return sql("{t}", t=table)
    return sql("{t} FOR VERSION AS OF {r}", t=table, r=int(ref) if ref.isdigit() else ref)


def _parameters(text: str, values: Sequence[Any]) -> Iterator[_Replacement]:
    if "?" not in text:
        return
    tokens = tokenize(text, read="trino")
    number = 0
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.token_type is not TokenType.PLACEHOLDER:
            continue
        if number >= len(values):
            raise QueryError(
                "The query has more parameters than values.",
                got=f"{len(values)} values",
                expected="one for each ?",
            )
        yield _Replacement(token.start, token.end + 1, _value(values[number], before))
        number += 1


def _value(value: Any, before: Token | None) -> Sql:
    """Write a value with the type that it has as a parameter in every engine of phlo."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | None):
        return literal(value)
    if value is None:
        return Sql("CAST(NULL AS VARCHAR)")
    if isinstance(value, Decimal) and value.is_finite():
        scale = max(-int(value.as_tuple().exponent), 0)
        return sql("CAST({v} AS DECIMAL(38, {s}))", v=literal(value), s=scale)
    if before is not None and before.text.upper() in _ROW_COUNTS:
        return literal(value)
    return sql("CAST({v} AS BIGINT)", v=literal(value))


def _offset(text: str, line: int, column: int) -> int:
    lines = text.split("\n")
    return sum(len(part) + 1 for part in lines[: line - 1]) + column - 1
