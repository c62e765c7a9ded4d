"""The data of the benchmarks: 100,000 rows a day, the same every time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa

ROWS_PER_DAY = 100_000
FIRST_DAY = date(2024, 1, 1)
STATUSES = np.array(["new", "open", "paid", "sent", "done"])
COUNTRIES = np.array(["AT", "BE", "CH", "DE", "DK", "ES", "FR", "IT", "NL", "NO", "PL", "SE"])
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("ts", pa.timestamp("us", tz="UTC")),
        pa.field("amount", pa.float64()),
        pa.field("qty", pa.int64()),
        pa.field("status", pa.string()),
        pa.field("country", pa.string()),
        pa.field("note", pa.string()),
        pa.field("_phlo_ingested_at", pa.timestamp("us", tz="UTC")),
        pa.field("_phlo_partition_date", pa.date32()),
    ]
)


def day_of(number: int) -> date:
    """The day with a number, from 0."""
    return FIRST_DAY + timedelta(days=number)


def day_rows(number: int, rows: int = ROWS_PER_DAY) -> pa.Table:
    """All rows of a day; ids are random UUIDs in text, about 80 characters of note."""
    random = np.random.default_rng(number)
    start = datetime.combine(day_of(number), datetime.min.time(), UTC)
    seconds = random.integers(0, 86_400, rows)
    columns = [
        pa.array(_uuids(random, rows)),
        pa.array([start + timedelta(seconds=int(s)) for s in seconds], SCHEMA.field("ts").type),
        pa.array(random.gamma(2, 50, rows)),
        pa.array(random.integers(1, 100, rows)),
        pa.array(STATUSES[random.integers(0, 5, rows)]),
        pa.array(COUNTRIES[random.integers(0, 12, rows)]),
        pa.array([f"note {a:064x} {b}" for a, b in zip(seconds, range(rows), strict=True)]),
        pa.array([start] * rows, SCHEMA.field("_phlo_ingested_at").type),
        pa.array([day_of(number)] * rows, pa.date32()),
    ]
    return pa.table(columns, schema=SCHEMA)


def _uuids(random: np.random.Generator, rows: int) -> list[str]:
    text = random.bytes(16 * rows).hex()
    parts = (text[n : n + 32] for n in range(0, len(text), 32))
    return [f"{p[:8]}-{p[8:12]}-4{p[13:16]}-a{p[17:20]}-{p[20:]}" for p in parts]


def changed(table: pa.Table, share: float, day: int, later_minutes: int = 1) -> pa.Table:
    """Rows evenly spread over a table with another amount, loaded for a day."""
    rows = table.take(pa.array(range(0, table.num_rows, round(1 / share))))
    amount = pa.array([a + 1 for a in rows["amount"].to_pylist()])
    stamp = datetime.combine(day_of(day), datetime.min.time(), UTC) + timedelta(
        minutes=later_minutes
    )
    rows = rows.set_column(2, SCHEMA.field("amount"), amount)
    rows = rows.set_column(
        7, SCHEMA.field(7), pa.array([stamp] * rows.num_rows, SCHEMA.field(7).type)
    )
    return rows.set_column(8, SCHEMA.field(8), pa.array([day_of(day)] * rows.num_rows, pa.date32()))
