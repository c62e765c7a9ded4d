{{ config(materialized='incremental', unique_key='id') }}
select id, [customer_id, null] as list, {'status': status, 'amounts': [amount]} as struct,
    map(['a'], [id]) as map, uuid '12345678123456781234567812345678' as uuid
from {{ ref('stg_orders') }}
