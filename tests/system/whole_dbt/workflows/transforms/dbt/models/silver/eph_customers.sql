{{ config(materialized='ephemeral') }}
select c.id, c.code, coalesce(c.name, 'nobody') as name, n.country
from {{ ref('customers') }} as c
left join {{ ref('countries') }} as n on n.code = c.country
