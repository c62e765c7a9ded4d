select
    orders.order_id,
    orders.ordered_at,
    cast(orders.ordered_at as date) as order_date,
    orders.status,
    orders.amount,
    customers.name as customer_name,
    customers.country
from {{ source('shop', 'orders') }} as orders
left join {{ source('shop', 'customers') }} as customers
    on orders.customer_id = customers.customer_id
