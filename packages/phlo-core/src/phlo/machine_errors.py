"""Explain errors of the machine: a full disk, missing rights, too little memory, broken SQLite."""

from __future__ import annotations

import errno
import re
import sqlite3
from typing import TYPE_CHECKING, TypeVar

from phlo.errors import ConfigurationError, PhloError, ResourceError, ServiceError
from phlo.transient import error_chain

if TYPE_CHECKING:
    from collections.abc import Callable

_E = TypeVar("_E", bound=BaseException)


def explain(error: _E) -> _E | PhloError:
    """Return phlo's own error for one of the machine; any other error as it is.

    Of a chain of errors the outermost that tells decides. An error that phlo raised is left alone.

    Example:
        >>> print(explain(OSError(28, "No space left on device", "/data/a.parquet")))
        The disk is full: No space left on device: '/data/a.parquet'.
        <BLANKLINE>
        Hint: Free some space where that file is, or keep the tables on another disk.
        >>> explain(KeyError("id"))
        KeyError('id')
    """
    if isinstance(error, PhloError):
        return error
    explanations = (_explain_one(cause) for cause in error_chain(error))
    return next((explained for explained in explanations if explained is not None), error)


def _explain_one(error: BaseException) -> PhloError | None:
    if isinstance(error, PhloError):
        return error
    if isinstance(error, sqlite3.Error):
        return explain_sqlite(
            error,
            "A database of SQLite",
            "`phlo doctor` tells whether the catalog or the history of runs is meant. Move the "
            "file in .phlo/dagster away: the history begins anew.",
        )
    if isinstance(error, MemoryError) or type(error).__name__ == "ArrowMemoryError":
        return ResourceError(
            "There is not enough memory.",
            hint="End other programs, load less at a time, or lower PHLO_QUERY_MEMORY_MB.",
        )
    return _explain_file(error)


def _explain_file(error: BaseException) -> PhloError | None:
    number, text = getattr(error, "errno", None), str(error)
    for numbers, phrase, build in _FILE_ERRORS:
        if number in numbers or (_is_of_files(error) and phrase.search(text)):
            return build(_sentence(error))
    return None


def _is_of_files(error: BaseException) -> bool:
    """Return whether an error without a number is of a file: DuckDB's and Arrow's have none."""
    return isinstance(error, OSError) or type(error).__name__ == "IOException"


def _sentence(error: BaseException) -> str:
    """Return the reason and the file, without the number of the error."""
    return re.sub(r"^\[Errno \d+\] ", "", str(error).strip()).rstrip(".")


def _full_disk(reason: str) -> ResourceError:
    return ResourceError(
        f"The disk is full: {reason}.",
        hint="Free some space where that file is, or keep the tables on another disk.",
    )


def _too_large(reason: str) -> ResourceError:
    return ResourceError(
        f"A file may not grow as large as this: {reason}.",
        hint="Raise the limit of file sizes (`ulimit -f unlimited`), or load less at a time.",
    )


def _not_permitted(reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"The files of the project may not be used: {reason}.",
        hint="Run as the user who owns that file, or let this user read and write it.",
    )


def _no_folder(reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"A folder of the project cannot be made or opened: {reason}.",
        hint="Move a file of that name away, or correct the setting that names the folder.",
    )


_FILE_ERRORS: tuple[tuple[set[int], re.Pattern[str], Callable[[str], PhloError]], ...] = (
    (
        {errno.ENOSPC, errno.EDQUOT},
        re.compile("No space left on device|Disk quota exceeded"),
        _full_disk,
    ),
    ({errno.EFBIG}, re.compile("File too large"), _too_large),
    (
        {errno.EACCES, errno.EPERM, errno.EROFS},
        re.compile("Permission denied|Operation not permitted|Read-only file system"),
        _not_permitted,
    ),
    ({errno.ENOTDIR}, re.compile("Not a directory|Cannot create directory"), _no_folder),
)


def explain_sqlite(
    error: sqlite3.Error, database: str, remedy: str
) -> ConfigurationError | ResourceError | ServiceError | None:
    """Return phlo's error for one of SQLite; ``None`` for one of a statement.

    Args:
        error: What SQLite raised.
        database: The database, as the beginning of a sentence.
        remedy: What to do where its file is damaged.
    """
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    reason = str(error).rstrip(".")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return ServiceError(
            f"{database} is held by another process for too long: {reason}.",
            hint="End what holds it, or try again later.",
        )
    if code == sqlite3.SQLITE_FULL:
        return _full_disk(f"{database}: {reason}")
    if code == sqlite3.SQLITE_IOERR:
        return ResourceError(
            f"{database} cannot be read or written: {reason}.",
            hint="Look whether its disk is full or broken, and whether `ulimit -f` is too low.",
        )
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return ConfigurationError(f"{database} is damaged: {reason}.", hint=remedy)
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return _not_permitted(f"{database}: {reason}")
    return None
