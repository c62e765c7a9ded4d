{{ config(materialized='incremental', unique_key='id', on_schema_change='sync_all_columns') }}
select id, {% if is_incremental() %}status as later{% else %}amount{% endif %} from {{ ref('stg_orders') }}
