"""Copy Arrow rows into a table of PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phlo.sql import Identifier, Sql, sql

from phlo_publishing.copy_format import HEADER, TRAILER, encode_batch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa
    from psycopg import Connection

    from phlo_publishing.postgresql.relations import Relation
    from phlo_publishing.types import PublishedColumn

_BLOCK_BYTES = 32 * 2**20


def copy_rows(
    connection: Connection[Any],
    new: Relation,
    batches: Iterable[pa.RecordBatch],
    columns: Sequence[PublishedColumn],
    batch_size: int,
    *,
    freeze: bool = True,
) -> int:
    """Copy rows into a table, and return their number.

    Args:
        connection: In the transaction that created the table.
        new: The table.
        batches: Rows with the columns ``columns``, in their order.
        columns: How each column is written.
        batch_size: Rows sent at a time.
        freeze: Whether transactions older than this one see the rows too, once it commits.
    """
    encoders = [column.encode for column in columns]
    command = sql(
        "COPY {t} ({c}) FROM STDIN WITH (FORMAT binary{freeze})",
        t=new.sql,
        c=[Identifier(column.name) for column in columns],
        freeze=Sql(", FREEZE" if freeze else ""),
    )
    row_count = 0
    with connection.cursor() as cursor, cursor.copy(command.encode()) as stream:
        stream.write(HEADER)
        for block in _blocks(batches, batch_size):
            stream.write(encode_batch(block, encoders))
            row_count += block.num_rows
        stream.write(TRAILER)
    return row_count


def _blocks(batches: Iterable[pa.RecordBatch], batch_size: int) -> Iterator[pa.RecordBatch]:
    """Cut batches to bounded rows and bytes."""
    for batch in batches:
        row_bytes = batch.nbytes // max(batch.num_rows, 1) + 1
        step = max(1, min(batch_size, _BLOCK_BYTES // row_bytes))
        for start in range(0, batch.num_rows, step):
            yield batch.slice(start, step)
