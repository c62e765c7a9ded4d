{% macro distinct_values(relation, column) %}
  {% if not execute %}{{ return([]) }}{% endif %}
  {% set rows = run_query('select distinct ' ~ column ~ ' from ' ~ relation ~ ' order by 1') %}
  {{ return(rows.columns[0].values()) }}
{% endmacro %}

{% macro count_models_in_graph() %}
  {% if not execute %}{{ return(0) }}{% endif %}
  {{ return(graph.nodes.values() | selectattr('resource_type', 'equalto', 'model') | list | length) }}
{% endmacro %}

{% macro dbt_utils_like_key(columns) %}
  {{ return(adapter.dispatch('dbt_utils_like_key')(columns)) }}
{% endmacro %}

{% macro default__dbt_utils_like_key(columns) %}
  {{ dbt.hash(dbt.concat(columns)) }}
{% endmacro %}

{% macro duckdb__dbt_utils_like_key(columns) %}
  md5(concat_ws('-', {{ columns | join(', ') }}))
{% endmacro %}

{% macro print_orders() %}
  {% do print(run_query('select count(*) as n from ' ~ ref('stg_orders')).rows[0][0]) %}
{% endmacro %}
