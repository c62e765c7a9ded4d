{% snapshot new_records %}
{{ config(unique_key='id', strategy='timestamp', updated_at='updated_at', hard_deletes='new_record') }}
select id, status, amount, updated_at from {{ ref('stg_orders') }}
{% endsnapshot %}
