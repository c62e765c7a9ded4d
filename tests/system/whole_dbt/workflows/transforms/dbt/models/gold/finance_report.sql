{{ config(group='finance', access='public', schema='reports', alias='finance') }}
select * from {{ ref('ledger') }} where amount > {{ var('min_amount', 0) }}
