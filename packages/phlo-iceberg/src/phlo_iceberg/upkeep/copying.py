"""Copy files from one store to another, several at a time, so that none is ever seen half."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from pyiceberg.serializers import Compressor

from phlo_iceberg.read.files import is_local, local_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pyiceberg.io import FileIO
    from pyiceberg.table.metadata import TableMetadata

_WORKERS = 8
_CHUNK_BYTES = 8 * 1024 * 1024
V = TypeVar("V")


def each(function: Callable[[V], object], values: Iterable[V]) -> None:
    """Call a function for each value, several at a time; the first error stops the rest."""
    pool = ThreadPoolExecutor(_WORKERS)
    try:
        for future in [pool.submit(function, value) for value in values]:
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def copy_file(source: FileIO, path: str, target: FileIO, new_path: str) -> None:
    """Copy a file; one of this machine gets its name once it is whole, as in object stores."""
    draft = f"{new_path}.{uuid.uuid4()}.part" if is_local(new_path) else new_path
    with (
        source.new_input(path).open() as original,
        target.new_output(draft).create(overwrite=True) as copy,
    ):
        shutil.copyfileobj(original, copy, _CHUNK_BYTES)  # pyright: ignore[reportArgumentType]
    if draft != new_path:
        local_path(draft).replace(local_path(new_path))


def write_metadata_file(metadata: TableMetadata, io: FileIO, path: str) -> None:
    """Write a metadata file, in the place of one that may be there."""
    text = metadata.model_dump_json().encode()
    draft = f"{path}.{uuid.uuid4()}.part" if is_local(path) else path
    with io.new_output(draft).create(overwrite=True) as stream:
        stream.write(Compressor.get_compressor(path).bytes_compressor()(text))
    if draft != path:
        local_path(draft).replace(local_path(path))


def has_same_bytes(one: FileIO, path: str, other: FileIO, other_path: str) -> bool:
    """Return whether two files have the same content."""
    return _digest(one, path) == _digest(other, other_path)


def _digest(io: FileIO, path: str) -> str:
    digest = hashlib.sha256()
    with io.new_input(path).open() as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
