"""Gather a report from the index, the run history and the tables; no code of the project runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from phlo.errors import MissingProviderError
from phlo.lake import open_lake

from phlo_cli.lineage import read_lineage, sensitive_columns
from phlo_cli.report.marts import read_marts
from phlo_cli.report.runs import read_check_runs, read_runs
from phlo_cli.report.tables import describe_table
from phlo_cli.report.values import Report
from phlo_cli.status import asset_states

if TYPE_CHECKING:
    from dagster import DagsterInstance
    from phlo.config import Settings
    from phlo.lake import Lake

    from phlo_cli.project_index import ProjectIndex


def gather_report(
    settings: Settings, index: ProjectIndex, instance: DagsterInstance, warning: str = ""
) -> Report:
    """Read everything that the page shows.

    Args:
        settings: The project's.
        index: What it declares.
        instance: Its run history.
        warning: Why the index is not current; empty where it is.
    """
    lineage = read_lineage(index, instance)
    sensitive = sensitive_columns(lineage, index)
    lake = _lake()
    checks = read_check_runs(index, instance)
    states = asset_states(index, instance)
    return Report(
        project=settings.project_dir.name,
        branch=settings.branch,
        made_at=datetime.now(UTC),
        warning=warning,
        tables=[
            describe_table(asset, state, checks[asset.key], lake, instance, lineage, sensitive)
            for asset, state in zip(index.assets, states, strict=True)
        ],
        runs=read_runs(instance),
        marts=read_marts(index, instance, lake, sensitive) if lake else [],
        lineage=lineage,
        sensitive=sensitive,
    )


def _lake() -> Lake | None:
    try:
        return open_lake()
    except MissingProviderError:
        return None
