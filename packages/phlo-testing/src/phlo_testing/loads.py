"""Small loads for tests of table stores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds
from phlo.names import INGESTED_AT_COLUMN, PARTITION_DATE_COLUMN, RUN_ID_COLUMN, Partition

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

METADATA_FIELDS = (
    pa.field(INGESTED_AT_COLUMN, pa.timestamp("us", tz="UTC")),
    pa.field(PARTITION_DATE_COLUMN, pa.date32()),
    pa.field(RUN_ID_COLUMN, pa.string()),
)
BY_PARTITION_DATE = ((PARTITION_DATE_COLUMN, "identity"),)
_FIRST_EXTRACTION = datetime(2025, 1, 1, tzinfo=UTC)


def with_metadata(schema: pa.Schema) -> pa.Schema:
    """Add the columns that an ingestion adds to a user's schema."""
    return pa.schema([*schema, *METADATA_FIELDS])


def load_rows(
    schema: pa.Schema, rows: Sequence[Mapping[str, Any]], partition: Partition, extraction: int
) -> ds.Dataset:
    """Build rows as an ingestion hands them to a store.

    Args:
        schema: The user's columns.
        rows: One mapping per row; missing columns are null.
        partition: The load's partition.
        extraction: Number of the extraction; a higher one began later.
    """
    stamp = {
        INGESTED_AT_COLUMN: _FIRST_EXTRACTION + timedelta(minutes=extraction),
        PARTITION_DATE_COLUMN: partition.date,
        RUN_ID_COLUMN: f"run-{extraction}",
    }
    complete = [dict.fromkeys(schema.names) | dict(row) | stamp for row in rows]
    table_schema = with_metadata(schema)
    nullable = pa.schema([field.with_nullable(nullable=True) for field in table_schema])
    return ds.dataset(pa.Table.from_pylist(complete, schema=nullable))
