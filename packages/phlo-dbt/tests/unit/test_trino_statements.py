"""Which statements of dbt are sent to Trino, and which would change main or delete its files."""

import pytest
from phlo.errors import FatalRunError
from phlo.names import TableName
from phlo_dbt.trino.statements import dropped_table, refuse_deleting_files, refuse_other_catalogs

HEADER = '/* {"app": "dbt", "node_id": "model.shop.a"} */\n\n'
WRITES = (
    "create table {} as select 1 as n",
    "create or replace table {} (n) as select * from lake.silver.b",
    "create table if not exists {} as select 1 as n",
    "create or replace view {} security definer as select 1 as n",
    "insert into {} (n) select n from lake.silver.b",
    "delete from {} where n in (select n from lake.silver.b)",
    "update {} set n = 1",
    "merge into {} as t using lake.silver.b as s on t.n = s.n when matched then delete",
    "alter table {} rename to lake_work_1.silver.c",
    "alter table if exists {} add column m integer",
    "drop table if exists {}",
    "drop view {}",
    "truncate table {}",
    "comment on table {} is 'x'",
)


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("header", ["", HEADER, "-- create table lake.a.b\n"])
def test_writes_stay_in_the_work_catalog(write, header):
    for table in ('"lake_work_1"."silver"."a"', "LAKE_WORK_1.silver.a", "silver.a", "a"):
        refuse_other_catalogs(header + write.format(table), "lake_work_1")
    for table in ('"lake"."silver"."a"', "Lake.silver.a", "lake . silver . a"):
        with pytest.raises(FatalRunError, match="'lake'; expected 'lake_work_1'"):
            refuse_other_catalogs(header + write.format(table), "lake_work_1")


def test_schemas_and_columns_are_in_a_catalog_too():
    for statement in ("create schema if not exists {}.silver", "comment on column {}.s.t.c is 'x'"):
        refuse_other_catalogs(statement.format("lake_work_1"), "lake_work_1")
        with pytest.raises(FatalRunError):
            refuse_other_catalogs(statement.format("lake"), "lake_work_1")


def test_reads_go_anywhere():
    for statement in ("select * from lake.silver.a", "with a as (select 1) select * from a", "?"):
        refuse_other_catalogs(statement, "lake_work_1")
        refuse_deleting_files(statement)
        assert dropped_table(statement) is None


@pytest.mark.parametrize(
    "statement",
    [
        "drop schema lake_work_1.silver cascade",
        "alter table silver.a execute expire_snapshots(retention_threshold => '7d')",
        'alter table "silver"."a" EXECUTE remove_orphan_files',
    ],
)
def test_files_of_main_are_not_deleted_by_statements(statement):
    with pytest.raises(FatalRunError, match="delete files that the lake's main needs"):
        refuse_deleting_files(HEADER + statement)


def test_a_dropped_table_is_named_as_the_catalog_has_it():
    for statement in (
        'drop table if exists "lake_work_1"."silver"."A__dbt_backup"',
        "DROP TABLE silver.a__dbt_backup",
    ):
        assert dropped_table(HEADER + statement) == TableName("silver", "a__dbt_backup")
    assert dropped_table("drop view silver.a") is None
    refuse_deleting_files("alter table silver.a execute optimize")
