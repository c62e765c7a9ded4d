{{ config(group='finance', access='private') }}
select customer_id, sum(amount) as amount from {{ ref('stg_orders') }} group by all
