"""Read the rows of a load once, in little memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

BATCH_ROWS = 20_000
"""Rows that are read and written at a time."""


def stream(rows: ds.Dataset) -> pa.RecordBatchReader:
    """Read a dataset batch by batch, without reading ahead.

    DuckDB scans a dataset as pyarrow does by default: it reads whole files ahead, and sixteen
    batches of each. Of five million rows of ten columns that took 700 MB.
    """
    import pyarrow.dataset as ds  # heavy: needed to write, not to look

    options: dict[str, Any] = {}
    if isinstance(rows, ds.FileSystemDataset) and isinstance(rows.format, ds.ParquetFileFormat):
        options["fragment_scan_options"] = ds.ParquetFragmentScanOptions(pre_buffer=False)
    return rows.scanner(
        batch_size=BATCH_ROWS,
        batch_readahead=0,
        fragment_readahead=0,
        use_threads=False,
        **options,
    ).to_reader()
