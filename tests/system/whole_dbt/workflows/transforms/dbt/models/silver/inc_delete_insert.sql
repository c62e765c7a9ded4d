{{ config(materialized='incremental', unique_key=['customer_id', 'status'], incremental_strategy='delete+insert') }}
select id, customer_id, amount, status, ordered_at from {{ ref('stg_orders') }}
