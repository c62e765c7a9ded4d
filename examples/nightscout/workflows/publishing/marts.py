"""Marts for dashboards, swapped into PostgreSQL whole."""

from dagster import AssetExecutionContext, ResourceParam, asset
from phlo.protocols import QueryEngine
from phlo.publishing import PostgresResource, publish_marts_to_postgres


@asset(
    deps=["marts__mrt_glucose_readings", "marts__mrt_glucose_hourly_patterns"],
    group_name="publishing",
)
def publish_glucose_marts(
    context: AssetExecutionContext,
    trino: ResourceParam[QueryEngine],
    postgres: PostgresResource,
):
    """Readings and hourly patterns."""
    return publish_marts_to_postgres(
        context=context,
        trino=trino,
        postgres=postgres,
        tables_to_publish={
            "glucose_readings": "marts.mrt_glucose_readings",
            "glucose_hourly_patterns": "marts.mrt_glucose_hourly_patterns",
        },
        data_source="nightscout",
    )
