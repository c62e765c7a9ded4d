{% snapshot by_check %}
{{ config(unique_key='id', strategy='check', check_cols=['status']) }}
select id, status, amount, updated_at from {{ ref('stg_orders') }}
{% endsnapshot %}
