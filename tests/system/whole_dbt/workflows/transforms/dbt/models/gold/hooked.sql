{{ config(
    pre_hook=["insert into scratch.notes values ('pre', 0)", {"sql": "select 1", "transaction": false}],
    post_hook=["insert into scratch.notes select 'post', count(*) from {{ this }}",
               "delete from {{ this }} where id = 1",
               {"sql": "update {{ this }} set status = 'hooked' where id = 2", "transaction": false}]
) }}
select id, status from {{ ref('stg_orders') }}
