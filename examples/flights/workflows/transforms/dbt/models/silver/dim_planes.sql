select
    tailnum,
    year as built_year,
    manufacturer,
    model,
    engines,
    seats
from {{ source('raw', 'planes') }}
