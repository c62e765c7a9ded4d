"""Conform what a resource yields: dicts, frames, Arrow data or listed files."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
from dlt.common.storages.fsspec_filesystem import FileItemDict
from phlo.errors import ContractError

from phlo_dlt.rows.items import ListedFile, file_batches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phlo_dlt.rows.conformer import Conformer


def batches_of(item: Any, conformer: Conformer) -> Iterator[pa.Table]:
    """Conform whatever a resource yields, table by table.

    Args:
        item: A dict, a list of dicts, a pandas or polars frame, an Arrow table, batch or reader,
            or a list of these.
        conformer: Conforms them.

    Raises:
        ContractError: An item is none of these.
    """
    if isinstance(item, FileItemDict):
        yield from file_batches(ListedFile(item), conformer)
    elif isinstance(item, ListedFile):
        yield from file_batches(item, conformer)
    elif isinstance(item, dict):
        yield conformer.rows([item])
    elif isinstance(item, list):
        yield from _list_batches(item, conformer)
    elif isinstance(item, pa.Table):
        yield conformer.table(item)
    elif isinstance(item, pa.RecordBatch):
        yield conformer.table(pa.Table.from_batches([item]))
    elif isinstance(item, pa.RecordBatchReader):
        for batch in item:
            yield conformer.table(pa.Table.from_batches([batch]))
    elif hasattr(item, "get_columns"):  # polars
        columns = [(series.name, _polars_column(series)) for series in item.get_columns()]
        yield conformer.columns(columns, len(item))
    elif hasattr(item, "to_arrow"):
        yield conformer.table(item.to_arrow())
    elif hasattr(item, "to_dict") and hasattr(item, "columns"):
        columns = [(str(name), _pandas_column(series)) for name, series in item.items()]
        yield conformer.columns(columns, len(item))
    else:
        raise ContractError(
            f"The source yields a {type(item).__name__}, which is no row.",
            got=repr(item)[:80],
            expected="dicts, lists of dicts, frames or Arrow tables",
            hint="Yield dicts from the ingestion function.",
        )


def are_dicts(items: list[Any]) -> bool:
    """Return whether a list holds dicts alone, and at least one."""
    types = set(map(type, items))
    return bool(types) and all(issubclass(t, dict) and t is not FileItemDict for t in types)


def _list_batches(items: list[Any], conformer: Conformer) -> Iterator[pa.Table]:
    if are_dicts(items):
        yield conformer.rows(items)
        return
    for item in items:
        yield from batches_of(item, conformer)


def _pandas_column(series: Any) -> Any:
    """Return a column as an Arrow array, or as a list where its values are Python's own objects.

    Arrow would choose one type for all of them: a date beside a time, a dict beside one of other
    keys or a set would be changed.
    """
    dtype = getattr(series.dtype, "categories", series).dtype
    is_of_pandas = isinstance(dtype, pd.PeriodDtype | pd.IntervalDtype)
    if not is_of_pandas and not pd.api.types.is_object_dtype(dtype):
        with suppress(pa.ArrowException, TypeError):  # sparse values, complex numbers
            return pa.Array.from_pandas(series)
    return [None if type(v) is float and v != v else v for v in series.tolist()]


def _polars_column(series: Any) -> Any:
    """Return a column as an Arrow array, or as a list where Arrow has no such type."""
    if str(series.dtype) != "Object":  # polars hands over the addresses of these
        with suppress(pa.ArrowException):  # integers of 128 bits
            return series.to_arrow()
    return series.to_list()
