{# Times below, in and above the range add up to the day. #}
select reading_date
from {{ ref('fct_daily_glucose_metrics') }}
where abs(time_below_range_pct + time_in_range_pct + time_above_range_pct - 100) > 0.001
