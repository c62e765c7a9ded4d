"""Files that dlt's ``filesystem`` lists, read as rows."""

from __future__ import annotations

import itertools
from typing import IO, TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
from dlt.common.json import json
from phlo.errors import ConfigurationError
from pyarrow import csv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dlt.common.storages.fsspec_filesystem import FileItemDict

    from phlo_dlt.rows.conformer import Conformer

    Opener = Callable[[], IO[bytes]]

BATCH_ROWS = 50_000


def file_batches(item: FileItemDict, conformer: Conformer) -> Iterator[pa.Table]:
    """The rows of one listed file as conformed tables, batch by batch.

    Args:
        item: CSV, JSON Lines or Parquet by its suffix, ``.gz`` behind it or not.
        conformer: Conforms them. A CSV file holds text alone, so that its values are cast
            whether or not the schema coerces; an empty field is null.

    Raises:
        ConfigurationError: The suffix is none of these; names the file.
    """
    name = str(item["file_name"])
    reader = next((r for suffix, r in _READERS.items() if _bare(name).endswith(suffix)), None)
    if reader is None:
        raise ConfigurationError(
            f"phlo does not know how to read the file {name!r}.",
            got=repr(name),
            expected=f"one of {sorted(_READERS)}, with .gz or without",
            hint="Narrow file_glob, or read it by a transformer: filesystem(...) | read_mine().",
            file=name,
        )
    is_packed = name.lower().endswith(".gz")

    def open_file() -> IO[bytes]:
        return cast("IO[bytes]", item.open("rb", compression="enable" if is_packed else "disable"))

    yield from reader(open_file, conformer)


def _bare(name: str) -> str:
    return name.lower().removesuffix(".gz")


def _csv(open_file: Opener, conformer: Conformer) -> Iterator[pa.Table]:
    with open_file() as file, csv.open_csv(file) as first:
        header = first.schema.names
    options = csv.ConvertOptions(
        column_types={column: pa.string() for column in header},
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=[""],
    )
    parse = csv.ParseOptions(newlines_in_values=True)
    with open_file() as file:
        for batch in csv.open_csv(file, convert_options=options, parse_options=parse):
            yield conformer.text(pa.Table.from_batches([batch]))


def _json_lines(open_file: Opener, conformer: Conformer) -> Iterator[pa.Table]:
    with open_file() as file:
        rows = (cast("dict[str, Any]", json.loadb(line)) for line in file if line.strip())
        while batch := list(itertools.islice(rows, BATCH_ROWS)):
            yield conformer.rows(batch)


def _parquet(open_file: Opener, conformer: Conformer) -> Iterator[pa.Table]:
    with open_file() as file:
        for batch in pq.ParquetFile(file).iter_batches(BATCH_ROWS):
            yield conformer.table(pa.Table.from_batches([batch]))


_READERS: dict[str, Callable[[Opener, Conformer], Iterator[pa.Table]]] = {
    ".csv": _csv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
}
