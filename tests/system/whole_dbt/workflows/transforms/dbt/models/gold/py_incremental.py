def model(dbt, session):
    dbt.config(materialized="incremental", unique_key="id", incremental_strategy="delete+insert")
    return dbt.ref("stg_orders").project("id, status")
