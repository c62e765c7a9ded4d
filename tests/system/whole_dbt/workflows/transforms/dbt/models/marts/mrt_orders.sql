select o.id, c.name, p.paid, e.name as event
from {{ ref('stg_orders') }} as o
left join {{ ref('dim_customers') }} as c on c.id = o.customer_id
left join {{ ref('stg_payments') }} as p on p.order_id = o.id
left join {{ ref('stg_events') }} as e on e.id = o.id
