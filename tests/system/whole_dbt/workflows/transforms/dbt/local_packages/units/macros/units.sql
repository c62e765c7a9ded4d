{% macro to_cents(column) %}cast({{ column }} * 100 as bigint){% endmacro %}

{% test is_whole(model, column_name) %}
select * from {{ model }} where {{ column_name }} <> floor({{ column_name }})
{% endtest %}
