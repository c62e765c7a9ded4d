{{ config(materialized='table') }}

select
    hour_of_day,
    count(*) as reading_count,
    count(distinct reading_date) as day_count,
    avg(glucose_mg_dl) as avg_glucose_mg_dl,
    min(glucose_mg_dl) as min_glucose_mg_dl,
    max(glucose_mg_dl) as max_glucose_mg_dl,
    100 * {{ share(count_where("glucose_category = 'in_range'"), 'count(*)') }} as time_in_range_pct
from {{ ref('fct_glucose_readings') }}
group by hour_of_day
