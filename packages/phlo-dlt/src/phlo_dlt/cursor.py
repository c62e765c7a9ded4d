"""What a dlt cursor lets through, and what it passes over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
from dlt.common.data_writers.writers import count_rows_in_items
from dlt.extract.incremental import IncrementalResourceWrapper
from dlt.extract.items_transform import ItemTransform

from phlo_dlt.dlt_private import resource_pipe

if TYPE_CHECKING:
    from dlt.extract import DltResource
    from dlt.extract.incremental import Incremental


@dataclass(frozen=True, slots=True)
class CursorReport:
    """What a cursor did with the rows of one extraction.

    Attributes:
        field: The field that the cursor follows.
        delivered: Rows, or listed files, that the source handed to it.
        passed_over: Those of them that it did not let through.
        closed_early: Whether it stopped the source, as dlt does with a declared ``row_order`` at
            the first batch out of range.
        closed_on_nulls: Whether that batch had no value in the field at all, so that it tells
            nothing of the range.
    """

    field: str
    delivered: int
    passed_over: int
    closed_early: bool
    closed_on_nulls: bool


class CountStep(ItemTransform):
    """Counts the rows, or listed files, that pass a point of a pipe.

    Attributes:
        row_count: Rows so far.
        last: The last item, of any kind.
    """

    def __init__(self) -> None:
        super().__init__(lambda item: item)
        self.row_count, self.last = 0, None

    def __call__(self, item: Any, meta: Any = None) -> Any:
        """Count one item, and hand it on."""
        if item is not None:
            self.row_count += count_rows_in_items(item)
            self.last = item
        return item


class _BeforeCursor(CountStep):
    placement_affinity: ClassVar[float] = 0.99


class _AfterCursor(CountStep):
    placement_affinity: ClassVar[float] = 1.05  # before dlt's limits


class CursorWatch:
    """Watches the cursor of a resource, if it has one, while the resource is extracted.

    Args:
        resource: Two steps are added to its pipe.
    """

    def __init__(self, resource: DltResource) -> None:
        self._resource = resource
        self._before, self._after = _BeforeCursor(), _AfterCursor()
        if resource.incremental is not None:
            resource_pipe(resource).append_step(self._before).append_step(self._after)

    def report(self) -> CursorReport | None:
        """Return what the cursor did; ``None`` where the resource follows none."""
        cursor = _cursor(self._resource.incremental)
        if cursor is None:
            return None
        field, closed = str(cursor.cursor_path), cursor.can_close()
        return CursorReport(
            field=field,
            delivered=self._before.row_count,
            passed_over=self._before.row_count - self._after.row_count,
            closed_early=closed,
            closed_on_nulls=closed and _has_only_nulls(self._before.last, field),
        )


def _cursor(step: Any) -> Incremental[Any] | None:
    return step.incremental if isinstance(step, IncrementalResourceWrapper) else step


def _has_only_nulls(batch: Any, field: str) -> bool:
    """Return whether an Arrow table or a frame has rows, and none has a value in the field."""
    if isinstance(batch, pa.Table | pa.RecordBatch):
        names = batch.schema.names
    else:
        names = getattr(batch, "columns", ())
    if field not in names or not len(batch):
        return False
    values = batch[field]
    if hasattr(values, "null_count"):  # Arrow's; polars' is a method
        return (values.null_count() if callable(values.null_count) else values.null_count) == len(
            values
        )
    return bool(values.isna().all())
