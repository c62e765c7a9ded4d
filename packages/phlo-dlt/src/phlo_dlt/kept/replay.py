"""Load again what a failed attempt extracted, without asking its source.

An attempt writes a manifest when all rows are there. A replay hands the rows out as the source
delivered them, under the contract of today, with the cursor and the time of their extraction.
"""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from phlo.errors import ReplayError
from phlo.locks import write_whole
from phlo.staged_runs import find_staged_run

from phlo_dlt.attempt import KeptRows
from phlo_dlt.kept.staging import held, remove
from phlo_dlt.rows.casting import UncastableText
from phlo_dlt.rows.conformer import BATCH_NUMBER, ORIGINAL, staged_name
from phlo_dlt.rows.naming import resolve_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from phlo.config import Settings
    from phlo.contract import Contract
    from phlo.names import Partition

    from phlo_dlt.extract import Extraction
    from phlo_dlt.spec import IngestionSpec

MANIFEST = "extraction.json"
BATCH_ROWS = 50_000


@dataclass(frozen=True)
class Manifest:
    """Content of a staging folder: the fields of ``KeptRows`` in the forms that JSON has."""

    run_id: str
    partition: str | None
    began_at: str
    columns: tuple[str, ...]
    files: tuple[str, ...]
    delivered: tuple[str, ...]
    dropped: dict[str, int]
    seed: str | None
    state: str | None


def write_manifest(
    folder: Path,
    extraction: Extraction,
    contract: Contract,
    *,
    run_id: str,
    partition: Partition | None,
    began_at: datetime,
    seed: str | None,
) -> None:
    """Write the manifest of an attempt, once all of its rows are in its folder."""
    manifest = Manifest(
        run_id=run_id,
        partition=partition.key if partition else None,
        began_at=began_at.isoformat(),
        columns=tuple(contract.column_names),
        files=tuple(str(file.relative_to(folder)) for file in extraction.files),
        delivered=tuple(sorted(extraction.delivered)),
        dropped=extraction.dropped,
        seed=seed,
        state=extraction.state,
    )
    write_whole(folder / MANIFEST, json.dumps(asdict(manifest)))


@contextmanager
def staged_run(
    settings: Settings, run_id: str, spec: IngestionSpec, partition: Partition | None
) -> Iterator[KeptRows]:
    """Hold what a failed run extracted while it is loaded; it is removed when that succeeds.

    Args:
        settings: Know where loads are staged.
        run_id: The run's id, or how it begins.
        spec: The ingestion whose rows are wanted.
        partition: The partition that is loaded.

    Raises:
        ReplayError: There is no such run, it kept nothing of this table or of another partition,
            it still runs, it did not get all rows, or the schema became another since in a way
            that needs the source.
    """
    folder = _find(settings, run_id, spec)
    with ExitStack() as stack:
        try:
            stack.enter_context(held(folder))
        except BlockingIOError as exc:
            raise ReplayError(
                f"The load of {spec.table} by run {run_id} is still going on.",
                hint="Wait for its end; its rows are needed again only if it fails.",
            ) from exc
        manifest = _read(folder)
        _refuse_other_partition(manifest, spec, partition)
        _refuse_lost_columns(manifest, spec.contract)
        yield KeptRows(
            run_id=manifest.run_id,
            rows=lambda: restored(folder, manifest, spec.contract),
            began_at=datetime.fromisoformat(manifest.began_at),
            dropped=manifest.dropped,
            seed=manifest.seed,
            state=manifest.state,
        )
        remove(folder)


def _find(settings: Settings, run_id: str, spec: IngestionSpec) -> Path:
    run = find_staged_run(settings, run_id)
    attempts = {_asset(f): f for f in sorted(run.iterdir(), key=_number) if f.is_dir()}
    if spec.asset_name not in attempts:
        raise ReplayError(
            f"Run {run.name} kept no rows of {spec.table}.",
            got=repr(spec.asset_name),
            expected=f"one of {sorted(attempts)}",
            hint="Rows of a load that succeeded are in the table; nothing is kept of them.",
        )
    folders = [f for f in run.iterdir() if _asset(f) == spec.asset_name]
    complete = [f for f in folders if (f / MANIFEST).exists()]
    return max(complete or folders, key=_number)


def _asset(folder: Path) -> str:
    return folder.name.rpartition("-")[0]


def _number(folder: Path) -> int:
    number = folder.name.rpartition("-")[2]
    return int(number) if number.isdigit() else -1


def _read(folder: Path) -> Manifest:
    path = folder / MANIFEST
    if not path.exists():
        raise ReplayError(
            f"Run {folder.parent.name} failed before it had all rows of its source.",
            hint="Run it without --from-staged, so that the source is asked again.",
        )
    return Manifest(**json.loads(path.read_text()))


def _refuse_other_partition(
    manifest: Manifest, spec: IngestionSpec, partition: Partition | None
) -> None:
    key = partition.key if partition else None
    if manifest.partition != key:
        raise ReplayError(
            f"Run {manifest.run_id} extracted another partition of {spec.table}.",
            got=repr(key),
            expected=repr(manifest.partition),
            hint=f"Give --partition {manifest.partition}." if manifest.partition else None,
        )


def _refuse_lost_columns(manifest: Manifest, contract: Contract) -> None:
    """Raise ReplayError for columns that were delivered while the schema did not have them."""
    new = [c for c in contract.column_names if c not in manifest.columns]
    lost = [c for n, count in manifest.dropped.items() if count and (c := resolve_name(n, new))]
    if lost:
        raise ReplayError(
            f"The source delivered {', '.join(map(repr, lost))}, but {contract.name} did not have "
            f"it when run {manifest.run_id} extracted the rows, so it was dropped.",
            hint="Run it without --from-staged, so that the source is asked again.",
            columns=tuple(lost),
        )


def restored(folder: Path, manifest: Manifest, contract: Contract) -> Iterator[Any]:
    """Yield the rows of a staging folder as the source delivered them, in their order.

    Raises:
        ReplayError: A column has another type since, from which the old one does not lead there.
    """
    files = [pq.ParquetFile(folder / name) for name in manifest.files]
    for file in sorted(files, key=_first_batch):
        for batch in file.iter_batches(BATCH_ROWS):
            rows = pa.Table.from_batches([batch])
            table = _delivered(rows, manifest)
            _refuse_lossy_types(table, contract)
            originals = rows.column(ORIGINAL)
            is_whole = originals.null_count == len(rows)
            yield (
                table
                if is_whole
                else _with_originals(table, originals.to_pylist(), manifest, contract)
            )


def _first_batch(file: pq.ParquetFile) -> int:
    first = next(file.iter_batches(1, columns=[BATCH_NUMBER]), None)
    return first.column(0)[0].as_py() if first is not None and len(first) else 0


def _delivered(rows: pa.Table, manifest: Manifest) -> pa.Table:
    positions = {name: i for i, name in enumerate(manifest.columns)}
    return pa.table({n: rows.column(staged_name(positions[n])) for n in manifest.delivered})


def _refuse_lossy_types(rows: pa.Table, contract: Contract) -> None:
    for name in rows.column_names:
        column, kept = contract.column(name), rows.schema.field(name).type
        is_empty = rows.column(name).null_count == len(rows)
        if column is not None and not is_empty and not _can_recast(kept, column.type):
            raise ReplayError(
                f"{contract.name}.{name} is a {column.type} now, but the rows were kept with it "
                f"as {kept}; how the source wrote it is not known any more.",
                hint="Run it without --from-staged, so that the source is asked again.",
                column=name,
            )


def _can_recast(stored_type: pa.DataType, wanted_type: pa.DataType) -> bool:
    """Return whether a value of one type can be cast to another without asking the source again.

    Numbers can among themselves. Text that was stored as something else is lost: ``02134`` stored
    as a number is 2134.
    """
    is_number = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    numbers = [any(is_kind(t) for is_kind in is_number) for t in (stored_type, wanted_type)]
    return stored_type == wanted_type or all(numbers) or pa.types.is_string(stored_type)


def _with_originals(
    table: pa.Table, originals: Sequence[str | None], manifest: Manifest, contract: Contract
) -> list[dict[str, Any]]:
    rows = table.to_pylist()
    return [
        row | _by_column(json.loads(text, parse_float=Decimal), manifest.columns, contract)
        if text
        else row
        for row, text in zip(rows, originals, strict=True)
    ]


def _by_column(
    values: Mapping[str, Any], columns: Sequence[str], contract: Contract
) -> dict[str, Any]:
    """Name values by the contract's column, where the source's name means one."""
    named = {resolve_name(name, columns) or name: value for name, value in values.items()}
    return {name: as_refused(value, contract, name) for name, value in named.items()}


def as_refused(value: Any, contract: Contract, name: str) -> Any:
    """Return a value that failed to cast, read from JSON; it is cast again only where it fits now.

    Real text always fits a column of text; what stands there as text was bytes or the like.
    """
    column = contract.column(name)
    is_text = isinstance(value, str) and column is not None and pa.types.is_string(column.type)
    return UncastableText(value) if is_text else value
