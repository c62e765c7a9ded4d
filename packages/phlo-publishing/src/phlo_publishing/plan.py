"""What a publish would do, found without changing anything."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from phlo.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

Action = Literal["skip", "merge", "replace", "create", "refuse"]


@dataclass(frozen=True)
class MartPlan:
    """What a publish would do to one table.

    Attributes:
        source: The mart, ``namespace.table``.
        target: The published table, with its schema.
        action: ``refuse`` where the publish would raise; else what it would do.
        rows_before: Rows of the published table; ``None``: there is none.
        rows_after: Rows of the mart.
        changed_rows: Rows that a merge would have to look at, at most; ``None`` otherwise.
        columns: Columns that come, go or change, each as a line of text.
        locks: Locks that the publish takes, and when.
        carried: What is carried over from the old table, and what is pointed at the new one.
        refused: Why the publish would raise.
        published_snapshot_id: The mart's snapshot that the table holds; ``None``: not known.
    """

    source: str
    target: str
    action: Action
    rows_before: int | None
    rows_after: int
    changed_rows: int | None
    columns: tuple[str, ...]
    locks: tuple[str, ...]
    carried: tuple[str, ...]
    refused: tuple[str, ...]
    published_snapshot_id: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the plan for JSON."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """Write the plan as text."""
        before = "no table" if self.rows_before is None else counted(self.rows_before, "row")
        after = counted(self.rows_after, "row")
        yield f"{self.action} {self.target} from {self.source}: {before} -> {after}"
        if self.changed_rows is not None:
            yield f"  rows to look at: at most {self.changed_rows}"
        for title in ("columns", "locks", "carried", "refused"):
            for line in getattr(self, title):
                yield f"  {title}: {line}"
