"""How columns are laid out in a Parquet file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from phlo.errors import ConfigurationError
from pyiceberg.io.pyarrow import ParquetFormatWriter, parquet_path_to_id_mapping

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TEXT_ENCODING_PROPERTY = "phlo.parquet.text-encoding"
"""Table property: how text that hardly repeats, such as keys, is encoded."""

_ENCODINGS = {"plain": "PLAIN", "delta-length": "DELTA_LENGTH_BYTE_ARRAY"}

SAMPLE_ROWS = 10_000
MIN_ROWS = 1_000
"""Files with fewer rows keep their dictionaries: it makes no difference."""

MIN_DISTINCT_SHARE = 0.9


class ParquetWriter(ParquetFormatWriter):
    """Writes text that hardly repeats, such as keys, without a dictionary.

    Parquet's default begins a dictionary and gives it up once it is too large; without one such a
    column is a tenth cheaper to write and a fifth cheaper to read. The encoding is PLAIN, which
    every reader has. ``delta-length`` in the table property ``phlo.parquet.text-encoding`` saves
    as much again, for lakes whose readers have DELTA_LENGTH_BYTE_ARRAY: Iceberg's vectorized
    reader for Spark has it from version 1.11 on.
    """

    def write(self, table: pa.Table) -> None:
        """Write rows; the first ones decide the layout of the file."""
        if self._writer is None:
            paths = parquet_path_to_id_mapping(self._file_schema)
            encoding = _text_encoding(self._properties)
            self._parquet_writer_kwargs |= _layout(paths, _rarely_repeated(table), encoding)
        super().write(table)


def _text_encoding(properties: Mapping[str, str]) -> str:
    name = properties.get(TEXT_ENCODING_PROPERTY, "plain")
    if name not in _ENCODINGS:
        raise ConfigurationError(
            f"The table property {TEXT_ENCODING_PROPERTY!r} names no encoding of text.",
            got=repr(name),
            expected=f"one of {list(_ENCODINGS)}",
            hint="Set the property to one of these, or remove it.",
        )
    return _ENCODINGS[name]


def _layout(paths: Iterable[str], without_dictionary: list[str], encoding: str) -> dict[str, Any]:
    if not without_dictionary:
        return {}
    return {
        "use_dictionary": [path for path in paths if path not in without_dictionary],
        "column_encoding": dict.fromkeys(without_dictionary, encoding),
    }


def _rarely_repeated(table: pa.Table) -> list[str]:
    if table.num_rows < MIN_ROWS:
        return []
    step = -(-table.num_rows // SAMPLE_ROWS)
    sample = table.select([f.name for f in table.schema if _is_text(f.type)]).take(
        pa.array(range(0, table.num_rows, step))
    )
    return [name for name in sample.column_names if _has_many_values(sample.column(name))]


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _has_many_values(column: pa.ChunkedArray) -> bool:
    values = len(column) - column.null_count
    distinct = pc.count_distinct(column).as_py()  # pyright: ignore[reportAttributeAccessIssue]
    return values >= MIN_ROWS * MIN_DISTINCT_SHARE and distinct >= MIN_DISTINCT_SHARE * values
