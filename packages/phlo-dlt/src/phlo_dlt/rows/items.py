"""Files that dlt's ``filesystem`` lists, read as rows."""

from __future__ import annotations

import gzip
import itertools
import re
import zlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, cast

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from phlo.errors import ConfigurationError

from phlo_dlt.rows.conformer import DICT_ROWS
from phlo_dlt.rows.csv_files import guess_delimiter, read_csv
from phlo_dlt.rows.int96 import int96_columns, restore_nanoseconds
from phlo_dlt.rows.layout import FileOptions, Layout, Origin, cannot_read
from phlo_dlt.rows.naming import resolve_name
from phlo_dlt.rows.plain import read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from dlt.common.storages.fsspec_filesystem import FileItemDict

    from phlo_dlt.rows.conformer import Conformer

_ARROW_ROWS = 50_000
_BROKEN_PACKING = (gzip.BadGzipFile, EOFError, zlib.error)


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A listed file, and how it is written."""

    item: FileItemDict
    options: FileOptions = FileOptions()

    @property
    def name(self) -> str:
        """Its name below the folder that was listed, for messages."""
        return str(self.item.get("relative_path") or self.item["file_name"])

    def open(self) -> IO[bytes]:
        """Open it, unpacked."""
        packing = "enable" if self.name.lower().endswith(".gz") else "disable"
        return cast("IO[bytes]", self.item.open("rb", compression=packing))


def file_batches(file: ListedFile, conformer: Conformer) -> Iterator[pa.Table]:
    """Read the rows of one listed file as conformed tables, batch by batch.

    Args:
        file: CSV, JSON Lines or Parquet by its suffix, ``.gz`` behind it or not.
        conformer: Conforms them. A CSV file holds text alone, so that its values are cast
            whether or not the schema coerces; an empty field is null.

    Raises:
        ConfigurationError: The suffix is none of these, or the file parts its cells otherwise.
        BrokenSourceError: The file is not what its suffix says; names file and line.
    """
    bare = file.name.lower().removesuffix(".gz")
    reader = next((r for suffix, r in _READERS.items() if bare.endswith(suffix)), None)
    if reader is None:
        raise ConfigurationError(
            f"phlo does not know how to read the file {file.name!r}.",
            got=repr(file.name),
            expected=f"one of {sorted(_READERS)}, with .gz or without",
            hint="Narrow file_glob, or read it by a transformer: filesystem(...) | read_mine().",
            file=file.name,
        )
    try:
        yield from reader(file, conformer)
    except _BROKEN_PACKING as exc:
        hint = "Load the whole file anew, or give it the suffix of what it is."
        raise cannot_read(file.name, None, f"it is no whole gzip file ({exc})", hint) from exc
    finally:
        conformer.origin = None


def _csv(file: ListedFile, conformer: Conformer) -> Iterator[pa.Table]:
    row = 0
    for batch, layout in read_csv(file.open, file.name, file.options):
        if row == 0:
            _check_delimiter(file, layout, conformer)
        conformer.origin = Origin(file.name, row, layout)
        row += batch.num_rows
        yield conformer.text(batch, file.options.null_values)


def _check_delimiter(file: ListedFile, layout: Layout, conformer: Conformer) -> None:
    guessed = guess_delimiter(layout, file.options)
    (name, *_) = layout.names
    if guessed is None or resolve_name(name, conformer.column_names) is not None:
        return
    raise ConfigurationError(
        f"The file {file.name!r} has one column, {name[:60]!r}; its cells seem to be parted by "
        f"{guessed!r}.",
        got=f"delimiter={file.options.delimiter!r}",
        expected=f"delimiter={guessed!r}",
        hint=f"Return filesystem(...) | read_files(delimiter={guessed!r}).",
        file=file.name,
    )


def _json_lines(file: ListedFile, conformer: Conformer) -> Iterator[pa.Table]:
    layout = Layout()
    with file.open() as lines:
        rows = _json_rows(lines, file.name, layout)
        first = 0
        while batch := list(itertools.islice(rows, DICT_ROWS)):
            conformer.origin = Origin(file.name, first, layout)
            first += len(batch)
            yield conformer.rows(batch)


def _json_rows(lines: IO[bytes], name: str, layout: Layout) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if not text.strip():
            layout.skip(1)
            continue
        layout.add(0)
        yield _json_row(text, name, number)


def _json_row(line: bytes, name: str, number: int) -> dict[str, Any]:
    try:
        row = _read_json(line)
    except (ValueError, RecursionError) as exc:
        raise _no_object(line, name, number, f"it is no JSON ({exc})") from exc
    if not isinstance(row, dict):
        raise _no_object(line, name, number, "it holds no object")
    return row


def _read_json(line: bytes) -> Any:
    """Read a line of JSON with all digits of its numbers and all values of its names.

    orjson is three times as quick as Python's reader, but reads numbers as doubles, and the last
    value of a name that stands twice. Where it writes back what it read, nothing was lost.
    """
    try:
        value = orjson.loads(line)
        written = orjson.dumps(value)
    except (ValueError, TypeError):
        # Python's reader knows NaN, halves of surrogate pairs, and more than 254 levels.
        return read_json(line)
    is_same = written.replace(b" ", b"") == line.strip().replace(b" ", b"")
    if is_same and _EXPONENT.search(written) is None:
        return value
    return read_json(line)


_EXPONENT = re.compile(rb"[0-9]e[0-9-]")
"""A number that Python spells in another way."""


def _no_object(line: bytes, name: str, number: int, what: str) -> Exception:
    hint = "Each line of a JSON Lines file is one object; correct the file, or narrow file_glob."
    return cannot_read(name, number, f"{what}: {line.strip()[:60]!r}", hint)


def _parquet(file: ListedFile, conformer: Conformer) -> Iterator[pa.Table]:
    with ExitStack() as stack:
        row = 0
        parquet = _open_parquet(file, stack, "us")
        columns = int96_columns(parquet)
        again = _open_parquet(file, stack, "ns") if columns else parquet
        exact = _parquet_batches(again, file.name, columns)
        for batch in _parquet_batches(parquet, file.name):
            conformer.origin = Origin(file.name, row, None)
            row += batch.num_rows
            table = pa.Table.from_batches([batch])
            times = restore_nanoseconds(table, next(exact), file.name) if columns else {}
            yield conformer.table(table, times)


def _open_parquet(file: ListedFile, stack: ExitStack, int96_unit: str) -> pq.ParquetFile:
    opened = stack.enter_context(file.open())
    with _named_if_broken(file.name):
        return pq.ParquetFile(opened, coerce_int96_timestamp_unit=int96_unit)


def _parquet_batches(
    parquet: pq.ParquetFile, name: str, columns: Iterable[str] | None = None
) -> Iterator[pa.RecordBatch]:
    with _named_if_broken(name):
        yield from parquet.iter_batches(
            _ARROW_ROWS, columns=None if columns is None else list(columns)
        )


@contextmanager
def _named_if_broken(name: str) -> Iterator[None]:
    """Name the file of an error that Arrow raises for what it holds.

    Of those some are an ``OSError`` without a number, which errors of a network have.
    """
    try:
        yield
    except (pa.ArrowException, OSError) as exc:
        if isinstance(exc, OSError) and (type(exc) is not OSError or exc.errno is not None):
            raise
        what = str(exc).partition("\n")[0]
        raise cannot_read(name, None, what, "Load the whole file anew.") from exc


_READERS: dict[str, Callable[[ListedFile, Conformer], Iterator[pa.Table]]] = {
    ".csv": _csv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
}
