{{ config(materialized='table', alias='customer dimension') }}
select *, {{ dbt_utils_like_key(['id', 'code']) }} as customer_key from {{ ref('eph_customers') }}
