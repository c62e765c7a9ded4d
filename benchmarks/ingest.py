"""Ingestion: dict rows to staged Parquet, and rows judged against their contract."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pandera.pandas as pa

from benchmarks.measure import compare

ROWS = 1_000_000
JUDGED_ROWS = 5_000_000
PAGE = 10_000
ROUNDS = 3
COUNTRIES = ["AT", "BE", "CH", "DE", "DK", "ES", "FR", "IT", "NL", "NO", "PL", "SE"]
STATUSES = ["new", "open", "paid", "sent", "done"]


class EventSchema(pa.DataFrameModel):
    """The benchmark's rows, with a rule of each common kind."""

    id: str = pa.Field(unique=True, str_length={"min_value": 36, "max_value": 36})
    ts: datetime
    amount: float = pa.Field(ge=0, le=100_000)
    qty: int = pa.Field(ge=1, lt=1000)
    status: str = pa.Field(isin=STATUSES)
    country: str = pa.Field(str_matches=r"^[A-Z]{2}$")
    note: str


def run() -> list[dict[str, Any]]:
    """Compare phlo with plain dlt and pyarrow, and with Pandera on pandas."""
    found = compare(
        ROUNDS,
        phlo=("benchmarks.ingest:phlo_ingest", (ROWS,)),
        pyarrow=("benchmarks.ingest:pyarrow_ingest", (ROWS,)),
        plain_dlt=("benchmarks.ingest:dlt_ingest", (ROWS,)),
        phlo_few=("benchmarks.ingest:phlo_ingest", (ROWS // 10,)),
        judge=("benchmarks.ingest:phlo_judge", (JUDGED_ROWS,)),
        pandera=("benchmarks.ingest:pandera_judge", (JUDGED_ROWS,)),
    )
    phlo, judged = found["phlo"], found["judge"]
    rows = [
        ("ingest against plain dlt, CPU", phlo.cpu_seconds,
         found["plain_dlt"].cpu_seconds, 1 / 5),
        ("ingest against pyarrow, CPU", phlo.cpu_seconds, found["pyarrow"].cpu_seconds, 1.15),
        ("growth of memory with ten times the rows, MB of 300",
         phlo.peak_mb - found["phlo_few"].peak_mb, 300.0, 1.0),
        ("judge against Pandera, wall", judged.wall_seconds, found["pandera"].wall_seconds, 0.6),
        ("judge against Pandera, peak MB", judged.peak_mb, found["pandera"].peak_mb, 1 / 3),
    ]  # fmt: skip
    return [
        {"what": what, "phlo": ours, "peer": theirs, "ratio": ours / theirs, "goal": goal}
        for what, ours, theirs, goal in rows
    ]


def pages(rows: int) -> Iterator[list[dict[str, Any]]]:
    """Pages of rows as an API would give them, from one parsed page."""
    page = json.dumps(
        [
            {
                "id": f"{n:08x}-0000-4000-a000-{n:012x}",
                "ts": "2025-01-15T10:00:00Z",
                "amount": n / 7,
                "qty": n % 999 + 1,
                "status": STATUSES[n % 5],
                "country": COUNTRIES[n % 12],
                "note": f"note {n:064x} {n}",
            }
            for n in range(PAGE)
        ]
    )
    for _ in range(rows // PAGE):
        yield json.loads(page)


def phlo_ingest(rows: int) -> Callable[[], None]:
    """Dicts to conformed Parquet in dlt's package."""
    from phlo.contract import Contract
    from phlo_dlt.extract import extract

    contract, folder = Contract.of(EventSchema), Path(tempfile.mkdtemp())

    def work() -> None:
        found = extract(pages(rows), name="events", contract=contract, folder=folder)
        assert found.row_count == rows

    return work


def pyarrow_ingest(rows: int) -> Callable[[], None]:
    """The same rows by pyarrow alone."""
    import pyarrow as arrow
    import pyarrow.parquet as pq
    from phlo.contract import Contract

    schema = Contract.of(EventSchema).arrow_schema
    as_text = arrow.schema([f.with_type(arrow.string()) if f.name == "ts" else f for f in schema])
    path = Path(tempfile.mkdtemp()) / "rows.parquet"

    def work() -> None:
        with pq.ParquetWriter(path, schema) as writer:
            for page in pages(rows):
                table = arrow.Table.from_pylist(page, schema=as_text)
                writer.write_table(table.cast(schema))

    return work


def dlt_ingest(rows: int) -> Callable[[], None]:
    """The same rows by a plain dlt pipeline to Parquet."""
    import dlt

    folder = Path(tempfile.mkdtemp())
    pipeline = dlt.pipeline("plain", pipelines_dir=str(folder), destination="filesystem")

    def work() -> None:
        resource = dlt.resource(pages(rows), name="events")
        pipeline.extract(resource, loader_file_format="parquet")
        pipeline.normalize()

    return work


def _judged_file(rows: int) -> Path:
    """Conformed rows with unique ids, written once per process."""
    import numpy as np
    import pyarrow as arrow
    import pyarrow.parquet as pq
    from phlo.contract import Contract

    schema = Contract.of(EventSchema).arrow_schema
    path = Path(tempfile.mkdtemp()) / "rows.parquet"
    (page,) = pages(PAGE)
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, PAGE):
            ids = [f"{n:08x}-0000-4000-a000-{n:012x}" for n in range(start, start + PAGE)]
            columns = [
                arrow.array(ids),
                arrow.array(np.full(PAGE, 1736935200000000), arrow.int64()).cast(schema.types[1]),
                *(arrow.array([row[f.name] for row in page], f.type) for f in list(schema)[2:]),
            ]
            writer.write_table(arrow.table(columns, schema=schema))
    return path


def phlo_judge(rows: int) -> Callable[[], None]:
    """All rules of the contract, in the workspace of a load."""
    import pyarrow.parquet as pq
    from phlo.specs import spec_of
    from phlo_dlt import phlo_ingestion
    from phlo_dlt.rows.conformer import Conformer
    from phlo_dlt.rows.judge import exclude, judge, verdict
    from phlo_dlt.rows.workspace import Workspace
    from phlo_dlt.settings import get_dlt_settings

    @phlo_ingestion(
        table_name="events",
        unique_key="id",
        validation_schema=EventSchema,
        group="bench",
        merge_strategy="append",
    )
    def events() -> None: ...

    spec, source = spec_of(events), _judged_file(rows)
    conformer, staged = Conformer(spec.contract), source.with_name("staged.parquet")
    batches = pq.ParquetFile(source).iter_batches(100_000)
    with pq.ParquetWriter(staged, conformer.rows([]).schema) as writer:
        for batch in batches:
            import pyarrow as arrow

            writer.write_table(conformer.table(arrow.Table.from_batches([batch])))

    def work() -> None:
        limit = get_dlt_settings().memory_limit_mb
        space = Workspace([staged], spec.contract, folder=source.parent, memory_limit_mb=limit)
        judge(space, spec, frozenset(spec.contract.column_names))
        exclude(space, spec)
        assert verdict(space, spec).row_count == 0

    return work


def pandera_judge(rows: int) -> Callable[[], None]:
    """The same rows by Pandera on a frame."""
    import pandas as pd

    source = _judged_file(rows)

    def work() -> None:
        frame = pd.read_parquet(source)
        frame["ts"] = frame["ts"].dt.tz_localize(None).astype("datetime64[ns]")
        EventSchema.validate(frame, lazy=True)

    return work
