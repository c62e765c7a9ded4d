{# One row for each reading: an upload that was tried again has an id of its own. #}
with numbered as (

    select
        _id as entry_id,
        date_string as reading_timestamp,
        case
            when units = 'mmol' then cast(round(sgv * 18.0182) as integer)
            else cast(round(sgv) as integer)
        end as glucose_mg_dl,
        coalesce(units, 'mg/dl') as reported_units,
        direction,
        device,
        sys_time as received_timestamp,
        _phlo_ingested_at as ingested_timestamp,
        row_number() over (partition by date_string, device order by sys_time, _id) as upload_number
    from {{ source('nightscout', 'glucose_entries') }}
    where type = 'sgv'

)

select
    entry_id,
    reading_timestamp,
    glucose_mg_dl,
    reported_units,
    direction,
    device,
    received_timestamp,
    ingested_timestamp
from numbered
where upload_number = 1
