"""Secrets that sources put into their error messages."""

from __future__ import annotations

import re

_USER = re.compile(r"(://)[^/@\s]+(?=@)")
_PARAMETER = re.compile(
    r"([?&;][^=&;\s]*(?:key|token|secret|password|passwd|signature|auth|sig)[^=&;\s]*=)[^&;\s'\"]+",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """A message without the credentials of the addresses in it.

    Example:
        >>> redact("401 for url: https://me:pw@host/x?api_key=abc&day=1")
        '401 for url: https://***@host/x?api_key=***&day=1'
    """
    return _PARAMETER.sub(r"\1***", _USER.sub(r"\1***", text))
