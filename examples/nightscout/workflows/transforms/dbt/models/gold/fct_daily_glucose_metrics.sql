{{ config(materialized='table') }}

select
    reading_date,
    count(*) as reading_count,
    avg(glucose_mg_dl) as avg_glucose_mg_dl,
    cast(min(glucose_mg_dl) as double) as min_glucose_mg_dl,
    cast(max(glucose_mg_dl) as double) as max_glucose_mg_dl,
    stddev_samp(glucose_mg_dl) as stddev_glucose_mg_dl,
    100 * {{ share(count_where("glucose_category = 'in_range'"), 'count(*)') }} as time_in_range_pct,
    100 * {{ share(count_where("glucose_category = 'hypoglycemia'"), 'count(*)') }}
        as time_below_range_pct,
    100 * {{ share(count_where("glucose_category like 'hyperglycemia%'"), 'count(*)') }}
        as time_above_range_pct,
    (avg(glucose_mg_dl) + 46.7) / 28.7 as estimated_a1c_pct
from {{ ref('fct_glucose_readings') }}
group by reading_date
