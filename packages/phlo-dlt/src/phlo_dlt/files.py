"""Reader of the files that dlt's ``filesystem`` lists, for files written in another way."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Literal

import dlt
from phlo.errors import InvalidArgumentError

from phlo_dlt.rows.items import ListedFile
from phlo_dlt.rows.layout import FileOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dlt.common.storages.fsspec_filesystem import FileItemDict
    from dlt.extract import DltResource


def read_files(
    *,
    delimiter: str = ",",
    encoding: str = "utf-8",
    header: Literal[True] | Sequence[str] = True,
    null_values: Sequence[str] | None = None,
    quote: str | Literal[False] = '"',
) -> DltResource:
    """Say how the CSV files that ``filesystem`` lists are written.

    ``filesystem(...) | read_files(delimiter=";")`` reads them so; without it, files are read with
    the defaults. JSON Lines and Parquet files are read as ever.

    Args:
        delimiter: One character between cells.
        encoding: A name that Python knows; a byte order mark is passed over.
        header: ``True``: the first line names the columns; else their names, and the first line
            is a row.
        null_values: Texts without quotes that mean null, beside the empty one. ``None``: outside
            text columns ``NA``, ``N/A``, ``NaN`` and ``null`` do.
        quote: One character around cells that hold delimiters, quotes or line breaks; ``False``:
            it is a character as any other.

    Raises:
        InvalidArgumentError: An argument is none of these; names it.
    """
    _check_character("delimiter", delimiter)
    if quote is not False:
        _check_character("quote", quote)
    _check_encoding(encoding)
    if header is not True and (not header or isinstance(header, str)):
        raise InvalidArgumentError(
            "header= of read_files names no columns.",
            got=repr(header),
            expected="True, or the names in the order of the cells",
            hint='Name the columns: read_files(header=["id", "value"]).',
        )
    options = FileOptions(
        delimiter=delimiter,
        encoding=encoding,
        header=True if header is True else tuple(header),
        null_values=None if null_values is None else tuple(null_values),
        quote=quote,
    )

    @dlt.transformer(name="read_files")
    def read(items: Iterable[FileItemDict]) -> Iterator[ListedFile]:
        for item in items:
            yield ListedFile(item, options)

    return read


def _check_character(argument: str, value: str) -> None:
    if not isinstance(value, str) or len(value) != 1 or ord(value) > 127:
        raise InvalidArgumentError(
            f"{argument}= of read_files is not one ASCII character.",
            got=repr(value),
            expected="one character such as ';'",
            hint=f"Write {argument}=';', for example; a tab is '\\t'.",
        )


def _check_encoding(encoding: str) -> None:
    try:
        codecs.lookup(encoding)
    except LookupError as exc:
        raise InvalidArgumentError(
            f"Python knows no encoding {encoding!r}.",
            got=repr(encoding),
            expected="a name such as 'utf-8', 'latin-1' or 'utf-16'",
            hint='Write read_files(encoding="latin-1"), for example.',
        ) from exc
