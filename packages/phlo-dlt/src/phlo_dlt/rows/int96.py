"""Times of old Parquet writers: INT96, in nanoseconds, of any year.

Arrow reads them as nanoseconds, which end in the year 2262 and wrap round beyond, or as
microseconds, which cut what is finer. Both together tell the value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from phlo_dlt.rows.layout import cannot_read

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import pyarrow.parquet as pq


def int96_columns(parquet: pq.ParquetFile) -> frozenset[str]:
    """Name the columns of a file that hold such times, by themselves or inside lists and rows."""
    schema = parquet.schema
    leaves = [schema.column(n) for n in range(len(schema))]
    return frozenset(c.path.split(".")[0] for c in leaves if c.physical_type == "INT96")


def restore_nanoseconds(cut: pa.Table, wrapped: pa.RecordBatch, file_name: str) -> dict[str, Any]:
    """Return the columns of such times, in which those finer than a microsecond are as delivered.

    Args:
        cut: The batch, with times in microseconds.
        wrapped: Its columns of such times, in nanoseconds.
        file_name: For messages.

    Returns:
        A column by its name. One with finer times is a list: such a time is its text, which no
        column of microseconds takes, so its row is invalid.

    Raises:
        BrokenSourceError: A list or row holds a finer time of a year that nanoseconds lack.
    """
    columns: dict[str, Any] = {}
    for name, nanoseconds in zip(wrapped.schema.names, wrapped.columns, strict=True):
        array = cut[name].combine_chunks()
        if pa.types.is_timestamp(array.type):
            columns[name] = _times(array, _remainders(array, nanoseconds))
        elif any(_remainders(*pair).any() for pair in _leaves(array, nanoseconds)):
            columns[name] = _nested(array, nanoseconds, file_name)
    return columns


def _remainders(cut: pa.Array, wrapped: pa.Array) -> np.ndarray[Any, Any]:
    """Return nanoseconds beyond the microsecond; numbers wrap round alike on both sides."""
    micros, nanos = (
        a.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False) for a in (cut, wrapped)
    )
    with np.errstate(over="ignore"):
        return nanos - micros * 1000


def _times(cut: pa.Array, remainders: np.ndarray[Any, Any]) -> Any:
    if not remainders.any():
        return cut
    micros = cut.cast(pa.int64())
    return [
        f"{np.datetime64(micros[row].as_py(), 'us')}{rest:03d}" if rest else cut[row]
        for row, rest in enumerate(remainders.tolist())
    ]


def _leaves(cut: pa.Array, wrapped: pa.Array) -> Iterator[tuple[pa.Array, pa.Array]]:
    if pa.types.is_timestamp(cut.type):
        yield cut, wrapped
    elif pa.types.is_struct(cut.type):
        for pair in zip(cut.flatten(), wrapped.flatten(), strict=True):
            yield from _leaves(*pair)
    elif pa.types.is_nested(cut.type):
        yield from _leaves(cut.flatten(), wrapped.flatten())


def _nested(cut: pa.Array, wrapped: pa.Array, file_name: str) -> pa.Array:
    for micros, nanos in _leaves(cut, wrapped):
        if any(_is_beyond_nanoseconds(micros)) and _remainders(micros, nanos).any():
            raise cannot_read(
                file_name,
                None,
                "it nests times finer than a microsecond, of years before 1678 or after 2261",
                "Write the file with times in microseconds.",
            )
    return wrapped


def _is_beyond_nanoseconds(micros: pa.Array) -> Collection[bool]:
    numbers = micros.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    return np.abs(numbers) > np.iinfo(np.int64).max // 1000
