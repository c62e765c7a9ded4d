"""List, flush and delete files, of tables or of none."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from phlo_iceberg.read.files import LakeFileIO, is_local, local_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pyarrow.fs import FileInfo
    from pyiceberg.io import FileIO

SYNC_PROPERTY = "phlo.sync-files"
"""Property of a catalog; ``false``: files are not flushed to disk before a commit names them."""


def list_files(io: FileIO, location: str) -> Iterator[tuple[str, FileInfo]]:
    """List every file below a folder, by the address that Iceberg names it."""
    from pyarrow.fs import FileSelector, FileType
    from pyiceberg.io.pyarrow import PyArrowFileIO

    arrow_io = io.file_io(location) if isinstance(io, LakeFileIO) else io
    assert isinstance(arrow_io, PyArrowFileIO)
    scheme, netloc, path = PyArrowFileIO.parse_location(location)
    filesystem = arrow_io.fs_by_scheme(scheme, netloc)
    prefix = location.removesuffix(urlparse(location).path) if scheme == "file" else f"{scheme}://"
    selector = FileSelector(path, recursive=True, allow_not_found=True)
    for info in filesystem.get_file_info(selector):
        if info.type == FileType.File:
            yield f"{prefix}{info.path}", info


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
