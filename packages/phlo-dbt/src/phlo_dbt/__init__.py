"""dbt models as Dagster assets whose tables land in the Iceberg catalog of phlo."""
