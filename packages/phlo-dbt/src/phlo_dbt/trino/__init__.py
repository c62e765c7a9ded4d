"""dbt on a cluster: dbt-trino in a work catalog of the lake."""
