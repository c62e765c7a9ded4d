"""Extract what an ingestion function returns, by dlt, into Parquet files on local disk.

Each attempt runs dlt in a private folder, seeded with the state that was published last, so that
dlt's cursors move only with a published load.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from inspect import isgenerator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import dlt
import pyarrow as pa
from dlt.common.json import json
from dlt.extract import DltResource, DltSource
from dlt.extract.items import TableNameMeta
from dlt.extract.items_transform import ItemTransform, LimitItem
from dlt.extract.pipe import Pipe
from dlt.pipeline.exceptions import PipelineStepFailed
from dlt.pipeline.trace import TRACE_FILE_NAME
from phlo.errors import ConfigurationError, is_exit_or_panic
from phlo.redaction import remember_secrets

from phlo_dlt.addresses import explain_nothing
from phlo_dlt.cursor import CountStep, CursorReport, CursorWatch
from phlo_dlt.dlt_private import (
    configured_secrets,
    keep_exact_objects,
    resource_pipe,
    watch_absent_selectors,
)
from phlo_dlt.routing import RouteStep
from phlo_dlt.rows.batches import are_dicts, batches_of
from phlo_dlt.rows.conformer import DICT_ROWS, Conformer
from phlo_dlt.source_errors import raise_source_error
from phlo_dlt.sqlalchemy_private import exact_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from phlo.contract import Contract

    from phlo_dlt.rows.layout import Origin

logger = logging.getLogger(__name__)

_WRITTEN_ROWS = 50_000  # a group of rows in the extracted files

os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")


@dataclass(frozen=True, slots=True)
class Extraction:
    """Rows of one extraction, and what dlt tells of them.

    Attributes:
        files: Parquet files, in no order; rows carry the number of their batch (see
            :mod:`phlo_dlt.rows.conformer`).
        row_count: Rows in them.
        fields: The source field of each column of the contract that the source delivered.
        dropped: Values dropped, by source column that the contract does not have.
        load_id: dlt's id of this load.
        state: dlt's state after it, as text; ``None`` where the source keeps none.
        ignored_hints: Hints of the dlt resource that phlo's own arguments overrule.
        cursor: What the resource's cursor did; ``None`` where it follows none.
        routed_elsewhere: Rows that the resource routes to other tables, by table; left out.
        nothing_found: Why no row was delivered, with the address; ``None`` where the source has
            rows, or looked in the right place and has none.
        origins: Files that rows came from, by the number of their batch.
    """

    files: tuple[Path, ...]
    row_count: int
    fields: Mapping[str, str]
    dropped: dict[str, int]
    load_id: str
    state: str | None
    ignored_hints: tuple[str, ...]
    cursor: CursorReport | None = None
    routed_elsewhere: Mapping[str, int] = field(default_factory=dict)
    nothing_found: str | None = None
    origins: Mapping[int, Origin] = field(default_factory=dict)

    @property
    def delivered(self) -> frozenset[str]:
        """Columns of the contract that the source delivered."""
        return frozenset(self.fields)


def extract(
    returned: Any,
    *,
    name: str,
    contract: Contract,
    folder: Path,
    state: str | None = None,
) -> Extraction:
    """Extract all rows of a source into Parquet files.

    Args:
        returned: A dlt source, resource or resource function, an iterator or list of dicts, a
            frame, or Arrow data.
        name: The table's name; of several resources the one called so is loaded.
        contract: What the rows are conformed to.
        folder: Where the files go; private to this attempt.
        state: dlt's state as last published.

    Raises:
        ConfigurationError: What was returned is no source, or it is not clear which resource.
        SourceError: The source failed, and may not fail again.
        BrokenSourceError: The source failed, and would fail again.
    """
    source, resource = as_resource(returned, name)
    conformer = Conformer(contract)
    ignored = _ignored_hints(resource)
    watch, listed, route = CursorWatch(resource), _count_listed(resource), _route(resource, name)
    _prepare(resource, name, conformer)
    pipeline = dlt.pipeline(pipeline_name=f"phlo_{name}", pipelines_dir=str(folder / "dlt"))
    dlt.config[f"{pipeline.pipeline_name}.data_writer.buffer_max_items"] = _WRITTEN_ROWS
    _seed(pipeline, state)
    keep_exact_objects()
    with watch_absent_selectors() as absent, exact_json():
        load_id, locations = _run(pipeline, source if source is not None else resource, name)
    files = tuple(sorted((folder / "dlt").glob("*/normalize/extracted/*/*/*.parquet")))
    logger.info("Extracted %d rows into %d files.", conformer.extracted, len(files))
    elsewhere = dict(route.elsewhere) if route else {}
    return Extraction(
        files=files,
        row_count=conformer.extracted,
        fields=conformer.fields,
        dropped=dict(conformer.dropped),
        origins=conformer.origins,
        load_id=load_id,
        state=_state(pipeline),
        ignored_hints=ignored,
        cursor=watch.report(),
        routed_elsewhere=elsewhere,
        nothing_found=None
        if conformer.extracted
        else explain_nothing(locations, listed.row_count, absent, elsewhere),
    )


def _count_listed(resource: DltResource) -> CountStep:
    """Count what the head of the pipe yields; for ``filesystem`` these are listed files."""
    head, step = resource_pipe(resource), CountStep()
    while isinstance(head.parent, Pipe):
        head = head.parent
    head.insert_step(step, 1)
    return step


def _route(resource: DltResource, name: str) -> RouteStep | None:
    """Add a step that lets rows of this table pass, where the resource names tables by row."""
    table_of = resource.table_name
    if not callable(table_of):
        return None
    step = RouteStep(name, table_of)
    resource_pipe(resource).append_step(step)
    return step


def as_resource(returned: Any, name: str) -> tuple[DltSource | None, DltResource]:
    """Return the resource to load, with the source it belongs to, if any."""
    if callable(returned) and not isinstance(returned, DltResource | DltSource):
        returned = returned()  # an undecorated resource function
    if isinstance(returned, DltSource):
        chosen = _choose(returned, name)
        source = returned.with_resources(chosen)
        return source, source.resources[chosen]
    if isinstance(returned, DltResource):
        return None, returned
    return None, dlt.resource(_iterable(returned), name=name)


def _choose(source: DltSource, name: str) -> str:
    names = list(source.resources)
    selected = list(source.selected_resources) or names
    for candidates in (names, selected):
        if name in candidates:
            return name
        if len(candidates) == 1:
            return candidates[0]
    raise ConfigurationError(
        f"The source {source.name!r} has several resources, and none is called {name!r}.",
        got=str(sorted(names)),
        expected=f"one called {name!r}, or just one",
        hint=f"Return source.with_resources(...) with the one to load, or rename it to {name!r}.",
        resources=names,
    )


def _iterable(returned: Any) -> Any:
    """Return what dlt can iterate; a lone frame or table becomes one item."""
    is_one = isinstance(returned, dict | pa.Table | pa.RecordBatch | pa.RecordBatchReader)
    if is_one or hasattr(returned, "columns"):
        return [returned]
    if isinstance(returned, str | bytes) or not isinstance(returned, Iterable | AsyncIterator):
        raise ConfigurationError(
            f"The ingestion function returned a {type(returned).__name__}.",
            got=repr(returned)[:80],
            expected="a dlt source or resource, dicts, a frame, Arrow data or None",
            hint="Return the rows, or yield them.",
        )
    # dlt looks for the module of a generator in all files of all modules, for a tenth of a second.
    return chain(returned) if isgenerator(returned) else returned


class _ConformStep(ItemTransform):
    """Conforms the rows, as the last step of the pipe, after dlt's incremental and limits."""

    placement_affinity: ClassVar[float] = 1.5

    def __init__(self, table: str, conformer: Conformer) -> None:
        super().__init__(lambda item: item)
        self._table, self._conformer = table, conformer

    def __call__(self, item: Any, meta: Any = None) -> Iterator[pa.Table]:
        if isinstance(meta, TableNameMeta) and meta.table_name != self._table:
            raise ConfigurationError(
                f"The resource of {self._table!r} marks rows for the table {meta.table_name!r}.",
                hint="Load each table by an ingestion function of its own.",
            )
        yield from batches_of(item, self._conformer)


def _prepare(resource: DltResource, name: str, conformer: Conformer) -> None:
    """Make the resource yield conformed Arrow tables, under the hints that phlo sets."""
    pipe = resource_pipe(resource)
    if pipe.find(LimitItem) < 0 and not resource.is_transformer:
        pipe.replace_gen(_batched(pipe.gen))
    resource.apply_hints(
        table_name=name,
        parent_table_name="",
        write_disposition="append",
        columns={},
        schema_contract="evolve",
        file_format="parquet",
    )
    pipe.append_step(_ConformStep(name, conformer))


def _ignored_hints(resource: DltResource) -> tuple[str, ...]:
    """List the hints of the resource that phlo's arguments overrule."""
    hints = resource.compute_table_schema() if not resource.has_dynamic_table_name else {}
    keys = [n for n, c in hints.get("columns", {}).items() if c.get("primary_key")]
    overruled = {"primary_key": keys, "write_disposition": hints.get("write_disposition")}
    return tuple(f"{n}={v!r}" for n, v in overruled.items() if v and v != "append")


def _batched(head: Any) -> Any:
    """Wrap the head of a pipe so that single dicts are gathered into lists."""
    if callable(head):

        def gathered() -> Any:
            return _batched_items(head())

        return gathered
    return _batched_items(head)


def _batched_items(items: Any) -> Any:
    if not isinstance(items, Iterable) or isinstance(items, dict | DltResource):
        return items
    return _gather(items)


def _gather(items: Iterable[Any]) -> Iterator[Any]:
    pending: list[dict[str, Any]] = []
    for item in items:
        rows = _dicts(item)
        if rows is None:
            if pending:
                yield pending
                pending = []
            yield item
            continue
        pending.extend(rows)
        if len(pending) >= DICT_ROWS:
            yield pending
            pending = []
    if pending:
        yield pending


def _dicts(item: Any) -> list[dict[str, Any]] | None:
    if type(item) is dict:
        return [item]
    return item if type(item) is list and are_dicts(item) else None


def _seed(pipeline: dlt.Pipeline, state: str | None) -> None:
    if state is not None:
        with pipeline.managed_state() as current:
            current["sources"] = json.typed_loads(state)


def _state(pipeline: dlt.Pipeline) -> str | None:
    sources = pipeline.state.get("sources")
    return json.typed_dumps(sources) if sources else None


@contextmanager
def _remembering_secrets(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Remember what dlt fetches from vaults in a block; remove the trace of its raw errors."""
    try:
        yield
    finally:
        remember_secrets(configured_secrets())
        Path(pipeline.working_dir, TRACE_FILE_NAME).unlink(missing_ok=True)


def _run(
    pipeline: dlt.Pipeline, data: DltSource | DltResource, name: str
) -> tuple[str, Sequence[Mapping[str, Any]]]:
    """Extract; returns dlt's load id, and the places that the source reads from."""
    try:
        with _remembering_secrets(pipeline):
            info = pipeline.extract(data)
    except BaseException as exc:
        if not isinstance(exc, PipelineStepFailed) and not is_exit_or_panic(exc):
            raise
        raise_source_error(exc, name)
    locations = [place for steps in info.metrics.values() for s in steps for place in s["inputs"]]
    return (str(info.loads_ids[0]) if info.loads_ids else ""), locations
