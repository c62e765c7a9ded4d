select count(*) as n from {{ ref('guarded') }}
