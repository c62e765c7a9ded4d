{{ config(materialized='table') }}

select
    readings.entry_id,
    readings.reading_timestamp,
    readings.reading_date,
    readings.hour_of_day,
    readings.glucose_mg_dl,
    round(readings.glucose_mg_dl / 18.0182, 1) as glucose_mmol_l,
    readings.glucose_category,
    readings.direction,
    readings.glucose_mg_dl - daily.avg_glucose_mg_dl as difference_from_daily_mean
from {{ ref('fct_glucose_readings') }} as readings
inner join {{ ref('fct_daily_glucose_metrics') }} as daily
    on readings.reading_date = daily.reading_date
