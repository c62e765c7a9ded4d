{# The weather in which flights were due to leave, averaged over the flights. #}
{% macro weather_of_the_hour() -%}
  avg(temperature_f) as avg_temperature_f,
  avg(wind_speed_mph) as avg_wind_speed_mph,
  avg(visibility_miles) as avg_visibility_miles,
  {{ count_where('precipitation_inches > 0') }} as flights_in_rain
{%- endmacro %}

{# What a day's punctuality is made of. #}
{% macro punctuality() -%}
  count(*) as scheduled_flights,
  {{ count_where('is_cancelled') }} as cancelled_flights,
  {{ count_where('is_diverted') }} as diverted_flights,
  {{ count_where('is_on_time is not null') }} as arrived_flights,
  {{ count_where('is_on_time') }} as on_time_flights,
  sum(departure_delay_minutes) as total_departure_delay_minutes,
  avg(departure_delay_minutes) as avg_departure_delay_minutes,
  avg(arrival_delay_minutes) as avg_arrival_delay_minutes,
  max(arrival_delay_minutes) as max_arrival_delay_minutes
{%- endmacro %}
