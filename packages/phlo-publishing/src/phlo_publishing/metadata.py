"""Tell Dagster what a publish did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dagster import MetadataValue, TableRecord
from phlo.words import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagster import AssetExecutionContext

    from phlo_publishing.marts import PublishedMart


def report(context: AssetExecutionContext, results: Mapping[str, PublishedMart]) -> None:
    """Log each table, and add the numbers to the output's metadata.

    In a multi-asset an output gets the numbers of the table that has its name.
    """
    for result in results.values():
        context.log.info(_line(result))
    outputs = _outputs(context)
    if len(outputs) == 1:
        (output,) = outputs
        context.add_output_metadata(_summary(results), output_name=output)
        return
    for output in outputs & results.keys():
        context.add_output_metadata(_summary({output: results[output]}), output_name=output)


def _outputs(context: AssetExecutionContext) -> set[str]:
    """Return the names of the outputs of the running step."""
    return {output.name for output in context.op_execution_context.op_def.output_defs}


def _summary(results: Mapping[str, PublishedMart]) -> dict[str, Any]:
    published = [result for result in results.values() if not result.is_skipped]
    return {
        "published": MetadataValue.table([_record(result) for result in results.values()]),
        "dagster/row_count": sum(result.row_count for result in results.values()),
        "tables_published": len(published),
        "tables_skipped": len(results) - len(published),
        "bytes": sum(result.bytes for result in results.values()),
    }


def _line(result: PublishedMart) -> str:
    if result.is_skipped:
        return f"{result.source} is published already as {result.target}: nothing to do."
    return (
        f"{result.source} is published as {result.target} ({result.mode}): "
        f"{counted(result.row_count, 'row')}, {result.changed_rows:,} of them written, "
        f"{counted(result.column_count, 'column')}, {result.seconds:.1f} s."
    )


def _record(result: PublishedMart) -> TableRecord:
    return TableRecord(
        {
            "table": result.target,
            "source": result.source,
            "rows": result.row_count,
            "columns": result.column_count,
            "bytes": result.bytes,
            "mode": result.mode,
            "changed rows": result.changed_rows,
            "seconds": round(result.seconds, 3),
            "rows per second": round(result.rows_per_second),
            "snapshot": str(result.snapshot_id or ""),
            "skipped": result.is_skipped,
        }
    )
