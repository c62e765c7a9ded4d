{{ config(materialized='incremental', unique_key='id', incremental_strategy='merge', incremental_predicates=['DBT_INTERNAL_DEST.amount < 7']) }}
select id, customer_id, amount, status, ordered_at from {{ ref('stg_orders') }}
