"""Regular expressions that RE2, Trino's Joni and Python read alike."""

from __future__ import annotations

import re

_SAFE = re.compile(
    r"(?:[^\\\[\](){}.*+?^$|]"  # a letter that stands for itself
    r"|\\[dDwW.\\\-/\[\](){}*+?^$|A]"  # a class, or a sign that stands for itself
    r"|\\z|\\p\{(?:L|Lu|Ll|N|Nd|P|S|Z)\}"
    r"|\.|\^"
    r"|\[\^?(?:[^\\\[\]&~^]|\\[dw.\\\-/])+\]"
    r"|\((?!\?)|\(\?:|\)"
    r"|\||[*+?](?![*+?])|\{\d+(?:,\d*)?\}(?![*+?{]))*"
)


def is_alike_in_both(pattern: str) -> bool:
    r"""Whether RE2 finds a pattern where Trino does.

    >>> is_alike_in_both(r"^[a-z]+\d{2}"), is_alike_in_both("a$"), is_alike_in_both("(?=a)b")
    (True, False, False)
    """
    return _SAFE.fullmatch(pattern) is not None
