select cast(factor as integer) as factor from {{ ref('factors') }}
