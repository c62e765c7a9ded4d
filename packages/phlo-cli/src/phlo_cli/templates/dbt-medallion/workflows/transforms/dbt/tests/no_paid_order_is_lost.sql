{{ config(meta={"dagster": {"ref": {"name": "daily_revenue"}}}) }}
-- A test of dbt: the rows it returns are what is wrong.
select gold.revenue, silver.revenue as expected
from (select sum(revenue) as revenue from {{ ref('daily_revenue') }}) as gold
cross join (
    select sum(amount) as revenue from {{ ref('fct_orders') }} where status = 'paid'
) as silver
where gold.revenue <> silver.revenue
