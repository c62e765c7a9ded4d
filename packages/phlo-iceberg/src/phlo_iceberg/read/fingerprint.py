"""Tell by a number whether two states of tables have the same rows, whatever their files."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from phlo.sql import sql

from phlo_iceberg.read.connection import connect, use_object_store
from phlo_iceberg.read.state import allow_only_files_of

if TYPE_CHECKING:
    from phlo_iceberg.read.state import TableState


class Fingerprint(NamedTuple):
    """The number of rows, deletes applied, and the sum of their hashes."""

    row_count: int
    hash_sum: int


def fingerprint(state: TableState) -> Fingerprint:
    """Read all rows of a table's state.

    Raises:
        UnsupportedTableError: Rows are deleted by equality, or files are not Parquet.
        InvalidNameError: Names of its columns are the same for DuckDB.
    """
    rows = state.relation(state.all_tasks)
    connection = connect()
    try:
        use_object_store(connection, state.io, state.metadata.location)
        allow_only_files_of(connection, [state])
        query = sql("SELECT count(*), sum(hash(r)::HUGEINT) FROM ({rows}) AS r", rows=rows)
        ((row_count, hash_sum),) = connection.execute(query).fetchall()
    finally:
        connection.close()
    return Fingerprint(row_count, hash_sum or 0)
