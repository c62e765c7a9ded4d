select
    flight_date,
    carrier,
    carrier_name,
    scheduled_flights,
    cancelled_flights,
    diverted_flights,
    {{ share('on_time_flights', 'arrived_flights') }} as on_time_share,
    {{ share('cancelled_flights', 'scheduled_flights') }} as cancelled_share,
    avg_departure_delay_minutes,
    avg_arrival_delay_minutes,
    max_arrival_delay_minutes,
    avg_temperature_f,
    avg_wind_speed_mph,
    avg_visibility_miles,
    {{ share('flights_in_rain', 'scheduled_flights') }} as rain_share
from {{ ref('daily_carrier_performance') }}
