select id, unnest(list) as item, struct.status as status, map['a'] as a, uuid from {{ ref('inc_nested') }}
