{{ config(materialized='incremental', unique_key='id', full_refresh=true) }}
select id, count(*) over () as n from {{ ref('stg_orders') }}
