{{
    config(
        materialized='incremental',
        unique_key='entry_id',
        on_schema_change='append_new_columns'
    )
}}

{# What was loaded since the last run, whatever its day: readings come late, days are loaded again. #}
select
    entry_id,
    reading_timestamp,
    cast(reading_timestamp as date) as reading_date,
    {{ hour_of_day('reading_timestamp') }} as hour_of_day,
    glucose_mg_dl,
    case
        when glucose_mg_dl < 70 then 'hypoglycemia'
        when glucose_mg_dl <= 180 then 'in_range'
        when glucose_mg_dl <= 250 then 'hyperglycemia_mild'
        else 'hyperglycemia_severe'
    end as glucose_category,
    direction,
    device,
    received_timestamp,
    ingested_timestamp
from {{ ref('stg_glucose_entries') }}

{% if is_incremental() %}
where ingested_timestamp >= (select max(ingested_timestamp) - interval '1' hour from {{ this }})
{% endif %}
