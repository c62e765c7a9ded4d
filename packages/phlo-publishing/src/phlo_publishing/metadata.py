"""What a publish tells Dagster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster import MetadataValue, TableRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagster import AssetExecutionContext

    from phlo_publishing.records import PublishedMart


def report(context: AssetExecutionContext, results: Mapping[str, PublishedMart]) -> None:
    """Log each table, and add the numbers to the output's metadata."""
    for result in results.values():
        context.log.info(_line(result))
    published = [result for result in results.values() if not result.is_skipped]
    context.add_output_metadata(
        {
            "published": MetadataValue.table([_record(result) for result in results.values()]),
            "dagster/row_count": sum(result.row_count for result in results.values()),
            "tables_published": len(published),
            "tables_skipped": len(results) - len(published),
            "bytes": sum(result.bytes for result in results.values()),
        }
    )


def _line(result: PublishedMart) -> str:
    if result.is_skipped:
        return f"{result.source} is published already as {result.target}: nothing to do."
    return (
        f"{result.source} is published as {result.target}: {result.row_count} rows, "
        f"{result.column_count} columns, {result.seconds:.1f} s."
    )


def _record(result: PublishedMart) -> TableRecord:
    return TableRecord(
        {
            "table": result.target,
            "source": result.source,
            "rows": result.row_count,
            "columns": result.column_count,
            "bytes": result.bytes,
            "seconds": round(result.seconds, 3),
            "snapshot": str(result.snapshot_id or ""),
            "skipped": result.is_skipped,
        }
    )
