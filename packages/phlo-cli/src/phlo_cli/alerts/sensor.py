"""Look for alerts from Dagster's daemon, so that stale tables are seen where nothing runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster import DefaultSensorStatus, SensorDefinition, SensorEvaluationContext, SkipReason

from phlo_cli.alerts.send import check_alerts
from phlo_cli.liveness import end_abandoned_runs
from phlo_cli.project_index import load_index

if TYPE_CHECKING:
    from phlo.config import Settings

INTERVAL_SECONDS = 60


def build_sensor(settings: Settings) -> SensorDefinition:
    """Build the sensor; it starts no run, and judges tables by the index that was saved last."""

    def evaluate(context: SensorEvaluationContext) -> SkipReason:
        end_abandoned_runs(settings, context.instance)
        sent = check_alerts(settings, load_index(settings), context.instance)
        return SkipReason(f"Sent {sent or 0} alerts.")

    return SensorDefinition(
        name="phlo_alerts",
        evaluation_fn=evaluate,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
        description="Tells people of failed runs, stale tables and growing quarantines.",
    )
