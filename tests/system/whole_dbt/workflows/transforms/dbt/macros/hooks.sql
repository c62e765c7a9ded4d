{% macro note_start() %}
  create or replace table scratch.notes as select 'start' as note, 0 as n
{% endmacro %}

{% macro note_end(results) %}
  copy (
    select '{{ flags.WHICH }}' as command, {{ results | length }} as results,
      (select count(*) from scratch.notes) as notes
  ) to '{{ env_var("WHOLE_DBT_NOTES", "/dev/null") }}' (format csv)
{% endmacro %}
