"""Regular expressions that RE2, Trino's Joni and Python read alike."""

from __future__ import annotations

import re

_LETTERS = r"\\[pP]\{(?:L|Lu|Ll|N|Nd|P|S|Z)\}|\\x\{[0-9a-fA-F]{1,6}\}|\\[tnrf]"
"""Letters of a category, by their number, and spaces."""

_SAFE = re.compile(
    r"(?:[^\\\[\](){}.*+?^$|]"  # a letter that stands for itself
    r"|\\[dDwW.\\\-/\[\](){}*+?^$|A'\"]"  # a class, or a sign that stands for itself
    rf"|\\z|{_LETTERS}"
    r"|\.|\^"
    rf"|\[\^?(?:[^\\\[\]&~]|\\[dw.\\\-/&~\[\](){{}}*+?^$|'\"]|{_LETTERS})+\]"
    r"|\((?!\?)|\(\?:|\)"
    r"|\||[*+?](?![*+?])|\{\d+(?:,\d*)?\}(?![*+?{]))*"
)


def is_alike_in_both(pattern: str) -> bool:
    r"""Return whether RE2 finds a pattern where Trino does.

    >>> is_alike_in_both(r"^[a-z]+\d{2}"), is_alike_in_both("a$"), is_alike_in_both("(?=a)b")
    (True, False, False)
    >>> is_alike_in_both(r"[\p{L}_\x{85}]*\P{Nd}"), is_alike_in_both(r"\x85")
    (True, False)
    """
    return _SAFE.fullmatch(pattern) is not None
