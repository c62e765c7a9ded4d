"""Secrets taken out of every error and log line before anything stores or prints it.

A text is redacted by value (settings of type ``SecretStr``, what plugins remember, variables of
the environment and of ``.env`` whose names say so) and by pattern (credentials in addresses,
headers and connection strings, tokens of well-known shapes). :func:`install_redaction` sets this
up for a process: log records and uncaught errors. ``phlo.orchestration`` does so for what Dagster
records.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import sys
import threading
import traceback
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType

MASK = "***"

MIN_LENGTH = 6
"""Shorter values are words of ordinary messages too; patterns alone find those."""

_MAX_WORD = 12
"""A shorter value of small letters alone, such as ``postgres``, is masked as a whole word only."""

_SECRET_WORDS = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|APIKEY|(^|_)(API|ACCESS|ACCOUNT|AUTH|PRIVATE|SIGNING"
    r"|ENCRYPTION|MASTER|SHARED)_?KEY(_|$)|_KEY$|^KEY$|(^|_)(PASS|PWD|PAT|AUTH|DSN|COOKIE|JWT"
    r"|SIGNATURE)(_|$)",
    re.IGNORECASE,
)
_ORDINARY_NAMES = re.compile(
    r"^(OLD)?PWD$|SSH_AUTH_SOCK|(UNIQUE|PRIMARY|FOREIGN|SORT|PARTITION|MERGE|JOIN|GROUP|ORDER)_KEY$"
    r"|_(FILE|PATH|DIR|URL|SOCK)$|TOKENIZERS|MAX_TOKENS",
    re.IGNORECASE,
)
_USER_INFO = re.compile(r"://[^/?#\s:@]*:(?!\d+[/?#])([^\s'\"]*)@")

_remembered: set[str] = set()


# -- by pattern

_QUERY_NAME = (
    r"[^=&;\s'\"]*(?:key|token|secret|passw|signature|auth|sig|credential|jwt|hmac)[^=&;\s'\"]*"
    r"|pat|pwd|pass|code|sid|access|session|assertion|ticket"
)
_FIELD_NAME = (
    r"(?:[\w.-]*(?:api|access|account|auth|private|secret|signing|shared)[_-]?key"
    r"|[\w.-]*(?:token|secret|password|passwd|passphrase|credentials?)|pwd|pat"
    r"|(?:proxy-)?authorization|(?:set-)?cookie)"
)
_VALUE = r"(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\s,;&'\"(){}\[\]<>]+)"
_PLAIN = r"(?!(?:None|True|False|null|true|false)\b|['\"]{2}|['\"]?\*{3})"

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # A password may hold @ and /; a port is none.
    (re.compile(r"(://[^/@\s:'\"]*:)(?!\d+(?:[/?#\s'\"]|$))[^\s'\"]*@"), rf"://{MASK}@"),
    (re.compile(r"(://)[^/@\s'\"]+(?=@)"), rf"\1{MASK}"),
    (re.compile(rf"([?&;](?:{_QUERY_NAME})=)[^&;\s'\"<>)]+", re.IGNORECASE), rf"\1{MASK}"),
    (
        re.compile(
            r"\b([Bb]earer|Basic|Token|Digest)((?:\s|%20|\+)+)(?=\S*[\d=._-]|\S{16})[^\s'\"\\,;)]+"
        ),
        rf"\1\2{MASK}",
    ),
    (re.compile(r"\b(Bearer)((?:\s|%20|\+)+)[^\s'\"\\,;)]+"), rf"\1\2{MASK}"),
    (re.compile(rf"(\b{_FIELD_NAME}['\"]?\s*=\s*){_PLAIN}{_VALUE}", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(rf"(['\"]{_FIELD_NAME}['\"]\s*:\s*){_PLAIN}{_VALUE}", re.IGNORECASE), rf"\1{MASK}"),
    (
        re.compile(
            r"(\b(?:(?:proxy-)?authorization|x-[\w-]*(?:key|token)|(?:set-)?cookie)\s*:\s*)"
            r"(?!\s*['\"]?\*{3})[^\r\n'\"]+",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"(/bot)\d+:[\w-]+"), rf"\1{MASK}"),
    (re.compile(r"(hooks\.slack\.com/services/)[\w/]+"), rf"\1{MASK}"),
    (
        re.compile(
            r"\b(?:gh[pousr]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{10,}"
            r"|sk-[\w-]{16,}|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[\w-]{30,}"
            r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
        ),
        MASK,
    ),
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|\Z)", re.DOTALL),
        MASK,
    ),
)


def redact(text: str) -> str:
    """Return a text without secrets.

    Args:
        text: A message, a log line or a whole traceback.

    Example:
        >>> redact("401 for url: https://me:pw@host/x?api_key=abc&day=1")
        '401 for url: https://***@host/x?api_key=***&day=1'
        >>> redact("InvalidHeader: 'Bearer abc-1'")
        "InvalidHeader: 'Bearer ***'"
    """
    by_value = _value_pattern(frozenset(_secrets()))
    if by_value is not None:
        text = by_value.sub(MASK, text)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


# -- by value


def remember_secrets(values: Iterable[str]) -> None:
    """Mask these values in this process from now on.

    Args:
        values: Secrets, or addresses with a password; what is no secret of an address stays.
    """
    for value in values:
        _remembered.update(_secret_parts(value))


def forget_secrets() -> None:
    """Forget the secrets that were remembered; tests use it between projects."""
    _remembered.clear()


def says_secret(name: str) -> bool:
    """Return whether the name of a variable or setting says that its value is a secret.

    >>> says_secret("SOURCES__SHOP__API_KEY"), says_secret("UNIQUE_KEY"), says_secret("PWD")
    (True, False, False)
    """
    return bool(_SECRET_WORDS.search(name)) and not _ORDINARY_NAMES.search(name)


def _secrets() -> Iterator[str]:
    yield from _remembered
    for variables in (os.environ, _project_env()):
        for name, value in variables.items():
            if value and _is_secret_name(name):
                yield from _secret_parts(value)
            elif value and "://" in value:
                yield from _user_info(value)


_is_secret_name = cache(says_secret)


def _secret_parts(value: str) -> Iterator[str]:
    """Yield the secret of a value: all of it, of an address the password."""
    value = value.strip()
    if "://" in value:
        yield from _user_info(value)
        if "@" not in value:
            return  # an address of a catalog without a password, such as sqlite:///...
    if not os.path.isabs(value):  # a file that holds the secret
        yield value


def _user_info(address: str) -> Iterator[str]:
    found = _USER_INFO.search(address)
    if found:
        yield found[1]


def _project_env() -> Mapping[str, str | None]:
    """Return the project's ``.env``, read again when it changes."""
    path = os.path.join(os.environ.get("PHLO_PROJECT_DIR") or ".", ".env")
    try:
        status = os.stat(path)
    except OSError:
        return {}
    return _read_env(path, status.st_mtime_ns, status.st_size)


@cache
def _read_env(path: str, _modified: int, _size: int) -> Mapping[str, str | None]:
    from dotenv import dotenv_values

    return dotenv_values(path)


@cache
def _value_pattern(secrets: frozenset[str]) -> re.Pattern[str] | None:
    forms = {form for secret in secrets for form in _spellings(secret)}
    # The longest first: one secret may begin as another does.
    parts = [_as_pattern(form) for form in sorted(forms, key=lambda f: (-len(f), f))]
    return re.compile("|".join(parts)) if parts else None


def _spellings(secret: str) -> Iterator[str]:
    """Yield a secret as messages spell it: in addresses, literals, JSON and Basic headers."""
    if len(secret) < MIN_LENGTH:
        return
    yield secret
    yield from (quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1])
    yield json.dumps(secret)[1:-1]
    yield base64.b64encode(secret.encode()).decode().rstrip("=")
    yield from (line for line in secret.splitlines() if len(line) >= MIN_LENGTH)


def _as_pattern(form: str) -> str:
    is_word = len(form) < _MAX_WORD and form.isascii() and form.isalpha() and form.islower()
    return rf"\b{re.escape(form)}\b" if is_word else re.escape(form)


# -- where texts pass


def redacted_traceback(error: BaseException) -> str:
    """Format an error with its chain, as Python prints it, without secrets."""
    return redact("".join(traceback.format_exception(error)))


@cache
def install_redaction() -> None:
    """Let every log record and every uncaught error of this process pass :func:`redact`.

    Called by the command line, and by ``phlo.orchestration`` for Dagster's own processes.
    """
    make_record = logging.getLogRecordFactory()

    def make_redacted_record(*args: Any, **options: Any) -> logging.LogRecord:
        return _redact_record(make_record(*args, **options))

    logging.setLogRecordFactory(make_redacted_record)
    sys.excepthook = _print_uncaught
    threading.excepthook = lambda caught: _print_uncaught(
        caught.exc_type, caught.exc_value, caught.exc_traceback
    )


def _redact_record(record: logging.LogRecord) -> logging.LogRecord:
    try:
        message = record.getMessage()
    except (TypeError, ValueError):
        return record  # its handler tells what is wrong with the arguments
    redacted = redact(message)
    if redacted != message:
        record.msg, record.args = redacted, ()
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        record.exc_text = redacted_traceback(error).rstrip("\n")
    return record


def _print_uncaught(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    if issubclass(kind, SystemExit | KeyboardInterrupt):
        sys.__excepthook__(kind, error or kind(), trace)
        return
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))
