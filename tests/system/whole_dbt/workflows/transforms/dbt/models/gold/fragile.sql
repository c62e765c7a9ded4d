select id, case when amount > 100 then error('too dear') else amount end as amount from {{ ref('stg_orders') }}
