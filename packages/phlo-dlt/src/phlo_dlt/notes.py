"""What a user should know of an extraction, in sentences for the run's log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from phlo_dlt.cursor import CursorReport
    from phlo_dlt.extract import Extraction


def extraction_warnings(extraction: Extraction, *, is_past: bool) -> Iterator[str]:
    """Yield what may mean that rows are missing.

    Args:
        extraction: What was extracted.
        is_past: Whether the partition loaded has ended, as in a backfill.
    """
    if extraction.nothing_found is not None:
        yield f"{extraction.nothing_found} Nothing was loaded."
    if extraction.routed_elsewhere:
        yield (
            "Rows that the resource routes to other tables were left out: "
            f"{_counts(extraction.routed_elsewhere)}. Load each table by an ingestion function of "
            "its own."
        )
    cursor = extraction.cursor
    if cursor is not None and cursor.closed_on_nulls:
        yield (
            f"dlt closed the source at a batch in which the cursor {cursor.field!r} is null in "
            "every row, so that rows behind it are missing. Leave row_order out of "
            "dlt.sources.incremental, or leave such batches out."
        )
    if cursor is not None and extraction.state and is_past and not extraction.row_count:
        yield (
            f"{_passed_over(cursor)} It is shared by all partitions and does not go back for an "
            "older one."
        )


def extraction_notes(extraction: Extraction) -> Iterator[str]:
    """Yield what is as it should be, and yet worth a line."""
    if extraction.ignored_hints:
        yield (
            f"Hints of the dlt resource are ignored ({', '.join(extraction.ignored_hints)}): "
            "merge_strategy and unique_key of @phlo_ingestion decide."
        )
    cursor = extraction.cursor
    if cursor is not None and cursor.passed_over and extraction.row_count:
        yield _passed_over(cursor)
    if cursor is not None and cursor.closed_early and not cursor.closed_on_nulls:
        yield (
            f"dlt closed the source at the first batch outside the range of its cursor "
            f"{cursor.field!r}, as its row_order says."
        )


def _passed_over(cursor: CursorReport) -> str:
    return (
        f"The cursor {cursor.field!r} passed over {cursor.passed_over:,} of the "
        f"{cursor.delivered:,} rows or files that the source delivered."
    )


def _counts(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{name!r} ({count:,})" for name, count in sorted(rows.items()))
