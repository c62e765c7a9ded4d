select 2 as version, id, amount * {{ var('multiplier') }} as amount from {{ ref('stg_orders') }}
