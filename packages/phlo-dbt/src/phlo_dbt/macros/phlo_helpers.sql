{#- SQL that DuckDB and Trino both read and answer alike. A macro of the same name in a project takes
    its place. -#}

{#- How many rows meet a condition; null does not. -#}
{% macro count_where(condition) -%}
  count(case when {{ condition }} then 1 end)
{%- endmacro %}

{#- Part of a whole as a fraction; null of nothing. -#}
{% macro share(part, whole) -%}
  cast({{ part }} as double) / nullif({{ whole }}, 0)
{%- endmacro %}

{#- The hour of a moment, 0 to 23, in UTC. -#}
{% macro hour_of_day(moment) -%}
  cast(extract(hour from {{ moment }}) as integer)
{%- endmacro %}

{#- The moment that is so many milliseconds after 1970 began in UTC. -#}
{% macro from_epoch_milliseconds(milliseconds) -%}
  {{ return(adapter.dispatch('from_epoch_milliseconds')(milliseconds)) }}
{%- endmacro %}

{% macro default__from_epoch_milliseconds(milliseconds) -%}
  to_timestamp(cast({{ milliseconds }} as double) / 1000)
{%- endmacro %}

{% macro trino__from_epoch_milliseconds(milliseconds) -%}
  from_unixtime(cast({{ milliseconds }} as double) / 1000)
{%- endmacro %}
