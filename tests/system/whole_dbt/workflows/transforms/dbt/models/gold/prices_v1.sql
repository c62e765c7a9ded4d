select 1 as version, id, amount from {{ ref('stg_orders') }}
