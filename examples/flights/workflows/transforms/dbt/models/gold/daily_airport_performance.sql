select
    flight_date,
    origin,
    {{ punctuality() }},
    {{ weather_of_the_hour() }}
from {{ ref('fct_flights') }}
group by flight_date, origin
