{# Every reading of the staging layer is in the fact, whenever it was received. #}
{{ config(meta={'dagster': {'ref': {'name': 'fct_glucose_readings'}}}) }}

select staged.entry_id
from {{ ref('stg_glucose_entries') }} as staged
left join {{ ref('fct_glucose_readings') }} as readings
    on staged.entry_id = readings.entry_id
where readings.entry_id is null
