{# A date of three whole numbers, in SQL that DuckDB and Trino both read. #}
{% macro local_date(year, month, day) -%}
  cast({{ dbt.concat([
    "cast(" ~ year ~ " as varchar)", "'-'",
    "lpad(cast(" ~ month ~ " as varchar), 2, '0')", "'-'",
    "lpad(cast(" ~ day ~ " as varchar), 2, '0')",
  ]) }} as date)
{%- endmacro %}
