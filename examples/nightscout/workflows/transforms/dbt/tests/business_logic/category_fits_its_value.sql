{# The category of a reading is that of its value. #}
select entry_id, glucose_mg_dl, glucose_category
from {{ ref('fct_glucose_readings') }}
where
    (glucose_mg_dl < 70 and glucose_category <> 'hypoglycemia')
    or (glucose_mg_dl between 70 and 180 and glucose_category <> 'in_range')
    or (glucose_mg_dl > 180 and glucose_category not like 'hyperglycemia%')
