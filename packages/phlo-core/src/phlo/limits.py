"""Time and memory that one query may take in DuckDB, and the folder into which it spills."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import duckdb
import pyarrow as pa
from phlo.errors import QueryMemoryError, QueryTimeoutError
from phlo.folders import SPILL, make_folder
from phlo.interrupts import interrupt_with_work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phlo.config import Settings
    from phlo.interrupts import Interruptible

DuckDBSettings: TypeAlias = "dict[str, str | bool | int | float | list[str]]"

_MEGABYTE = 1024 * 1024
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def open_duckdb(settings: DuckDBSettings) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB in memory; its query ends when the work of this thread is given up."""
    connection = duckdb.connect(config=settings)
    interrupt_with_work(connection)
    return connection


@dataclass(frozen=True)
class QueryLimits:
    """What one query may take.

    Attributes:
        seconds: Time that DuckDB may work on it; ``None`` for no limit. The time that a reader of
            its rows takes between two batches does not count.
        memory_mb: Memory, in megabytes, after which it spills to disk.
        spill_dir: Folder for what it spills.
    """

    seconds: float | None
    memory_mb: int
    spill_dir: Path

    @classmethod
    def of(cls, settings: Settings) -> QueryLimits:
        """Read the limits of a project's queries from its settings."""
        return cls(
            seconds=settings.query_timeout_seconds or None,
            memory_mb=settings.query_memory_mb or half_of_memory_mb(),
            spill_dir=spill_folder(settings.state_dir),
        )

    def duckdb_settings(self) -> DuckDBSettings:
        """Build DuckDB's settings; its own default spills into the current folder."""
        return {
            "memory_limit": f"{self.memory_mb}MiB",
            "temp_directory": str(self.spill_dir / uuid.uuid4().hex[:8]),
        }

    def read(
        self, connection: duckdb.DuckDBPyConnection, query: str, parameters: object, batch_rows: int
    ) -> pa.RecordBatchReader:
        """Run a query of its own connection within the limits, and stream its rows.

        Raises:
            QueryTimeoutError: It took too long; also raised by the reader.
            QueryMemoryError: It needs more memory than it may take, and cannot spill.
        """
        limit = TimeLimit(connection, self.seconds)
        with self._explained(), limit.counting():
            reader = connection.sql(query, params=parameters).to_arrow_reader(batch_rows)
        return pa.RecordBatchReader.from_batches(reader.schema, self._batches(reader, limit))

    def _batches(self, reader: pa.RecordBatchReader, limit: TimeLimit) -> Iterator[pa.RecordBatch]:
        while True:
            with self._explained(), limit.counting():
                batch = next(reader, None)
            if batch is None:
                return
            yield batch

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (duckdb.OutOfMemoryException, pa.ArrowException, OSError) as exc:
            if "Out of Memory" not in str(exc):
                raise
            raise QueryMemoryError(
                f"The query needs more memory than the {self.memory_mb} MB it may take.",
                hint="Let it read or sort fewer rows, or raise PHLO_QUERY_MEMORY_MB.",
            ) from exc


class TimeLimit:
    """Interrupts what a connection runs once it has worked for too long.

    Args:
        connection: Runs one query at a time.
        seconds: Time of work in all; ``None`` for no limit.
    """

    def __init__(self, connection: Interruptible, seconds: float | None) -> None:
        self._connection, self._seconds = connection, seconds
        self._left = seconds
        self._is_over = False

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count the time of a block in which the connection works.

        Raises:
            QueryTimeoutError: The time is over.
        """
        if self._left is None:
            yield
            return
        timer = threading.Timer(max(self._left, 0), self._interrupt)
        timer.daemon = True
        began = time.monotonic()
        timer.start()
        try:
            yield
        except Exception as exc:
            if self._is_over:
                raise self._error() from exc
            raise
        finally:
            timer.cancel()
            timer.join()  # a daemon thread that is left to the interpreter's end may abort it
            self._left -= time.monotonic() - began

    def _interrupt(self) -> None:
        self._is_over = True
        self._connection.interrupt()

    def _error(self) -> QueryTimeoutError:
        return QueryTimeoutError(
            f"The query was stopped: it took longer than {self._seconds:g} s.",
            hint="Let it read fewer rows, or raise PHLO_QUERY_TIMEOUT_SECONDS (0: no limit).",
        )


@cache
def half_of_memory_mb() -> int:
    """Return half of the memory of this machine or container, in megabytes."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if _CGROUP_LIMIT.exists() and (limit := _CGROUP_LIMIT.read_text().strip()).isdecimal():
        memory = min(memory, int(limit))
    return max(memory // 2 // _MEGABYTE, 1)


def spill_folder(state_dir: Path) -> Path:
    """Return the folder into which the queries of this process spill.

    DuckDB makes it and what is in it when it needs it. Folders that killed processes left are
    removed. Where there is no ``.phlo``, it is in the system's folder for temporary files.
    """
    if not state_dir.is_dir():
        return Path(tempfile.gettempdir()) / f"phlo-spill-{os.getpid()}"
    folder = make_folder(SPILL.path(state_dir) / str(os.getpid()))
    _remove_left_by_killed(folder.parent)
    return folder


@cache
def _remove_left_by_killed(spill: Path) -> None:
    for folder in spill.iterdir():
        if folder.name.isdecimal() and not _is_running(int(folder.name)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
