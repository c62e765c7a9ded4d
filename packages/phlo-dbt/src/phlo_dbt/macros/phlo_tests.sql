{#- Tests of ranges, for projects that bring no package: dbt_utils.accepted_range and
    dbt_expectations.expect_column_values_to_be_between, null values pass. -#}
{% test accepted_range(model, column_name, min_value=none, max_value=none, inclusive=true) %}
  {{ phlo_values_outside(model, column_name, min_value, max_value, not inclusive) }}
{% endtest %}

{% test expect_column_values_to_be_between(
    model, column_name, min_value=none, max_value=none, row_condition=none, strictly=false) %}
  {{ phlo_values_outside(model, column_name, min_value, max_value, strictly, row_condition) }}
{% endtest %}

{% macro phlo_values_outside(model, column_name, min_value, max_value, strictly, condition=none) %}
  {%- if min_value is none and max_value is none -%}
    {{ exceptions.raise_compiler_error(
        'The range of ' ~ column_name ~ ' has no end: set min_value, max_value or both.') }}
  {%- endif -%}
  {%- set equal = '=' if strictly else '' -%}
  select * from {{ model }}
  where (
    {%- if min_value is not none %} {{ column_name }} <{{ equal }} {{ min_value }}{% endif -%}
    {%- if min_value is not none and max_value is not none %} or{% endif -%}
    {%- if max_value is not none %} {{ column_name }} >{{ equal }} {{ max_value }}{% endif %} )
  {%- if condition %} and ({{ condition }}){% endif %}
{% endmacro %}
