{% snapshot by_time %}
{{ config(unique_key='id', strategy='timestamp', updated_at='updated_at') }}
select id, status, amount, updated_at from {{ ref('stg_orders') }}
{% endsnapshot %}
