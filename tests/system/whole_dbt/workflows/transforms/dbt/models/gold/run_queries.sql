{% set statuses = distinct_values(ref('stg_orders'), 'status') %}
select
    customer_id,
    {% for status in statuses %}
    sum(amount) filter (where status = '{{ status }}') as {{ status }},
    {% endfor %}
    {{ count_models_in_graph() }} as models
from {{ ref('stg_orders') }}
group by all
