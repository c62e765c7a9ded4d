"""Look for alerts from Dagster's daemon, so that stale tables are seen where nothing runs."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from dagster import DefaultSensorStatus, SensorDefinition, SensorEvaluationContext, SkipReason

from phlo_cli.alerts.send import check_alerts
from phlo_cli.liveness import end_abandoned_runs
from phlo_cli.project_index import index_of

if TYPE_CHECKING:
    from dagster import RepositoryDefinition
    from phlo.project import Project

    from phlo_cli.project_index import ProjectIndex

INTERVAL_SECONDS = 60


def build_sensor(project: Project) -> SensorDefinition:
    """Build the sensor; it starts no run."""

    @cache
    def read_index(repository: RepositoryDefinition) -> ProjectIndex:
        return index_of(project, repository)

    def evaluate(context: SensorEvaluationContext) -> SkipReason:
        end_abandoned_runs(project.settings, context.instance)
        repository = context.repository_def
        index = read_index(repository) if repository else None
        sent = check_alerts(project.settings, index, context.instance)
        return SkipReason(f"Sent {sent or 0} alerts.")

    return SensorDefinition(
        name="phlo_alerts",
        evaluation_fn=evaluate,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
        description="Tells people of failed runs, stale tables and growing quarantines.",
    )
