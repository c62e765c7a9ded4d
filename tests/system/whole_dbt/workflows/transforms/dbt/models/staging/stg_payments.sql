{{ config(materialized='table') }}
select id, order_id, method, cents / 100.0 as paid, paid_at from {{ source('bronze', 'payments') }}
