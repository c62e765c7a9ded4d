{{ config(materialized='incremental', unique_key='id', incremental_strategy='merge', merge_update_columns=['status']) }}
select id, customer_id, amount, status, ordered_at from {{ ref('stg_orders') }}
