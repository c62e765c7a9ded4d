{# A day is in the readings and in the metrics, with the same number of readings. #}
{{ config(meta={'dagster': {'ref': {'name': 'fct_daily_glucose_metrics'}}}) }}

select readings.reading_date, readings.reading_count, daily.reading_count as metrics_count
from (
    select reading_date, count(*) as reading_count
    from {{ ref('fct_glucose_readings') }}
    group by reading_date
) as readings
full outer join {{ ref('fct_daily_glucose_metrics') }} as daily
    on readings.reading_date = daily.reading_date
where readings.reading_count is distinct from daily.reading_count
