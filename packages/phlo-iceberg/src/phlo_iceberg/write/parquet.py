"""How columns are laid out in a Parquet file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.io.pyarrow import ParquetFormatWriter, parquet_path_to_id_mapping

if TYPE_CHECKING:
    from collections.abc import Iterable

SAMPLE_ROWS = 10_000
MIN_ROWS = 1_000
"""Where there are fewer it makes no difference."""

MIN_DISTINCT_SHARE = 0.9


class ParquetWriter(ParquetFormatWriter):
    """Writes text that hardly repeats, such as keys, with lengths and characters apart.

    By default a dictionary is begun and given up again once it is too large. Without it such a
    column is smaller, cheaper to write and half the work to read; a merge reads every stored key.
    Source: Apache Parquet, "Encodings", DELTA_LENGTH_BYTE_ARRAY; Trino, Spark, DuckDB and pyarrow
    read it.
    """

    def write(self, table: pa.Table) -> None:
        """Write rows; the first decide the layout of the file."""
        if self._writer is None:
            paths = parquet_path_to_id_mapping(self._file_schema)
            self._parquet_writer_kwargs |= _layout(paths, _rarely_repeated(table))
        super().write(table)


def _layout(paths: Iterable[str], plain: list[str]) -> dict[str, Any]:
    if not plain:
        return {}
    return {
        "use_dictionary": [path for path in paths if path not in plain],
        "column_encoding": dict.fromkeys(plain, "DELTA_LENGTH_BYTE_ARRAY"),
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
