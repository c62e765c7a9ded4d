{# Runs that overlap add no reading twice. #}
select reading_timestamp, device, count(*) as reading_count
from {{ ref('fct_glucose_readings') }}
group by reading_timestamp, device
having count(*) > 1
