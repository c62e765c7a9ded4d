"""How rows of a model become part of its table: types, strategies, schema changes, seeds."""

import re
from datetime import date, datetime, time
from decimal import Decimal
from uuid import UUID

import pyarrow as pa
import pytest
from phlo.names import TableName

DAYS = TableName("bronze", "events")


def failure_of(result) -> str:
    assert not result.success
    return result.failure_data_for_node("dbt_models").user_failure_data.description


def incremental(text: str, **config: object) -> str:
    options = ", ".join(f"{k}={v!r}" for k, v in config.items())
    return f"{{{{ config(materialized='incremental', {options}) }}}}\n{text}"


def test_types_that_iceberg_lacks_become_their_nearest(dbt_project):
    dbt_project.write(
        "models/gold/odd.sql",
        """
        select
            sum(x) as total, cast(1 as tinyint) as tiny,
            uuid '12345678123456781234567812345678' as u,
            [1, 2] as list, {'a': 1} as struct, cast(1.5 as decimal(5, 2)) as money,
            date '2025-01-02' as day, null as nothing, cast(3 as ubigint) as big
        from (values (9007199254740993), (0)) as t(x)
        """,
    )
    assert dbt_project.materialize().success
    [row] = dbt_project.rows("gold.odd")
    assert row == (
        9007199254740993,
        1,
        UUID("12345678123456781234567812345678"),
        [1, 2],
        {"a": 1},
        Decimal("1.50"),
        date(2025, 1, 2),
        None,
        Decimal(3),
    )


# By model: an expression, the column that the message names, and the value that it tells.
BEYOND = {
    "forever": ("date 'infinity'", "v", "infinity"),
    "never": ("timestamp '-infinity'", "v", "-infinity"),
    "before": ("date '0044-03-15 (BC)'", "v", "0044-03-15 (BC)"),
    "year_zero": ("timestamp '0000-12-31 23:59:59'", "v", "0001-12-31 (BC) 23:59:59"),
    "after": ("timestamptz '9999-12-31 23:30:00-02'", "v", "10000-01-01 01:30:00"),
    "finer": ("timestamp_ns 'infinity'", "v", "infinity"),
    "midnight": ("time '24:00:00'", "v", "24:00:00"),
    "in_list": ("[[date '2025-01-01'], [date '10000-01-01']]", "v.list.", "10000-01-01"),
    "in_struct": ("{'a': {'b': timestamp 'infinity'}}", "v.a.b", "infinity"),
    "in_map": ("map([date 'infinity'], [1])", "v.key_value.key", "infinity"),
    "sum_too_large": ("9223372036854775808::hugeint", "'v'", "9223372036854775808"),
    "unsigned": ("340282366920938463463374607431768211455::uhugeint", "'v'", "out of range"),
    "endless": ("99999999999999999999999999999999999999999999::bignum", "'v'", "out of range"),
    "large_in_list": ("[9223372036854775808::hugeint]", "'v'", "9223372036854775808"),
    "large_in_struct": ("{'h': 9223372036854775808::hugeint}", "'v'", "9223372036854775808"),
}
# By column: an expression, and what a reader finds.
WITHIN = {
    "first": ("date '0001-01-01'", date(1, 1, 1)),
    "last": ("date '9999-12-31'", date(9999, 12, 31)),
    "second": ("timestamp '9999-12-31 23:59:59.999999'", datetime.max),
    "evening": ("time '23:59:59.999999'", time.max),
    "a_while": ("interval '1 month 2 days 03:04:05'", "1 month 2 days 03:04:05"),
    "whiles": ("[interval '1 day']", ["1 day"]),
    "zoned": ("timetz '10:00:00+02'", "10:00:00+02"),
    "large": ("cast('-9' || repeat('8', 37) as decimal(38, 0))", Decimal("-9" + "8" * 37)),
    "fine": ("cast('1234567890123456789012345678.9876543210' as decimal(38, 10))",
             Decimal("1234567890123456789012345678.9876543210")),
    "total": ("9223372036854775807::hugeint", 2**63 - 1),
    "unsigned": ("18446744073709551615::ubigint", Decimal(2**64 - 1)),
    "lists": ("[[1], [null], null]", [[1], [None], None]),
    "struct": ("{'a': 1, 'b': {'c': [[date '2025-01-01']]}}",
               {"a": 1, "b": {"c": [[date(2025, 1, 1)]]}}),
    "map": ("map(['a', 'b'], [1, null])", [("a", 1), ("b", None)]),
    "fixed": ("[1, 2, 3]::int[3]", [1, 2, 3]),
    "none": ("[]::int[]", []),
    "one_of": ("union_value(n := 1)", '{"n":1}'),
}  # fmt: skip


def test_values_that_no_table_holds_are_refused_with_their_column(dbt_project):
    for name, (expression, _, _) in BEYOND.items():
        dbt_project.write(f"models/gold/{name}.sql", f"select 1 as id, {expression} as v")
    told = failure_of(dbt_project.materialize())
    messages = {part.split(":")[0]: part for part in re.split(r"\n(?=[a-z_]+: )", told)}
    for name, (_, column, value) in BEYOND.items():
        assert f"of the model {name} (models/gold/{name}.sql)" in messages[name]
        assert column in messages[name]
        assert value in messages[name]


def test_the_last_values_that_a_table_holds_arrive_exactly(dbt_project):
    columns = ", ".join(f"{text} as {name}" for name, (text, _) in WITHIN.items())
    dbt_project.write("models/gold/within.sql", f"select {columns}")
    assert dbt_project.materialize().success
    [row] = dbt_project.rows("gold.within", *WITHIN)
    assert dict(zip(WITHIN, row, strict=True)) == {n: value for n, (_, value) in WITHIN.items()}


def test_a_models_own_conversion_error_stays_duckdbs(dbt_project):
    dbt_project.write(
        "models/gold/own.sql", "select cast(x as hugeint) as v from (values ('x')) t(x)"
    )
    told = failure_of(dbt_project.materialize())
    assert "Could not convert string" in told
    assert "the nearest type" not in told


def test_a_model_without_rows_is_an_empty_table_with_its_columns(dbt_project):
    dbt_project.write("models/gold/none.sql", "select 1 as a, 'x' as b where false")
    assert dbt_project.materialize().success
    assert dbt_project.rows("gold.none") == []
    assert dbt_project.project.lake.store.load(TableName("gold", "none")).schema.names == ["a", "b"]


def test_a_rerun_without_changes_makes_no_snapshot(dbt_project):
    dbt_project.write("models/gold/one.sql", "select 1 as a")
    assert dbt_project.materialize().success
    assert dbt_project.materialize().success
    assert len(dbt_project.project.lake.store.history(TableName("gold", "one"))) == 1


def test_a_table_has_the_columns_of_its_query_and_no_others(dbt_project):
    dbt_project.write("models/gold/one.sql", "select 1 as a, 2 as b, 'x' as gone")
    assert dbt_project.materialize().success
    dbt_project.write("models/gold/one.sql", "select 'text' as a, 2 as b, 3 as c")
    assert dbt_project.materialize().success
    assert dbt_project.rows("gold.one", "a", "b", "c") == [("text", 2, 3)]
    names = dbt_project.project.lake.store.load(TableName("gold", "one")).schema.names
    assert set(names) == {"a", "b", "c"}


def test_descriptions_become_docs_of_the_table(dbt_project):
    dbt_project.write("models/gold/one.sql", "select 1 as a")
    dbt_project.write(
        "models/gold/gold.yml", "models: [{name: one, columns: [{name: a, description: The one}]}]"
    )
    assert dbt_project.materialize().success
    field = dbt_project.project.lake.store.load(TableName("gold", "one")).schema.field("a")
    assert field.metadata[b"doc"] == b"The one"


def put_days(dbt_project, *rows: tuple[str, int]) -> None:
    table = pa.table(
        {"day": [r[0] for r in rows], "n": pa.array([r[1] for r in rows], type=pa.int64())}
    )
    dbt_project.put(DAYS, table)


@pytest.fixture
def days(dbt_project):
    dbt_project.write(
        "models/bronze/sources.yml",
        "sources: [{name: raw, tables: [{name: events}]}]",
    )
    put_days(dbt_project, ("mon", 1), ("tue", 2))
    return dbt_project


def write_days(project, select: str = "*", **config: object) -> None:
    text = f"select {select} from {{{{ source('raw', 'events') }}}}"
    project.write("models/silver/days.sql", incremental(text, **config))


def test_without_unique_key_rows_are_appended(days):
    write_days(days)
    assert days.materialize().success
    put_days(days, ("tue", 2))
    assert days.materialize().success
    assert days.rows("silver.days") == [("mon", 1), ("tue", 2), ("tue", 2)]


def test_delete_and_insert_takes_keys_of_many_rows(days):
    write_days(days, unique_key="day", incremental_strategy="delete+insert")
    assert days.materialize().success
    put_days(days, ("tue", 5), ("tue", 6))
    assert days.materialize().success
    assert days.rows("silver.days") == [("mon", 1), ("tue", 5), ("tue", 6)]


@pytest.mark.parametrize("day", ["tue", None])
def test_a_key_that_is_not_unique_or_null_fails_the_model(days, day):
    write_days(days, unique_key="day")
    put_days(days, ("mon", 1), (day, 2), (day, 3))
    message = failure_of(days.materialize())
    assert "unique_key ['day'] of the model days (models/silver/days.sql)" in message
    assert not days.project.lake.store.exists(TableName("silver", "days"))


def test_a_key_that_is_no_column_names_the_columns(days):
    write_days(days, unique_key="dya")
    message = failure_of(days.materialize())
    assert "unique_key 'dya' is no column" in message
    assert "one of ['day', 'n']" in message


def test_a_strategy_that_nobody_knows_is_refused_by_name(days):
    write_days(days, unique_key="day", incremental_strategy="of_mine")
    assert days.materialize().success  # as dbt: a new table needs no strategy
    assert "of_mine" in failure_of(days.materialize())
    assert days.rows("silver.days") == [("mon", 1), ("tue", 2)]


@pytest.mark.parametrize(
    ("mode", "rows"),
    [
        ("ignore", [("mon", 1), ("tue", 2)]),
        ("append_new_columns", [("mon", 1, 7), ("tue", 2, 7)]),
        ("sync_all_columns", [("mon", 1, 7), ("tue", 2, 7)]),
    ],
)
def test_a_new_column_comes_as_on_schema_change_says(days, mode, rows):
    write_days(days, unique_key="day", on_schema_change=mode)
    assert days.materialize().success
    write_days(days, "*, 7 as more", unique_key="day", on_schema_change=mode)
    assert days.materialize().success
    assert days.rows("silver.days") == rows


def test_on_schema_change_fail_fails(days):
    write_days(days, unique_key="day", on_schema_change="fail")
    assert days.materialize().success
    write_days(days, "*, 7 as more", unique_key="day", on_schema_change="fail")
    assert "added ['more']" in failure_of(days.materialize())
    assert days.rows("silver.days") == [("mon", 1), ("tue", 2)]


def test_a_column_that_the_query_lacks_keeps_its_values_or_is_taken_away(days):
    config = {"unique_key": "day", "on_schema_change": "append_new_columns"}
    write_days(days, "day, n, 'old' as v", **config)
    assert days.materialize().success
    put_days(days, ("tue", 20), ("wed", 30))
    write_days(days, "day, 'new' as v", **config)
    assert days.materialize().success
    assert days.rows("silver.days", "day", "n", "v") == [
        ("mon", 1, "old"),
        ("tue", 2, "new"),
        ("wed", None, "new"),
    ]

    write_days(days, "day, 'new' as v", **config | {"on_schema_change": "sync_all_columns"})
    assert days.materialize().success
    assert days.rows("silver.days") == [("mon", "old"), ("tue", "new"), ("wed", "new")]


def test_sync_refuses_a_type_that_would_cost_the_stored_values(days):
    write_days(days, unique_key="day", on_schema_change="sync_all_columns")
    assert days.materialize().success
    write_days(days, "day, 'x' as n", unique_key="day", on_schema_change="sync_all_columns")
    assert "Column 'n' of the model days" in failure_of(days.materialize())
    assert days.rows("silver.days") == [("mon", 1), ("tue", 2)]


def test_a_type_that_the_table_cannot_take_names_the_way_to_build_it_anew(days):
    write_days(days, unique_key="day")
    assert days.materialize().success
    write_days(days, "day, n * 1.5 as n", unique_key="day")
    told = failure_of(days.materialize())
    assert "Column 'n' of silver.days cannot become" in told
    assert "Hint: Build it anew: phlo materialize days --full-refresh" in told


def test_full_refresh_builds_the_table_anew(days):
    write_days(days, unique_key="day")
    assert days.materialize().success
    put_days(days, ("wed", 3))
    write_days(days, unique_key="day", full_refresh=True)
    assert days.materialize().success
    assert days.rows("silver.days") == [("wed", 3)]


def test_seeds_land_too_and_models_read_them(dbt_project):
    dbt_project.write("seeds/bronze/codes.csv", "code,name\na,Anna\n")
    dbt_project.write("models/silver/names.sql", "select name from {{ ref('codes') }}")
    assert dbt_project.materialize().success
    assert dbt_project.rows("bronze.codes") == [("a", "Anna")]

    dbt_project.write("seeds/bronze/codes.csv", "code,name\na,Anna\nb,Bert\n")
    assert dbt_project.materialize().success
    assert dbt_project.rows("silver.names") == [("Anna",), ("Bert",)]
    assert dbt_project.materialize("names").success
    assert dbt_project.rows("silver.names") == [("Anna",), ("Bert",)]


LOST_MATERIALIZATION = """
{% materialization lost, adapter='duckdb' %}
  {%- set made = this.incorporate(type='table') -%}
  {% call statement('main') %}create table {{ this }} as {{ sql }}{% endcall %}
  {% do adapter.commit() %}
  {{ return({'relations': [made]}) }}
{% endmaterialization %}
"""


def test_what_reads_a_model_that_does_not_land_is_withheld(days):
    days.write("macros/lost.sql", LOST_MATERIALIZATION)
    days.write("models/gold/one.sql", "select 1 as a")
    days.write("models/gold/far.sql", "{{ config(materialized='lost') }} select 1 as a")
    days.write("models/gold/reader.sql", "select * from {{ ref('far') }}")
    message = failure_of(days.materialize())
    assert "far: the materialization 'lost' does not land in Iceberg" in message
    assert "reader was not published: far, which it reads, is withheld." in message
    assert days.rows("gold.one") == [(1,)]
    assert not days.project.lake.store.exists(TableName("gold", "reader"))


METADATA = """
select 1 as id, '{load}' as _dlt_load_id, timestamptz '{load}' as _phlo_ingested_at,
    date '2025-01-01' as _phlo_partition_date
"""


@pytest.mark.parametrize(
    "config", ["{{ config(materialized='table') }}", incremental("", unique_key="id")]
)
def test_metadata_columns_of_a_model_are_columns_like_any_other(dbt_project, config):
    def build(load: str) -> list[tuple]:
        dbt_project.write("models/silver/m.sql", config + METADATA.format(load=load))
        assert dbt_project.materialize().success
        return dbt_project.rows("silver.m", "id", "_dlt_load_id")

    assert build("2025-01-03 00:00:00+00") == [(1, "2025-01-03 00:00:00+00")]
    # Another load id, and an earlier extraction: the model's rows are the table's all the same.
    assert build("2025-01-02 00:00:00+00") == [(1, "2025-01-02 00:00:00+00")]


OVERWRITTEN = """
{{ config(materialized='incremental', incremental_strategy='insert_overwrite', partition_by=KEYS) }}
select * from (values
    {% if is_incremental() %} ('a', 5), (null, 7)
    {% else %} ('a', 1), ('a', 2), ('b', 3), (null, 4) {% endif %}
) as t(day, n)
"""


@pytest.mark.parametrize(
    ("keys", "rows"),
    [("'day'", [("a", 5), ("b", 3), (None, 7)]), ("none", [("a", 5), (None, 7)])],
)
def test_insert_overwrite_replaces_the_delivered_partitions(dbt_project, keys, rows):
    dbt_project.write("models/silver/m.sql", OVERWRITTEN.replace("KEYS", keys))
    assert dbt_project.materialize().success
    assert dbt_project.materialize().success
    assert dbt_project.rows("silver.m", "day", "n") == rows


def test_a_unit_test_of_an_incremental_model_says_which_run_it_means(dbt_project):
    query = "select 1 as id {% if is_incremental() %} where false {% endif %}"
    config = "{{ config(materialized='incremental', unique_key='id') }}\n"
    dbt_project.write("models/gold/grows.sql", config + query)
    test = "unit_tests: [{name: first, model: grows, given: [], expect: {rows: [{id: 1}]}%s}]"
    dbt_project.write("models/gold/grows.yml", test % "")
    assert "Hint: add overrides: {macros: {is_incremental: false}}" in failure_of(
        dbt_project.materialize()
    )
    overrides = ", overrides: {macros: {is_incremental: false}}"
    dbt_project.write("models/gold/grows.yml", test % overrides)
    assert dbt_project.materialize().success
    assert dbt_project.rows("gold.grows") == [(1,)]
