{% snapshot invalidated %}
{{ config(unique_key='id', strategy='check', check_cols='all', hard_deletes='invalidate') }}
select id, status, amount, updated_at from {{ ref('stg_orders') }}
{% endsnapshot %}
