{{ config(severity='warn', store_failures=true, store_failures_as='view') }}
select * from {{ ref('stg_orders') }} where status = 'open'
