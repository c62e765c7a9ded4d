{#- On DuckDB, every model is staged into Iceberg by phlo_dbt.duckdb_plugin; phlo publishes the
    stages when dbt is done. A plain query is staged as it is. What dbt has to build step by step is
    built by dbt-duckdb's own materialization in the scratch database, hooks included, and staged
    from there. -#}
{% materialization table, adapter='phlo', supported_languages=['sql', 'python'] %}
  {%- if model.language == 'python' -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% call statement('main', language='python') -%}
      {{ py_write_table(False, phlo_python_rows(), compiled_code) }}
    {%- endcall %}
    {% do phlo_become_query() %}
  {%- endif -%}
  {%- if phlo_is_plain_query() -%}{{ return(phlo_stage_query()) }}{%- endif -%}
  {{ return(phlo_stage_built(dbt.materialization_table_duckdb)) }}
{% endmaterialization %}

{% materialization view, adapter='phlo' %}
  {%- if phlo_is_plain_query() -%}{{ return(phlo_stage_query()) }}{%- endif -%}
  {{ return(phlo_stage_built(dbt.materialization_view_default)) }}
{% endmaterialization %}

{% materialization incremental, adapter='phlo', supported_languages=['sql', 'python'] %}
  {%- if model.language == 'python' -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% call statement('main', language='python') -%}
      {{ py_write_table(False, phlo_python_rows(), compiled_code) }}
    {%- endcall %}
    {% do phlo_become_query() %}
  {%- endif -%}
  {%- if phlo_is_plain_query() and phlo_is_plain_increment() -%}
    {{ return(phlo_stage_query()) }}
  {%- endif -%}
  {%- do phlo_copy_published() -%}
  {{ return(phlo_stage_built(dbt.materialization_incremental_duckdb)) }}
{% endmaterialization %}

{% materialization snapshot, adapter='phlo' %}
  {%- do phlo_copy_published() -%}
  {{ return(phlo_stage_built(dbt.materialization_snapshot_default)) }}
{% endmaterialization %}

{% materialization seed, adapter='phlo' %}
  {%- set known = load_cached_relation(this) -%}
  {%- if known is not none -%}{% do adapter.drop_relation(known) %}{%- endif -%}
  {{ return(phlo_stage_built(dbt.materialization_seed_default)) }}
{% endmaterialization %}

{#- Whether the rows are those of one SELECT: no hook may look at the table or change it, and no
    constraint is held by DuckDB. -#}
{% macro phlo_is_plain_query() %}
  {{ return(
        not post_hooks
        and not config.get('contract').enforced
        and not config.get('sql_header')) }}
{% endmacro %}

{#- Whether phlo merges the rows into the Iceberg table itself. All else that dbt-duckdb can do to a
    table is done by dbt-duckdb on a copy of the table. -#}
{% macro phlo_is_plain_increment() %}
  {%- set settings = [
        'incremental_predicates', 'predicates', 'merge_update_columns', 'merge_exclude_columns',
        'merge_update_condition', 'merge_insert_condition', 'merge_on_using_columns',
        'merge_update_set_expressions', 'merge_returning_columns', 'merge_clauses'] -%}
  {%- for name in settings if config.get(name) -%}{{ return(False) }}{%- endfor -%}
  {%- set key = config.get('unique_key') or [] -%}
  {%- for part in ([key] if key is string else key) if modules.re.search('[(),|\'"+:]', part) -%}
    {{ return(False) }}
  {%- endfor -%}
  {{ return((config.get('incremental_strategy') or 'default')
        in ['default', 'append', 'merge', 'delete+insert']) }}
{% endmacro %}

{#- dbt runs a Python model from the materialization itself only, so its rows are computed first;
    from then on the model is a query of them. -#}
{% macro phlo_python_rows() %}
  {{ return(api.Relation.create(
        database=this.database, schema='phlo_new',
        identifier='python_' ~ local_md5(model.unique_id), type='table')) }}
{% endmacro %}

{% macro phlo_become_query() %}
  {% do adapter.commit() %}
  {%- set query = 'select * from ' ~ phlo_python_rows() -%}
  {% do model.update({'language': 'sql', 'compiled_code': query}) %}
  {% do context.update({'compiled_code': query, 'sql': query, 'pre_hooks': []}) %}
{% endmacro %}

{% macro phlo_stage_query() %}
  {%- set target_relation = this.incorporate(type='view') -%}
  {%- set new_rows = api.Relation.create(
        database=this.database, schema='phlo_new',
        identifier='rows_' ~ local_md5(model.unique_id), type='view') -%}

  {{ run_hooks(pre_hooks, inside_transaction=False) }}
  {{ run_hooks(pre_hooks, inside_transaction=True) }}
  {% call statement('main') -%}
    create or replace view {{ new_rows }} as (
      {{ sql }}
    )
  {%- endcall %}
  {% do adapter.commit() %}

  {{ phlo_stage(new_rows) }}
  {{ return({'relations': [target_relation]}) }}
{% endmacro %}

{#- Build the relation as dbt does, hooks included, then stage what it has become. -#}
{% macro phlo_stage_built(materialization) %}
  {%- set made = materialization() -%}
  {{ phlo_stage(this) }}
  {{ return(made) }}
{% endmacro %}

{#- The partitions that the new rows are of are replaced; without `partition_by`, the whole table. -#}
{% macro phlo__get_incremental_insert_overwrite_sql(arguments) %}
  {%- set columns = config.get('partition_by') or config.get('partitioned_by') or [] -%}
  {%- set columns = [columns] if columns is string else columns -%}
  {%- set names = get_quoted_csv(arguments.dest_columns | map(attribute='name')) -%}
  delete from {{ arguments.target_relation }}
  {%- if columns %} as stored where exists (
    select 1 from {{ arguments.temp_relation }} as delivered where
    {% for column in columns -%}
      stored.{{ column }} is not distinct from delivered.{{ column }} {{ 'and ' if not loop.last }}
    {%- endfor -%}
  )
  {%- endif %};
  insert into {{ arguments.target_relation }} ({{ names }})
  select {{ names }} from {{ arguments.temp_relation }}
{% endmacro %}

{% macro phlo_stage(relation) %}
  {% do adapter.store_relation('phlo', relation, [], '', 'iceberg', {
        'unique_id': model.unique_id,
        'full_refresh': should_full_refresh(),
        'is_built': relation == this,
  }) %}
{% endmacro %}

{#- Put a table with the published rows in the place of the view over them, so that dbt may write
    it. Batches after the first find the table. -#}
{% macro phlo_copy_published() %}
  {%- set published = load_cached_relation(this) -%}
  {%- if published is none or not published.is_view -%}{{ return(none) }}{%- endif -%}
  {%- if should_full_refresh() and model.resource_type != 'snapshot' -%}
    {% do adapter.drop_relation(published) %}
    {{ return(none) }}
  {%- endif -%}
  {%- set view = published.incorporate(path={'identifier': this.identifier ~ '__published'}) -%}
  {%- set columns = adapter.get_columns_in_relation(published) | map(attribute='name') | list -%}
  {%- set is_constrained = config.get('contract').enforced
        and model.columns | sort == columns | sort -%}
  {% call statement('rename_view', auto_begin=False) -%}
    alter view {{ published }} rename to {{ adapter.quote(view.identifier) }}
  {%- endcall %}
  {% call statement('copy_published', auto_begin=False) -%}
    {%- if is_constrained -%}
      {{ create_table_as(False, this.incorporate(type='table'), 'select * from ' ~ view) }}
    {%- else -%}
      create table {{ this }} as select * from {{ view }}
    {%- endif -%}
  {%- endcall %}
  {% do adapter.cache_dropped(published) %}
  {% do adapter.cache_added(this.incorporate(type='table')) %}
{% endmacro %}

{#- The relations of the scratch database are views; a view over an Iceberg table is a table to an
    incremental model. -#}
{% macro is_incremental() %}
  {%- if not execute -%}{{ return(False) }}{%- endif -%}
  {%- if model.resource_type == 'unit_test' -%}
    {{ exceptions.raise_compiler_error(
        "Boolean override for 'is_incremental' must be provided for unit test '" ~ model.name
        ~ "'. Hint: add overrides: {macros: {is_incremental: false}}, or true, to it.") }}
  {%- endif -%}
  {%- set relation = load_cached_relation(this) -%}
  {{ return(
        relation is not none
        and model.config.materialized == 'incremental'
        and not should_full_refresh()) }}
{% endmacro %}
