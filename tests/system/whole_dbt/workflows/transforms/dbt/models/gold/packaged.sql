select id, {{ units.to_cents('amount') }} as cents, c.factor from {{ ref('stg_orders') }}
cross join {{ ref('units', 'conversions') }} as c
