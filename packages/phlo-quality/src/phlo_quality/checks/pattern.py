"""Text of a certain form."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Unpack

from phlo.sql import Identifier, Sql, sql

from phlo_quality.arguments import column_name, refuse
from phlo_quality.checks.base import CheckOptions, RowCheck

if TYPE_CHECKING:
    from phlo_quality.rows import JudgedRows


class PatternCheck(RowCheck):
    r"""Every text matches a regular expression as a whole; null passes, the empty text is judged.

    Args:
        column: A column of text.
        pattern: A regular expression that both engines know: no lookaround, no backreferences.
        allow_threshold: Share of rows (0-1) that may fail.
        **options: ``name``, ``severity``, ``description``.

    Raises:
        InvalidArgumentError: ``pattern`` is no regular expression, or uses what SQL engines lack.

    Example:
        >>> PatternCheck(column="zip", pattern=r"\d{5}").label
        'zip'
    """

    verb = "do not match the pattern"

    def __init__(
        self,
        column: str,
        pattern: str,
        allow_threshold: float = 0.0,
        **options: Unpack[CheckOptions],
    ) -> None:
        super().__init__(allow_threshold=allow_threshold, **options)
        self.column = column_name(self, "column", column)
        self.columns = (column,)
        self.pattern = _portable(self, pattern)

    def violation(self, rows: JudgedRows) -> Sql:
        """There is text, and it does not match from its first to its last character."""
        rows.family(self.column, "text", by=self)
        # \A and \z rather than ^ and $: a trailing line break is part of the value.
        whole = rf"\A(?:{self.pattern})\z"
        return sql("NOT regexp_like({c}, {p})", c=Identifier(self.column), p=whole)

    def metrics(self, measured: Any) -> dict[str, Any]:  # noqa: ANN401 - as in the base
        """The pattern, beside the counts."""
        return {"pattern": self.pattern, **super().metrics(measured)}


_UNPORTABLE = re.compile(r"(?<!\\)(?:\\\\)*(?:\(\?(?:=|!|<=|<!|P=|\()|\\[1-9])")


def _portable(check: PatternCheck, pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, TypeError) as exc:
        refuse(check, "pattern", pattern, "a regular expression", f"It does not compile: {exc}.")
    if _UNPORTABLE.search(pattern):
        refuse(
            check,
            "pattern",
            pattern,
            "a regular expression without lookaround and backreferences",
            "Say it without them, or subclass QualityCheck and judge the frame in Python.",
        )
    return pattern
