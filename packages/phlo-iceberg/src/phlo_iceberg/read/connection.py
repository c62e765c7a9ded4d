"""Open DuckDB connections that read a table's files and nothing else."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import duckdb
from phlo.config import get_settings
from phlo.interrupts import interrupt_with_work
from phlo.limits import QueryLimits, open_duckdb
from phlo.sql import sql

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyiceberg.io import FileIO


def duckdb_path(path: str) -> str:
    """Return a file's address as DuckDB opens and reports it.

    >>> duckdb_path("file:///data/a.parquet"), duckdb_path("s3://lake/a.parquet")
    ('/data/a.parquet', 's3://lake/a.parquet')
    """
    return path.removeprefix("file://")


def duckdb_pattern(path: str) -> str:
    """Return a pattern of DuckDB that matches this file alone.

    >>> duckdb_pattern("file:///data/[x]/a.parquet")
    '/data/[[]x]/a.parquet'
    """
    return re.sub(r"([*?\[])", r"[\1]", duckdb_path(path))


def connect(
    limits: QueryLimits | None = None, *, to_write: bool = False
) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB in memory that reads times in UTC and no Python variables.

    Args:
        limits: What its queries may take; by default what the project's settings say.
        to_write: Whether rows are written to files: UUIDs leave as such then, and not as text.
    """
    limits = limits or QueryLimits.of(get_settings())
    return _set_up(open_duckdb(limits.duckdb_settings()), to_write=to_write)


def _set_up(connection: duckdb.DuckDBPyConnection, *, to_write: bool) -> duckdb.DuckDBPyConnection:
    connection.execute(sql("SET arrow_lossless_conversion = {l}", l=to_write))
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    return connection


def connect_to_stage(path: str) -> duckdb.DuckDBPyConnection:
    """Open a connection that plans and writes one load, which names only what is temporary.

    Opening a DuckDB costs as much as a small load, so loads into local files share one. An object
    store has a DuckDB for each load, since credentials may change.

    Args:
        path: Where the table's files are.
    """
    if "://" in path and not path.startswith("file://"):
        return connect(to_write=True)
    limits = QueryLimits.of(get_settings())
    try:
        return _open_shared(limits)
    except duckdb.Error:  # a fatal error of an earlier load made the DuckDB unusable
        _close_shared()
        return _open_shared(limits)


def _open_shared(limits: QueryLimits) -> duckdb.DuckDBPyConnection:
    key = os.getpid(), limits
    if key not in _shared:
        _close_shared()
        _shared[key] = open_duckdb(limits.duckdb_settings())
    connection = _shared[key].cursor()
    interrupt_with_work(connection)
    return _set_up(connection, to_write=True)


def _close_shared() -> None:
    for key in [key for key in _shared if key[0] == os.getpid()]:
        del _shared[key]


_shared: dict[tuple[int, QueryLimits], duckdb.DuckDBPyConnection] = {}
"""The DuckDB of this process, and those of parents that were forked: closing these would hang."""


def allow_only(
    connection: duckdb.DuckDBPyConnection, *, folders: Iterable[str], files: Iterable[str]
) -> None:
    """Shut a connection off from the network and all files but these.

    Args:
        connection: Its configuration is locked.
        folders: Addresses of folders whose files it may open.
        files: Addresses of single files besides.
    """
    connection.execute(sql("SET allowed_directories = [{d}]", d=_spellings(folders)))
    connection.execute(sql("SET allowed_paths = [{f}]", f=_spellings(files)))
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _spellings(paths: Iterable[str]) -> list[str]:
    """Return each path as DuckDB is told of it and as DuckDB opens it."""
    return sorted({spell(path) for path in paths for spell in (duckdb_path, duckdb_pattern)})


def use_object_store(connection: duckdb.DuckDBPyConnection, io: FileIO, path: str) -> None:
    """Let a connection read a table's object store through fsspec, needing no extension."""
    scheme = path.split("://", 1)[0] if "://" in path else "file"
    if scheme == "file" or scheme in connection.list_filesystems():
        return
    from pyiceberg.io.fsspec import FsspecFileIO

    connection.register_filesystem(FsspecFileIO(io.properties).get_fs(scheme))
