"""Write data files and position-delete files."""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from phlo.errors import UnsupportedTypeError
from pyiceberg.io.pyarrow import ParquetFormatWriter, schema_to_pyarrow
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import (
    PartitionField,
    PartitionFieldValue,
    PartitionKey,
    PartitionSpec,
    partition_record_value,
)
from pyiceberg.schema import Schema, sanitize_column_names
from pyiceberg.table.locations import load_location_provider
from pyiceberg.transforms import TruncateTransform
from pyiceberg.typedef import Record
from pyiceberg.types import LongType, NestedField, StringType

from phlo_iceberg.write.parquet import ParquetWriter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pyiceberg.io import FileIO, OutputFile
    from pyiceberg.io.fileformat import DataFileStatistics
    from pyiceberg.table.metadata import TableMetadata

ROWS_PER_GROUP = 122_880
MAX_BUFFERED_BYTES = 128 * 1024 * 1024
TARGET_FILE_BYTES = 512 * 1024 * 1024
"""Arrow bytes after which a file is full; on disk it is several times smaller."""

_DELETE_SCHEMA = Schema(
    NestedField(2147483546, "file_path", StringType(), required=True),
    NestedField(2147483545, "pos", LongType(), required=True),
)
DELETE_SCHEMA = schema_to_pyarrow(_DELETE_SCHEMA)
"""Of a position-delete file: ``file_path`` and ``pos``."""
_WHOLE_BOUNDS = dict.fromkeys(
    (
        "write.metadata.metrics.default",
        *(f"write.metadata.metrics.column.{field.name}" for field in _DELETE_SCHEMA.fields),
    ),
    "full",
)
"""Properties by which the bounds of a delete file's paths are whole, as Iceberg's own writers do.

Cut to sixteen characters they are alike for all files, and a reader would take every delete file
of a partition for one of each data file in it.
"""


class _Key(PartitionKey):
    """A partition; pyiceberg's own knows one field for each source column."""

    @cached_property
    def partition(self) -> Record:
        """Its values, as Iceberg keeps them."""
        pairs = [(pair.field, pair.value) for pair in self.field_values]
        return Record(*(partition_record_value(f, v, self.schema) for f, v in pairs))


@dataclass
class _OpenFile:
    key: PartitionKey | None
    output: OutputFile
    writer: ParquetWriter
    buffer: list[pa.RecordBatch] = field(default_factory=list)
    buffered_rows: int = 0
    buffered_bytes: int = 0
    written_bytes: int = 0
    nan_counts: Counter[int] = field(default_factory=Counter)


class DataFileWriter:
    """Writes a stream of rows, one open Parquet file per partition, in bounded memory.

    Args:
        metadata: Schema, spec and properties of the table.
        io: Writes the files.
        written: Collects the path of every file begun, also those of a write that fails.
    """

    def __init__(self, metadata: TableMetadata, io: FileIO, written: list[str]) -> None:
        self._metadata, self._io, self._written = metadata, io, written
        self._schema = sanitize_column_names(metadata.schema())
        self._arrow = schema_to_pyarrow(self._schema)
        self._locations = load_location_provider(metadata.location, metadata.properties)
        self._open: dict[Any, _OpenFile] = {}
        self._done: list[DataFile] = []

    def write(self, batches: Iterable[pa.RecordBatch]) -> list[DataFile]:
        """Write all rows; returns the files, none for no rows."""
        for batch in batches:
            if batch.num_rows:
                self._write_batch(_cast(batch, self._arrow))
        for partition in list(self._open):
            self._close(partition)
        return self._done

    def _write_batch(self, batch: pa.RecordBatch) -> None:
        for key, rows in split_by_partition(batch, self._metadata.spec(), self._metadata.schema()):
            self._add(key, rows)
        if sum(f.buffered_bytes for f in self._open.values()) > MAX_BUFFERED_BYTES:
            self._flush(max(self._open.values(), key=lambda f: f.buffered_bytes))

    def _add(self, key: PartitionKey | None, rows: pa.RecordBatch) -> None:
        partition = key.partition if key else None
        file = self._open.get(partition) or self._begin(key)
        self._open[partition] = file
        file.buffer.append(rows)
        file.buffered_rows += rows.num_rows
        file.buffered_bytes += rows.nbytes
        if file.buffered_rows >= ROWS_PER_GROUP:
            self._flush(file)
        if file.written_bytes >= TARGET_FILE_BYTES:
            self._close(partition)

    def _begin(self, key: PartitionKey | None) -> _OpenFile:
        path = self._locations.new_data_location(f"{uuid.uuid4()}.parquet", key)
        self._written.append(path)
        output = self._io.new_output(path)
        writer = ParquetWriter(output, self._schema, self._metadata.properties)
        return _OpenFile(key, output, writer)

    def _flush(self, file: _OpenFile) -> None:
        if file.buffer:
            rows = pa.Table.from_batches(file.buffer)
            file.writer.write(rows)
            file.nan_counts.update(self._nan_counts(rows))
            file.written_bytes += file.buffered_bytes
            file.buffer, file.buffered_rows, file.buffered_bytes = [], 0, 0

    def _nan_counts(self, rows: pa.Table) -> dict[int, int]:
        """Count NaN by field id; Parquet's own statistics, which pyiceberg reads, do not."""
        return {
            column.field_id: _count_nan(rows.column(n))
            for n, column in enumerate(self._schema.fields)
            if pa.types.is_floating(rows.schema.field(n).type)
        }

    def _close(self, partition: Any) -> None:
        file = self._open.pop(partition)
        self._flush(file)
        statistics = file.writer.close()
        self._done.append(
            _data_file(
                DataFileContent.DATA,
                file.output,
                partition if partition is not None else Record(),
                self._metadata.default_spec_id,
                statistics,
                file.nan_counts,
            )
        )


def _count_nan(values: pa.ChunkedArray) -> int:
    is_nan = pc.is_nan(values)  # pyright: ignore[reportAttributeAccessIssue] - made at import
    return sum(chunk.true_count for chunk in is_nan.chunks)


def _data_file(
    content: DataFileContent,
    output: OutputFile,
    partition: Record,
    spec_id: int,
    statistics: DataFileStatistics,
    nan_counts: Mapping[int, int],
) -> DataFile:
    _drop_unwritable_bounds(statistics)
    file = DataFile.from_args(
        content=content,
        file_path=output.location,
        file_format=FileFormat.PARQUET,
        partition=partition,
        file_size_in_bytes=len(output),
        sort_order_id=None,
        equality_ids=None,
        key_metadata=None,
        **{**statistics.to_serialized_dict(), "nan_value_counts": dict(nan_counts)},
    )
    file.spec_id = spec_id
    return file


def _drop_unwritable_bounds(statistics: DataFileStatistics) -> None:
    """Leave out upper bounds of text that pyiceberg cannot make.

    It cuts text off and takes the last character's next; that of U+D7FF is no character.
    """
    for column in statistics.column_aggregates.values():
        try:
            column.max_as_bytes()
        except UnicodeEncodeError:
            column.current_max = None


def split_by_partition(
    batch: pa.RecordBatch, spec: PartitionSpec, schema: Schema
) -> list[tuple[PartitionKey | None, pa.RecordBatch]]:
    """Split the rows of a batch by partition, in one pass."""
    if spec.is_unpartitioned():
        return [(None, batch)]
    names = [f"p{n}" for n in range(len(spec.fields))]
    values: list[pa.Array] = []
    for partition_field in spec.fields:
        source = schema.find_field(partition_field.source_id)
        rows = _small(batch.column(_position(schema, source.field_id)))
        values.append(partition_field.transform.pyarrow_transform(source.field_type)(rows))
        _refuse_wrapped(partition_field, rows, values[-1])
    order = pc.sort_indices(  # pyright: ignore[reportAttributeAccessIssue] - made at import
        pa.table(values, names=names), sort_keys=[(n, "ascending") for n in names]
    )
    ordered = batch.take(order)
    keys = pa.table([v.take(order) for v in values], names=names)
    keys = keys.append_column("row", pa.array(range(batch.num_rows)))
    groups = keys.group_by(names, use_threads=False).aggregate([("row", "min"), ("row", "count")])
    return [
        (_key(spec, schema, [g[n] for n in names]), ordered.slice(g["row_min"], g["row_count"]))
        for g in groups.to_pylist()
    ]


def _refuse_wrapped(partition_field: PartitionField, values: pa.Array, truncated: pa.Array) -> None:
    """Refuse integers that are cut off to one below their type's smallest, which wraps round.

    A reader that looks for such a number would not find the partition. The specification leaves
    open what becomes of them.
    """
    cuts_off = isinstance(partition_field.transform, TruncateTransform)
    if not cuts_off or not pa.types.is_integer(values.type):
        return
    wrapped = values.filter(pc.greater(truncated, values))  # pyright: ignore[reportAttributeAccessIssue]
    if len(wrapped):
        raise UnsupportedTypeError(
            f"No partition {partition_field.name!r} can hold one of the numbers.",
            got=str(wrapped[0]),
            expected=f"numbers whose {partition_field.transform} is one of {values.type}",
            hint="Partition by bucket[n] of this column, or by another.",
        )


def _small(values: pa.Array) -> pa.Array:
    """Replace large binaries, which pyiceberg's transforms do not know."""
    return values.cast(pa.binary()) if pa.types.is_large_binary(values.type) else values


def _position(schema: Schema, field_id: int) -> int:
    for n, column in enumerate(schema.fields):
        if column.field_id == field_id:
            return n
    raise UnsupportedTypeError(
        "The table is partitioned by a field inside a column, and phlo cannot write to it.",
        got=schema.find_column_name(field_id),
        expected="partitions by columns",
        hint="Let the engine that partitioned it so partition it by columns.",
    )


def _key(spec: PartitionSpec, schema: Schema, values: list[Any]) -> PartitionKey:
    pairs = [PartitionFieldValue(f, v) for f, v in zip(spec.fields, values, strict=True)]
    return _Key(field_values=pairs, partition_spec=spec, schema=schema)


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Cast the batch to exactly the file's schema; its columns are in that order already."""
    columns = [batch.column(n).cast(f.type) for n, f in enumerate(schema)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def write_position_deletes(
    metadata: TableMetadata,
    io: FileIO,
    removed: Sequence[tuple[DataFile, pa.Array]],
    written: list[str],
) -> list[DataFile]:
    """Write one delete file per partition.

    Args:
        metadata: Properties and location of the table.
        io: Writes the files.
        removed: Data files with the positions of their removed rows, each sorted.
        written: Collects the paths.

    Source: Iceberg specification, "Position Delete Files": rows sorted by path, then position.
    """
    groups: dict[tuple[int, Record], list[tuple[DataFile, pa.Array]]] = defaultdict(list)
    for file, positions in removed:
        groups[(file.spec_id, file.partition)].append((file, positions))
    return [
        write_delete_file(metadata, io, spec_id, partition, _positions(group), written)
        for (spec_id, partition), group in groups.items()
    ]


def _positions(removed: Sequence[tuple[DataFile, pa.Array]]) -> pa.Table:
    ordered = sorted(removed, key=lambda pair: pair[0].file_path)
    paths = [pa.repeat(file.file_path, len(positions)) for file, positions in ordered]
    columns = [pa.concat_arrays(paths), pa.concat_arrays([found for _, found in ordered])]
    return pa.table(columns, schema=DELETE_SCHEMA)


def write_delete_file(
    metadata: TableMetadata,
    io: FileIO,
    spec_id: int,
    partition: Record,
    positions: pa.Table,
    written: list[str],
) -> DataFile:
    """Write one file of position deletes.

    Args:
        metadata: Properties and location of the table.
        io: Writes the file.
        spec_id: The partition spec of the data files.
        partition: Their partition.
        positions: Data files and positions by ``DELETE_SCHEMA``, sorted.
        written: Collects the path.
    """
    locations = load_location_provider(metadata.location, metadata.properties)
    path = locations.new_data_location(f"{uuid.uuid4()}-deletes.parquet")
    written.append(path)
    output = io.new_output(path)
    writer = ParquetFormatWriter(output, _DELETE_SCHEMA, metadata.properties | _WHOLE_BOUNDS)
    writer.write(positions)
    kind = DataFileContent.POSITION_DELETES
    return _data_file(kind, output, partition, spec_id, writer.close(), {})
