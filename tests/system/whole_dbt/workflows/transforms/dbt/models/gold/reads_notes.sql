-- depends_on: {{ ref('hooked') }}
select * from scratch.notes
