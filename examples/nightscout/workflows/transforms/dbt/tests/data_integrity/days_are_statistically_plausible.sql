{# A sensor that sticks to one value is broken, and one that jumps is too. #}
{{ config(severity='warn') }}

select reading_date, stddev_glucose_mg_dl
from {{ ref('fct_daily_glucose_metrics') }}
where reading_count > 100 and stddev_glucose_mg_dl not between 3 and 150
