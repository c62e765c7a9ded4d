{#- Schemas are exactly the layer: the configured schema, else the nearest layer folder, else the
    name's prefix. phlo_dbt.translator has the same rules for groups. An export of a saved query
    stands in no folder. -#}
{% macro duckdb__generate_schema_name(custom_schema_name, node) -%}
  {{ phlo_schema_name(custom_schema_name, node) }}
{%- endmacro %}

{% macro trino__generate_schema_name(custom_schema_name, node) -%}
  {{ phlo_schema_name(custom_schema_name, node) }}
{%- endmacro %}

{% macro phlo_schema_name(custom_schema_name, node) -%}
  {{ (custom_schema_name or phlo_layer(node)) | trim }}
{%- endmacro %}

{% macro phlo_layer(node) -%}
  {%- set layers = {
      'bronze': 'bronze', 'staging': 'bronze', 'stg': 'bronze', 'silver': 'silver',
      'gold': 'gold', 'marts': 'marts', 'mart': 'marts'} -%}
  {%- set prefixes = {'stg_': 'bronze', 'dim_': 'silver', 'fct_': 'silver', 'mrt_': 'marts'} -%}
  {%- for folder in (node.fqn or [])[1:-1] if folder | lower in layers -%}
    {{ return(layers[folder | lower]) }}
  {%- endfor -%}
  {{ return(prefixes.get(node.name[:4], target.schema)) }}
{%- endmacro %}
