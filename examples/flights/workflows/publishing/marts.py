"""Marts for readers of reports, swapped into PostgreSQL whole."""

from dagster import AssetExecutionContext, ResourceParam, asset
from phlo.protocols import QueryEngine
from phlo.publishing import PostgresResource, publish_marts_to_postgres


@asset(
    deps=["marts__mrt_daily_carrier_punctuality", "marts__mrt_daily_airport_punctuality"],
    group_name="publishing",
)
def publish_punctuality(
    context: AssetExecutionContext,
    trino: ResourceParam[QueryEngine],
    postgres: PostgresResource,
):
    """Daily punctuality by carrier and by airport."""
    return publish_marts_to_postgres(
        context=context,
        trino=trino,
        postgres=postgres,
        tables_to_publish={
            "daily_carrier_punctuality": "marts.mrt_daily_carrier_punctuality",
            "daily_airport_punctuality": "marts.mrt_daily_airport_punctuality",
        },
        data_source="nyc",
    )
