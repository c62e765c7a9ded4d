{{ config(meta={'dagster': {'ref': {'name': 'mrt_daily_airport_punctuality'}}}) }}

-- No flight is lost or doubled on the way from silver to the marts.
with counts as (

    select
        (select count(*) from {{ ref('fct_flights') }}) as flights,
        (select sum(scheduled_flights) from {{ ref('mrt_daily_carrier_punctuality') }}) as by_carrier,
        (select sum(scheduled_flights) from {{ ref('mrt_daily_airport_punctuality') }}) as by_airport

)

select *
from counts
where flights <> coalesce(by_carrier, 0) or flights <> coalesce(by_airport, 0)
