{{ config(materialized='incremental', incremental_strategy='insert_overwrite', partition_by='customer_id') }}
select id, customer_id, amount, status, ordered_at from {{ ref('stg_orders') }}
