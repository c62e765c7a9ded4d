{{ config(materialized='incremental', unique_key='id', on_schema_change='fail') }}
select cast(id as integer) as id, status from {{ ref('stg_orders') }}
