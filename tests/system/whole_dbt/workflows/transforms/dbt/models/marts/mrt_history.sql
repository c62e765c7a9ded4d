select id, status, dbt_valid_to is null as is_current from {{ ref('by_check') }}
