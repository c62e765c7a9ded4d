{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='ordered_at', begin='2025-01-01', batch_size='year', lookback=1000) }}
select id, customer_id, amount, status, ordered_at from {{ ref('stg_orders') }}
