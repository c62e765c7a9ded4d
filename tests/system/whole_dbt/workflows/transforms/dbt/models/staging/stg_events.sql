select id, upper(name) as name from {{ source('raw', 'events') }}
