{#- On DuckDB, every model is staged into Iceberg by phlo_dbt.duckdb_plugin. The scratch database
    holds views over Iceberg files only; phlo publishes the stages when dbt is done. -#}
{% materialization table, adapter='duckdb' %}
  {{ return(phlo_land()) }}
{% endmaterialization %}

{% materialization view, adapter='duckdb' %}
  {{ return(phlo_land()) }}
{% endmaterialization %}

{% materialization incremental, adapter='duckdb' %}
  {{ return(phlo_land()) }}
{% endmaterialization %}

{#- A seed becomes a table of the scratch database first, as dbt makes it, and lands from there. -#}
{% materialization seed, adapter='duckdb' %}
  {%- set known = load_cached_relation(this) -%}
  {%- if known is not none -%}{% do adapter.drop_relation(known) %}{%- endif -%}
  {%- set made = dbt.materialization_seed_default() -%}
  {{ phlo_stage(this) }}
  {{ return(made) }}
{% endmaterialization %}

{% macro phlo_land() %}
  {%- set target_relation = this.incorporate(type='view') -%}
  {%- set new_rows = api.Relation.create(
        database=this.database, schema='phlo_new',
        identifier=this.schema ~ '.' ~ this.identifier, type='view') -%}

  {{ run_hooks(pre_hooks, inside_transaction=False) }}
  {{ run_hooks(pre_hooks, inside_transaction=True) }}
  {% call statement('main') -%}
    create or replace view {{ new_rows }} as (
      {% if config.get('contract').enforced %}{{ get_assert_columns_equivalent(sql) }}{% endif %}
      {{ sql }}
    )
  {%- endcall %}
  {{ run_hooks(post_hooks, inside_transaction=True) }}
  {% do adapter.commit() %}

  {{ phlo_stage(new_rows) }}
  {{ run_hooks(post_hooks, inside_transaction=False) }}
  {{ return({'relations': [target_relation]}) }}
{% endmacro %}

{% macro phlo_stage(relation) %}
  {% do adapter.store_relation('phlo', relation, [], '', 'iceberg', {
        'unique_id': model.unique_id,
        'full_refresh': should_full_refresh(),
  }) %}
{% endmacro %}

{#- The relations of the scratch database are views; a view over an Iceberg table is a table to an
    incremental model. -#}
{% macro is_incremental() %}
  {%- if not execute -%}{{ return(False) }}{%- endif -%}
  {%- set relation = load_cached_relation(this) -%}
  {{ return(
        relation is not none
        and (relation.type == 'table' or target.type == 'duckdb')
        and model.config.materialized == 'incremental'
        and not should_full_refresh()) }}
{% endmacro %}
