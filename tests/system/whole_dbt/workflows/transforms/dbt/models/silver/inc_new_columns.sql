{{ config(materialized='incremental', unique_key='id', on_schema_change='append_new_columns') }}
select id, amount {% if is_incremental() %}, status as later{% endif %} from {{ ref('stg_orders') }}
