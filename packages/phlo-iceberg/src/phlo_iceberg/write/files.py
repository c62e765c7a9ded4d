"""List, flush and delete files, of tables or of none."""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlparse
from uuid import uuid4

from phlo_iceberg.read.files import LakeFileIO, is_local, local_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pyarrow.fs import FileInfo, FileSystem
    from pyiceberg.io import FileIO

SYNC_PROPERTY = "phlo.sync-files"
"""Property of a catalog; ``false``: files are not flushed to disk before a commit names them."""


def list_files(io: FileIO, location: str) -> Iterator[tuple[str, FileInfo]]:
    """List every file below a folder, by the address that Iceberg names it."""
    from pyarrow.fs import FileSelector, FileType

    filesystem, path = _filesystem(io, location)
    address = urlparse(location)
    is_local_address = address.scheme in ("", "file")
    prefix = location.removesuffix(address.path) if is_local_address else f"{address.scheme}://"
    selector = FileSelector(path, recursive=True, allow_not_found=True)
    for info in filesystem.get_file_info(selector):
        if info.type == FileType.File:
            yield f"{prefix}{info.path}", info


def _filesystem(io: FileIO, location: str) -> tuple[FileSystem, str]:
    """Return what opens an address, and its path there."""
    from pyiceberg.io.pyarrow import PyArrowFileIO

    arrow_io = io.file_io(location) if isinstance(io, LakeFileIO) else io
    assert isinstance(arrow_io, PyArrowFileIO)
    scheme, netloc, path = PyArrowFileIO.parse_location(location)
    return arrow_io.fs_by_scheme(scheme, netloc), path


def time_of_store(io: FileIO, folder: str) -> datetime:
    """Return the time by the clock that dates files: that of a file written now, and deleted."""
    address = f"{folder}/{uuid4()}.clock"
    filesystem, path = _filesystem(io, address)
    with io.new_output(address).create() as stream:
        stream.write(b"clock")
    try:
        return filesystem.get_file_info(path).mtime or datetime.now(UTC)
    finally:
        delete_files(io, [address])


def sync_files(paths: Iterable[str]) -> None:
    """Flush local files, and the folders that list them, to disk.

    Files of an object store are durable once they are written.
    """
    local = [local_path(p) for p in paths if is_local(p)]
    for path in (*local, *sorted({path.parent for path in local})):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def delete_files(io: FileIO, paths: Iterable[str]) -> None:
    """Delete files of no table; what cannot be deleted is left to ``maintain``."""
    for path in paths:
        with contextlib.suppress(OSError):
            io.delete(path)
