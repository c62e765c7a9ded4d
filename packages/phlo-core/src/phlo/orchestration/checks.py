"""Suites as Dagster sees them: check specs, and results with metadata."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    MetadataValue,
)
from phlo.checks import CheckStatus, Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phlo.checks import CheckResult
    from phlo.protocols import CheckSuite


def check_specs(suite: CheckSuite, asset_key: Sequence[str]) -> list[AssetCheckSpec]:
    """Build one Dagster check spec per check of a suite, on the asset that makes its table."""
    return [
        AssetCheckSpec(
            name=check.name,
            asset=AssetKey(list(asset_key)),
            description=check.description,
            blocking=suite.blocking and check.severity is Severity.ERROR,
            metadata={"phlo/suite": suite.name, "phlo/defined_at": suite.defined_at},
        )
        for check in suite.checks
    ]


def to_asset_check_result(result: CheckResult, asset_key: Sequence[str]) -> AssetCheckResult:
    """Convert a result to Dagster's; one that proved nothing is not passed."""
    severe = result.severity is Severity.ERROR and result.status is not CheckStatus.SKIPPED
    return AssetCheckResult(
        passed=result.passed,
        asset_key=AssetKey(list(asset_key)),
        check_name=result.check,
        severity=AssetCheckSeverity.ERROR if severe else AssetCheckSeverity.WARN,
        description=result.message,
        metadata=result_metadata(result),
    )


def result_metadata(result: CheckResult) -> dict[str, Any]:
    """Build a result's metadata: the guide's keys, a table of metrics, sample rows, the SQL."""
    entries: dict[str, Any] = {
        "passed": result.passed,
        "status": result.status.value,
        "check_name": result.kind or result.check,
        "table": str(result.table),
        "columns": list(result.columns),
        "row_count": result.row_count,
        "failed_count": result.failed_count,
        "scope": result.scope,
        "execution_time_seconds": round(result.seconds, 4),
        **result.metrics,
    }
    metadata: dict[str, Any] = {k: _plain(v) for k, v in entries.items() if v is not None}
    metadata["metrics"] = MetadataValue.md(_markdown(entries))
    if result.sample:
        metadata["sample"] = MetadataValue.md(_markdown_rows(result.sample))
    if result.sql:
        metadata["sql"] = MetadataValue.md(f"```sql\n{result.sql}\n```")
    return metadata


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int | float | str):
        return value
    return MetadataValue.json(json.loads(json.dumps(value, default=str)))


def _markdown(entries: dict[str, Any]) -> str:
    rows = [f"| {name} | {_cell(value)} |" for name, value in entries.items() if value is not None]
    return "\n".join(["| metric | value |", "| --- | --- |", *rows])


def _markdown_rows(rows: Sequence[dict[str, Any]]) -> str:
    names = list(rows[0])
    lines = ["| " + " | ".join(_cell(row.get(n)) for n in names) + " |" for row in rows]
    head = ["| " + " | ".join(map(_cell, names)) + " |", "|" + " --- |" * len(names)]
    return "\n".join([*head, *lines])


def _cell(value: Any) -> str:
    text = str(value).replace("|", "\\|").replace("\n", " ")
    return text if len(text) <= 80 else text[:77] + "..."
