select
    flight_date,
    carrier,
    carrier_name,
    {{ punctuality() }},
    {{ weather_of_the_hour() }}
from {{ ref('fct_flights') }}
group by flight_date, carrier, carrier_name
