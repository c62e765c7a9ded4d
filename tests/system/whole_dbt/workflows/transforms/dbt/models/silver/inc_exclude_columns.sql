{{ config(materialized='incremental', unique_key='id', incremental_strategy='merge', merge_exclude_columns=['status']) }}
select id, customer_id, amount, status, ordered_at from {{ ref('stg_orders') }}
