select
    order_date as day,
    count(*) as orders,
    sum(case when status = 'paid' then amount else 0 end) as revenue
from {{ ref('fct_orders') }}
where status <> 'cancelled'
group by order_date
