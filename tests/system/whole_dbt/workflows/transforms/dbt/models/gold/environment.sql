select
    '{{ env_var("WHOLE_DBT_COLOUR", "none") }}' as colour,
    {{ var('multiplier') }} as multiplier,
    {{ var('partition_date', 'no day') is not none }} as has_day,
    '{{ this.schema }}' as schema_name,
    '{{ model.name }}' as model_name,
    {{ dbt.string_literal(flags.WHICH) }} is not null as has_command
