{{ config(materialized='incremental', unique_key='id') }}
select id, customer_id, amount, status, ordered_at from {{ ref('stg_orders') }}
