select
    id,
    customer_id,
    cast(amount as decimal(10, 2)) as amount,
    status,
    ordered_at,
    updated_at
from {{ ref('orders') }}
