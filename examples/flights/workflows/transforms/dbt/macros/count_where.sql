{# How many rows meet a condition; null does not. #}
{% macro count_where(condition) -%}
  sum(case when {{ condition }} then 1 else 0 end)
{%- endmacro %}

{# Part of a whole as a fraction; null of nothing. #}
{% macro share(part, whole) -%}
  cast({{ part }} as double) / nullif({{ whole }}, 0)
{%- endmacro %}
