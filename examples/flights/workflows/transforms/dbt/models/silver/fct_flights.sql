-- Left joins all: four airports and some planes are not in the register, and for some hours there
-- is no weather, but every flight is a flight.
select
    flights.flight_id,
    flights.flight_date,
    flights.departure_hour,
    flights.carrier,
    airlines.carrier_name,
    flights.flight_number,
    flights.tailnum,
    planes.manufacturer as plane_manufacturer,
    planes.seats as plane_seats,
    planes.built_year as plane_built_year,
    flights.origin,
    flights.dest,
    airports.airport_name as dest_name,
    flights.distance_miles,
    flights.air_time_minutes,
    flights.departure_delay_minutes,
    flights.arrival_delay_minutes,
    flights.departure_time is null as is_cancelled,
    flights.departure_time is not null and flights.arrival_delay_minutes is null as is_diverted,
    flights.arrival_delay_minutes < 15 as is_on_time,
    weather.temperature_f,
    weather.wind_speed_mph,
    weather.precipitation_inches,
    weather.visibility_miles,
    weather.origin is not null as has_weather
from {{ ref('stg_flights') }} as flights
left join {{ ref('dim_airlines') }} as airlines
    on flights.carrier = airlines.carrier
left join {{ ref('dim_planes') }} as planes
    on flights.tailnum = planes.tailnum
left join {{ ref('dim_airports') }} as airports
    on flights.dest = airports.airport
left join {{ ref('stg_weather') }} as weather
    on flights.origin = weather.origin
    and flights.departure_hour = weather.weather_hour
