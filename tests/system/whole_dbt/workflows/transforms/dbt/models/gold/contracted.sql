select cast(id as integer) as id, status, amount from {{ ref('stg_orders') }}
