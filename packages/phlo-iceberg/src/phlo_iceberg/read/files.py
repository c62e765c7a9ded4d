"""Open the files of a lake without importing what a command that only looks does not need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import urlparse

from pyiceberg.io import PY_IO_IMPL, FileIO, InputFile, load_file_io

if TYPE_CHECKING:
    from pyiceberg.io import InputStream, OutputFile

_METADATA = (".json", ".avro")


class LakeFileIO(FileIO):
    """Read local metadata files by Python, and leave all other files to pyiceberg's own FileIO.

    That one imports Arrow's datasets, and with them pandas: a fifth of a second, for which
    `phlo query` and `phlo status` would wait.
    """

    def __init__(self, properties: dict[str, str] | None = None) -> None:
        super().__init__(properties or {})
        self._by_scheme: dict[str, FileIO] = {}

    def file_io(self, location: str) -> FileIO:
        """Return pyiceberg's own FileIO for a location."""
        scheme = urlparse(location).scheme
        if scheme not in self._by_scheme:
            properties = {k: v for k, v in self.properties.items() if k != PY_IO_IMPL}
            self._by_scheme[scheme] = load_file_io(properties, location)
        return self._by_scheme[scheme]

    def new_input(self, location: str) -> InputFile:
        """Return a file to read."""
        if is_local(location) and location.endswith(_METADATA):
            return _LocalFile(location)
        return self.file_io(location).new_input(location)

    def new_output(self, location: str) -> OutputFile:
        """Return a file to write."""
        return self.file_io(location).new_output(location)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Delete a file."""
        address = location if isinstance(location, str) else location.location
        self.file_io(address).delete(address)


class _LocalFile(InputFile):
    """A file of this machine that is read."""

    def __len__(self) -> int:
        return local_path(self.location).stat().st_size

    def exists(self) -> bool:
        return local_path(self.location).exists()

    def open(self, seekable: bool = True) -> InputStream:
        return cast("InputStream", local_path(self.location).open("rb"))


def is_local(location: str) -> bool:
    """Return whether a location is a file of this machine.

    >>> is_local("file:///data/a.json"), is_local("/data/a.json"), is_local("s3://lake/a.json")
    (True, True, False)
    """
    return "://" not in location or location.startswith("file://")


def local_path(location: str) -> Path:
    """Return the path of a file of this machine.

    >>> local_path("file:///data/a b.json"), local_path("/data/a.json")
    (PosixPath('/data/a b.json'), PosixPath('/data/a.json'))
    """
    return Path(urlparse(location).path if location.startswith("file:") else location)
