"""CSV files as Arrow tables of text.

Arrow reads the cells. Python's own reader looks first at the records that hold a quote: Arrow takes
what follows an unclosed quote for one cell, up to the end of the file.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import csv as arrow_csv

from phlo_dlt.rows.layout import FileOptions, Layout, cannot_read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from phlo.errors import BrokenSourceError

    Opener = Callable[[], IO[bytes]]

_BLOCK_BYTES = 1 << 20
_MOST_BLOCK_BYTES = 1 << 30
_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SEPARATORS = (";", "\t", "|", ",")
csv.field_size_limit(_MOST_BLOCK_BYTES)


def read_csv(
    open_file: Opener, name: str, options: FileOptions
) -> Iterator[tuple[pa.Table, Layout]]:
    """Read a file in batches of text columns.

    Args:
        open_file: Opens the file anew.
        name: The file's name, for messages.
        options: How it is written.

    Raises:
        BrokenSourceError: It is no such file; names the line and shows what stands there.
    """
    layout = _examine(open_file, name, options)
    if not layout.names:
        raise cannot_read(name, None, "it is empty, without a header", "Load the whole file anew.")
    if not layout.row_count:
        return  # Arrow refuses a header alone
    try:
        with open_file() as file:
            for batch in _arrow_reader(file, layout, options):
                yield pa.Table.from_batches([batch]), layout
    except pa.ArrowInvalid as exc:
        raise _explain(exc, open_file, name, layout, options) from exc


def guess_delimiter(layout: Layout, options: FileOptions) -> str | None:
    """Return what probably parts the cells of a file that seems to have one column."""
    if len(layout.names) != 1:
        return None
    return next((s for s in _SEPARATORS if s != options.delimiter and s in layout.names[0]), None)


def _arrow_reader(file: IO[bytes], layout: Layout, options: FileOptions) -> Any:
    null_values = [""] if options.null_values is None else ["", *options.null_values]
    return arrow_csv.open_csv(
        file,
        read_options=arrow_csv.ReadOptions(
            block_size=min(max(_BLOCK_BYTES, 2 * layout.widest), _MOST_BLOCK_BYTES),
            column_names=list(layout.names),
            skip_rows=layout.first_line - 1,
            encoding="utf-8" if _is_utf8(options) else options.encoding,
        ),
        parse_options=arrow_csv.ParseOptions(
            delimiter=options.delimiter, quote_char=options.quote, newlines_in_values=True
        ),
        convert_options=arrow_csv.ConvertOptions(
            column_types={column: pa.string() for column in layout.names},
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=null_values,
        ),
    )


def _is_utf8(options: FileOptions) -> bool:
    return options.encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig")


class _Lines:
    """The lines of a file as text, counted."""

    def __init__(self, file: IO[bytes], name: str, options: FileOptions) -> None:
        self._name, self._options = name, options
        encoding = "utf-8-sig" if _is_utf8(options) else options.encoding
        self._text = io.TextIOWrapper(file, encoding=encoding, newline="")
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            line = next(self._text)
        except UnicodeError as exc:
            start, content = getattr(exc, "start", 0), getattr(exc, "object", b"")
            raise cannot_read(
                self._name,
                self.number + 1 + content[:start].count(b"\n"),
                f"{bytes(content[max(0, start - 10) :][:30])!r} is not {self._options.encoding}",
                _encoding_hint(bytes(content[:4])),
            ) from exc
        self.number += 1
        return line

    def record(self, line: str) -> list[str]:
        """Read the record that begins with a line, and further lines where a cell goes on there.

        Raises:
            BrokenSourceError: A quote is not closed.
        """
        began, options = self.number, self._options
        quoting = csv.QUOTE_MINIMAL if options.quote else csv.QUOTE_NONE
        reader = csv.reader(
            itertools.chain([line], self),
            delimiter=options.delimiter,
            quotechar=options.quote or None,
            quoting=quoting,
            strict=True,
        )
        try:
            return next(reader)
        except csv.Error as exc:
            raise cannot_read(
                self._name,
                began,
                f"the quote in {line.rstrip()[:60]!r} is not closed, or text follows it",
                _quote_hint(line, options),
            ) from exc


def _encoding_hint(beginning: bytes) -> str:
    if beginning.startswith(b"\x1f\x8b"):
        return "It is packed by gzip: give its name the suffix .gz."
    encoding = "utf-16" if beginning.startswith(_UTF_16_MARKS) else "latin-1"
    return f'Say how it is encoded: filesystem(...) | read_files(encoding="{encoding}").'


def _quote_hint(line: str, options: FileOptions) -> str:
    quote = options.quote
    parts = (s for s in _SEPARATORS if s != options.delimiter and f"{quote}{s}{quote}" in line)
    delimiter = next(parts, None)
    if delimiter is not None:
        return f"Say what parts the cells: filesystem(...) | read_files(delimiter={delimiter!r})."
    return (
        "Load the whole file anew, or write a quote within a cell twice; where quotes are "
        "ordinary characters: filesystem(...) | read_files(quote=False)."
    )


def _examine(open_file: Opener, name: str, options: FileOptions) -> Layout:
    """Read the header, find the longest record, and refuse quotes that are never closed."""
    with open_file() as file:
        lines = _Lines(file, name, options)
        layout = Layout(_names(lines, name, options))
        layout.first_line = lines.number + 1
        for line in lines:
            if not line.strip("\r\n"):
                layout.skip(1)  # Arrow passes over empty lines
                continue
            began, size = lines.number, len(line)
            if options.quote and options.quote in line:
                size = sum(map(len, lines.record(line)))
            layout.add(size, lines.number - began)
        return layout


def _names(lines: _Lines, name: str, options: FileOptions) -> tuple[str, ...]:
    """Return the columns' names; where the options give them, no line is read."""
    if options.header is not True:
        return options.header
    for line in lines:
        if line.strip("\r\n"):
            names = tuple(lines.record(line))
            _check_header(names, name, lines.number)
            return _told_apart(names)
    return ()


def _check_header(names: tuple[str, ...], file: str, line: int) -> None:
    repeated = next((n for i, n in enumerate(names) if n.strip() and n in names[:i]), None)
    if repeated is not None:
        raise cannot_read(
            file,
            line,
            f"the header has {repeated!r} twice",
            "Rename one of them in the file.",
        )


def _told_apart(names: tuple[str, ...]) -> tuple[str, ...]:
    """Number the blank names beyond the first; no column is called so."""
    return tuple(
        f"{name}({position})" if not name.strip() and name in names[: position - 1] else name
        for position, name in enumerate(names, 1)
    )


def _explain(
    error: pa.ArrowInvalid, open_file: Opener, name: str, layout: Layout, options: FileOptions
) -> BrokenSourceError:
    """Name the line that has too many or too few cells, if that is what is wrong."""
    with open_file() as file:
        lines = _Lines(file, name, options)
        for line in itertools.islice(lines, layout.first_line - 1, None):
            began = lines.number
            cells = lines.record(line) if line.strip("\r\n") else layout.names
            if len(cells) != len(layout.names):
                return cannot_read(
                    name,
                    began,
                    f"the header has {len(layout.names)} columns, and {line.rstrip()[:60]!r} has "
                    f"{len(cells)}",
                    _cells_hint(line, options),
                )
    return cannot_read(name, None, str(error).partition("\n")[0], "Correct the file.")


def _cells_hint(line: str, options: FileOptions) -> str:
    delimiter = next((s for s in _SEPARATORS if s != options.delimiter and s in line), None)
    if delimiter is None:
        return "Correct the file."
    return (
        "Correct the file, or say how it is written: filesystem(...) | "
        f"read_files(delimiter={delimiter!r})."
    )
