select
    performance.flight_date,
    performance.origin,
    airports.airport_name,
    performance.scheduled_flights,
    performance.cancelled_flights,
    performance.diverted_flights,
    {{ share('performance.on_time_flights', 'performance.arrived_flights') }} as on_time_share,
    {{ share('performance.cancelled_flights', 'performance.scheduled_flights') }}
        as cancelled_share,
    performance.avg_departure_delay_minutes,
    performance.avg_arrival_delay_minutes,
    performance.max_arrival_delay_minutes,
    performance.avg_temperature_f,
    performance.avg_wind_speed_mph,
    performance.avg_visibility_miles,
    {{ share('performance.flights_in_rain', 'performance.scheduled_flights') }} as rain_share
from {{ ref('daily_airport_performance') }} as performance
left join {{ ref('dim_airports') }} as airports
    on performance.origin = airports.airport
