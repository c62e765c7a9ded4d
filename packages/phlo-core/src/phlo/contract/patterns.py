r"""Python's regular expressions in SQL.

The engines run other dialects of them (RE2, Joni) in which ``\d`` knows ASCII digits alone and
``$`` does not match before a closing line break. A pattern is rewritten so that it means what it
means in Python; one that cannot be is left to Python itself.
"""

from __future__ import annotations

import re
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

Where = Literal["start", "anywhere", "whole"]

_WORD = r"\p{L}\p{N}_"
_SPACE = r"\t-\r\x{1c}-\x{20}\x{85}\p{Z}"
_SAME_ESCAPES = frozenset("AfnrtZ")
# Lookaround, conditions, flags, named groups; atomic groups and possessive repeats.
_FOREIGN = re.compile(r"\(\?(?!:)|[*+?}]\+|\{,")


def to_sql_pattern(pattern: str, where: Where) -> str | None:
    r"""Rewrite a pattern for ``regexp_like``.

    Args:
        pattern: A regular expression of Python's ``re``.
        where: Whether it must match from the start (``re.match``), anywhere (``re.search``) or
            the whole text (``re.fullmatch``).

    Returns:
        The pattern for the engines, or ``None`` where they have no equal of it: lookaround,
        backreferences, ``\b``, inline flags, ``$`` elsewhere than at the end.

    Example:
        >>> print(to_sql_pattern(r"^\d{5}$", "start"))
        \A(?:^\p{Nd}{5}(?:\n?\z))
        >>> to_sql_pattern("(?=a)b", "start")
    """
    try:
        re.compile(pattern)
        body = _rewrite(pattern, end=r"\z" if where == "whole" else r"(?:\n?\z)")
    except (re.error, _NoEqualError):
        return None
    before, after = {"start": (r"\A", ""), "anywhere": ("", ""), "whole": (r"\A", r"\z")}[where]
    text = f"{before}(?:{body}){after}"
    return text if _compiles(text) else None


class _NoEqualError(Exception):
    """The engines have no equal of the pattern."""


def _rewrite(pattern: str, end: str) -> str:
    if _FOREIGN.search(re.sub(r"\\.", "", pattern, flags=re.DOTALL)):
        raise _NoEqualError
    out: list[str] = []
    position, in_class = 0, False
    while position < len(pattern):
        char = pattern[position]
        if pattern.startswith("\\x", position):
            # Without braces Joni takes it for a byte.
            out.append(f"\\x{{{pattern[position + 2 : position + 4]}}}")
            position += 4
            continue
        if char == "\\":
            out.append(_escape(pattern[position + 1], in_class=in_class))
            position += 2
            continue
        if char == "[" and not in_class:
            opening = re.match(r"\[\^?\]?", pattern[position:])
            assert opening is not None
            text = opening.group()
            out.append(text[:-1] + r"\]" if text.endswith("]") else text)
            position, in_class = position + len(text), True
            continue
        out.append(_plain(char, in_class, is_last=position == len(pattern) - 1, end=end))
        in_class = in_class and char != "]"
        position += 1
    return "".join(out)


def _plain(char: str, in_class: bool, *, is_last: bool, end: str) -> str:
    if in_class:
        # Other dialects read these inside a class as nested sets.
        return "\\" + char if char in "[&~" else char
    if char != "$":
        return char
    if not is_last:
        raise _NoEqualError
    return end


def _escape(letter: str, *, in_class: bool) -> str:
    simple = {"d": r"\p{Nd}", "D": r"\P{Nd}", "Z": r"\z", "a": r"\x{07}", "v": r"\x{0b}"}
    if letter in simple:
        return simple[letter]
    inner = {"w": _WORD, "s": _SPACE}.get(letter)
    if inner is not None:
        return inner if in_class else f"[{inner}]"
    outer = {"W": _WORD, "S": _SPACE}.get(letter)
    if outer is not None and not in_class:
        return f"[^{outer}]"
    if letter.isalnum() and letter not in _SAME_ESCAPES:
        raise _NoEqualError
    return "\\" + letter if letter.isalnum() or letter in _SIGNS else letter


_SIGNS = ".^$*+?{}[]\\|()-&~"
"""Signs that mean something in some dialect, outside of a class or inside."""


def _compiles(pattern: str) -> bool:
    try:
        pc.call_function(
            "match_substring_regex", [pa.array([""])], pc.MatchSubstringOptions(pattern)
        )
    except pa.ArrowInvalid:
        return False
    return True
