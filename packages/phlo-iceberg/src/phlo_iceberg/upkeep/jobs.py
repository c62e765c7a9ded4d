"""The daily maintenance as a Dagster job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster import (
    DefaultScheduleStatus,
    Definitions,
    ScheduleDefinition,
    job,
    op,
)
from phlo.config import get_settings
from phlo.lake import open_lake
from phlo.orchestration.history import purge_history

if TYPE_CHECKING:
    from phlo.config import Settings

    from phlo_iceberg.settings import IcebergSettings


@op(name="phlo_maintain_tables")
def maintain_tables(context) -> None:  # noqa: ANN001 - Dagster refuses annotations that are text
    """Maintain every table, then the history of runs.

    A table that fails does not keep the others from it.
    """
    log, failed = context.log, []
    store = open_lake().store
    for table in store.list_tables():
        try:
            report = store.maintain(table)
        except Exception:
            log.exception("Maintenance of %s failed.", table)
            failed.append(str(table))
            continue
        if report.has_work:
            log.info(
                "%s: %d snapshots expired, %d files joined, %d files removed.",
                table,
                len(report.expired_snapshots),
                len(report.compacted_files),
                len(report.removed_files),
            )
    purged = purge_history(get_settings(), context.instance)
    if purged.runs or purged.logs:
        log.info("Removed %d old runs and %d logs of others.", purged.runs, purged.logs)
    if failed:
        raise RuntimeError(f"Maintenance failed for {', '.join(failed)}; see the log above.")


@job(name="phlo_maintenance", description="Compacts tables and drops old states, every day.")
def maintenance() -> None:
    """Maintain all tables in one step."""
    maintain_tables()


def build_maintenance(settings: Settings, iceberg: IcebergSettings) -> Definitions:
    """Build the job, and its schedule unless the setting is empty."""
    if not iceberg.maintenance_cron:
        return Definitions(jobs=[maintenance])
    schedule = ScheduleDefinition(
        name="phlo_maintenance_daily",
        job=maintenance,
        cron_schedule=iceberg.maintenance_cron,
        execution_timezone=settings.timezone,
        default_status=DefaultScheduleStatus.RUNNING,
    )
    return Definitions(jobs=[maintenance], schedules=[schedule])
