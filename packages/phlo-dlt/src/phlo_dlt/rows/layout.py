"""How text files are written, and where their records stand."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Literal

from phlo.errors import BrokenSourceError


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How a file is written; see :func:`phlo_dlt.read_files`."""

    delimiter: str = ","
    encoding: str = "utf-8"
    header: Literal[True] | tuple[str, ...] = True
    null_values: tuple[str, ...] | None = None
    quote: str | Literal[False] = '"'


@dataclass(slots=True)
class Layout:
    """Where the records of a file stand.

    Attributes:
        names: Its columns, where a header names them.
        row_count: Its records so far.
        widest: Bytes of its longest record, at most.
        first_line: Line of the first record, from 1.
        jumps: Row, and the lines beyond one each that are taken before it.
    """

    names: tuple[str, ...] = ()
    row_count: int = 0
    widest: int = 0
    first_line: int = 1
    jumps: list[tuple[int, int]] = field(default_factory=list)

    def add(self, size: int, more_lines: int = 0) -> None:
        """Note a record of so many characters, and the lines it takes beyond one."""
        self.row_count += 1
        self.widest = max(self.widest, 4 * size)
        if more_lines:
            self.skip(more_lines)

    def skip(self, line_count: int) -> None:
        """Note lines that are no record of their own."""
        before = self.jumps[-1][1] if self.jumps else 0
        self.jumps.append((self.row_count, before + line_count))

    def line(self, row: int) -> int:
        """Return the line on which a record begins, both from the beginning of the file.

        >>> layout = Layout(first_line=2)
        >>> layout.add(10, more_lines=3)
        >>> layout.add(10)
        >>> layout.line(0), layout.line(1)
        (2, 6)
        """
        position = bisect_right(self.jumps, row, key=lambda jump: jump[0])
        return self.first_line + row + (self.jumps[position - 1][1] if position else 0)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a batch came from.

    Attributes:
        file: Name of the file.
        first_row: Row of the file with which the batch begins, from 0.
        layout: Where its rows stand; ``None``: the file has no lines.
    """

    file: str
    first_row: int
    layout: Layout | None

    def place(self, row: int) -> str:
        """Return where a row of the batch stands, for people."""
        if self.layout is None:
            return f"{self.file}, row {self.first_row + row + 1}"
        return f"{self.file}:{self.layout.line(self.first_row + row)}"


def cannot_read(file: str, line: int | None, what: str, hint: str) -> BrokenSourceError:
    """Return the error of a file that is not written as its suffix or reader says."""
    where = f"the file {file!r}" if line is None else f"line {line} of the file {file!r}"
    return BrokenSourceError(
        f"phlo cannot read {where}: {what.rstrip('.')}.", hint=hint, file=file, line=line
    )
