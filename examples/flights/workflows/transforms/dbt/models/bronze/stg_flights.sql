with named as (

    select
        {{ local_date('year', 'month', 'day') }} as flight_date,
        time_hour as departure_hour,
        hour as scheduled_hour,
        carrier,
        flight as flight_number,
        tailnum,
        origin,
        dest,
        dep_time as departure_time,
        dep_delay as departure_delay_minutes,
        arr_delay as arrival_delay_minutes,
        air_time as air_time_minutes,
        distance as distance_miles
    from {{ source('raw', 'flights') }}

)

select
    {{ dbt.concat([
        "carrier", "cast(flight_number as varchar)",
        "'/'", "cast(flight_date as varchar)", "'/'", "cast(scheduled_hour as varchar)",
    ]) }} as flight_id,
    *
from named
