"""Explain errors of the machine: a full disk, missing rights, too little memory, broken SQLite."""

from __future__ import annotations

import errno
import re
import sqlite3
from typing import NamedTuple, TypeVar

from phlo.errors import ConfigurationError, PhloError, ResourceError, ServiceError
from phlo.transient import error_chain

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


class _FileError(NamedTuple):
    """An error of files: its numbers, or what libraries without numbers say, and the remedy."""

    numbers: frozenset[int]
    phrase: re.Pattern[str]
    error: type[PhloError]
    begins: str
    hint: str

    def fits(self, error: BaseException) -> bool:
        """Return whether an error is of this kind."""
        if getattr(error, "errno", None) in self.numbers:
            return True
        return _is_of_files(error) and self.phrase.search(str(error)) is not None

    def build(self, reason: str) -> PhloError:
        """Build phlo's error."""
        return self.error(f"{self.begins}: {reason}.", hint=self.hint)


_FULL_DISK = _FileError(
    frozenset({errno.ENOSPC, errno.EDQUOT}),
    re.compile("No space left on device|Disk quota exceeded"),
    ResourceError,
    "The disk is full",
    "Free some space where that file is, or keep the tables on another disk.",
)
_TOO_LARGE = _FileError(
    frozenset({errno.EFBIG}),
    re.compile("File too large"),
    ResourceError,
    "A file may not grow as large as this",
    "Raise the limit of file sizes (`ulimit -f unlimited`), or load less at a time.",
)
_NOT_PERMITTED = _FileError(
    frozenset({errno.EACCES, errno.EPERM, errno.EROFS}),
    re.compile("Permission denied|Operation not permitted|Read-only file system"),
    ConfigurationError,
    "phlo has no right to use a file",
    "Run as the user who owns that file, or let this user read and write it.",
)
_NO_FOLDER = _FileError(
    frozenset({errno.ENOTDIR}),
    re.compile("Not a directory|Cannot create directory"),
    ConfigurationError,
    "A folder of the project cannot be made or opened",
    "Move a file of that name away, or correct the setting that names the folder.",
)
_FILE_ERRORS = (_FULL_DISK, _TOO_LARGE, _NOT_PERMITTED, _NO_FOLDER)


def _explain_file(error: BaseException) -> PhloError | None:
    kind = next((kind for kind in _FILE_ERRORS if kind.fits(error)), None)
    return kind and kind.build(_sentence(error))


def _is_of_files(error: BaseException) -> bool:
    """Return whether an error without a number is of a file: DuckDB's and Arrow's have none."""
    return isinstance(error, OSError) or type(error).__name__ == "IOException"


def _sentence(error: BaseException) -> str:
    """Return the reason and the file, without the number of the error."""
    return re.sub(r"^\[Errno \d+\] ", "", str(error).strip()).rstrip(".")


def explain_sqlite(error: sqlite3.Error, database: str, remedy: str) -> PhloError | None:
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
        return _FULL_DISK.build(f"{database}: {reason}")
    if code == sqlite3.SQLITE_IOERR:
        return ResourceError(
            f"{database} cannot be read or written: {reason}.",
            hint="Look whether its disk is full or broken, and whether `ulimit -f` is too low.",
        )
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return ConfigurationError(f"{database} is damaged: {reason}.", hint=remedy)
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return _NOT_PERMITTED.build(f"{database}: {reason}")
    return None
