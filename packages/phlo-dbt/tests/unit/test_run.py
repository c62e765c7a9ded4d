import shutil
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import phlo_dbt.session
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from dagster import AssetCheckKey, AssetKey
from phlo.lake import open_lake
from phlo.locks import locked
from phlo.names import TableName
from phlo.orchestration.dagster_private import PARTIAL_FAILURE
from phlo.values import Append
from phlo_dbt.command import run_command


def at(hour: int) -> datetime:
    return datetime(2025, 1, 1, hour, tzinfo=UTC)


def test_the_guides_models_land_in_iceberg_and_grow(dbt_project):
    dbt_project.write_guide()
    dbt_project.load_events(("a", 1, 10.0, "x"), ("b", 2, None, "x"), ("c", 3, 5.0, "y"))

    assert dbt_project.materialize().success

    assert dbt_project.rows("bronze.stg_events", "id", "timestamp", "value", "category") == [
        ("a", at(1), 10.0, "x"),
        ("b", at(2), None, "x"),
        ("c", at(3), 5.0, "y"),
    ]
    assert dbt_project.rows("silver.events_cleaned", "id", "value", "category") == [
        ("a", 10.0, "X"),
        ("c", 5.0, "Y"),
    ]
    assert dbt_project.rows("gold.daily_aggregates") == [
        (date(2025, 1, 1), "X", 1, 10.0, 10.0, 10.0, None),
        (date(2025, 1, 1), "Y", 1, 5.0, 5.0, 5.0, None),
    ]

    dbt_project.load_events(("d", 4, 20.0, "x"))
    second = dbt_project.materialize()
    assert second.success

    assert dbt_project.rows("silver.events_cleaned", "id", "value") == [
        ("a", 10.0),
        ("c", 5.0),
        ("d", 20.0),
    ]
    columns = ("date", "category", "event_count", "avg_value")
    assert dbt_project.rows("gold.daily_aggregates", *columns) == [
        (date(2025, 1, 1), "X", 2, 15.0),
        (date(2025, 1, 1), "Y", 1, 5.0),
    ]

    undone = open_lake().store.undo(second.run_id)  # the snapshots of all models name their run
    assert {str(t.table) for t in undone.tables} >= {"gold.daily_aggregates"}
    assert dbt_project.rows("silver.events_cleaned", "id", "value") == [("a", 10.0), ("c", 5.0)]
    assert dbt_project.rows("gold.daily_aggregates", *columns) == [
        (date(2025, 1, 1), "X", 1, 10.0),
        (date(2025, 1, 1), "Y", 1, 5.0),
    ]


def test_a_failing_test_withholds_its_model_and_what_reads_it(dbt_project):
    dbt_project.write_guide()
    dbt_project.write(
        "models/silver/silver.yml",
        """
        models:
          - name: events_cleaned
            columns:
              - name: value
                data_tests:
                  - accepted_values: {arguments: {values: [10, 20], quote: false}}
        """,
    )
    dbt_project.load_events(("a", 1, 10.0, "x"))
    assert dbt_project.materialize().success

    dbt_project.load_events(("b", 2, 99.0, "x"))
    result = dbt_project.materialize()

    assert not result.success
    assert dbt_project.rows("bronze.stg_events", "id") == [("a",), ("b",)]
    assert dbt_project.rows("silver.events_cleaned", "id") == [("a",)]
    assert dbt_project.rows("gold.daily_aggregates", "event_count") == [(1,)]
    failure = result.failure_data_for_node("dbt_models")
    description = failure.user_failure_data.description
    assert "events_cleaned was not published" in description
    assert "found value_field=99.0, n_records=1" in description
    [ran] = [line.split(" ran ")[1] for line in description.splitlines() if " ran " in line]
    assert "value_field" in (dbt_project.root / ran).read_text()
    assert failure.user_failure_data.metadata[PARTIAL_FAILURE].value is True
    [check] = [e for e in result.get_asset_check_evaluations() if not e.passed]
    assert check.asset_key.to_user_string() == "events_cleaned"
    materialized = {m.asset_key.to_user_string() for m in _materializations(result)}
    assert materialized == {"stg_events"}


def test_tests_of_one_name_on_one_model_are_checks_of_their_own(dbt_project):
    dbt_project.write_guide()
    dbt_project.write(
        "models/silver/silver.yml",
        """
        models:
          - name: events_cleaned
            data_tests:
              - dbt_utils_like: {name: rule, arguments: {at_least: 1}}
              - dbt_utils_like: {name: rule, arguments: {at_least: 2}}
            columns:
              - name: value
                data_tests: [not_null: {name: filled}]
              - name: category
                data_tests: [not_null: {name: filled}]
        """,
    )
    dbt_project.write(
        "macros/rule.sql",
        "{% test dbt_utils_like(model, at_least) %}\n"
        "select count(*) as n from {{ model }} having count(*) < {{ at_least }}\n{% endtest %}",
    )
    dbt_project.load_events(("a", 1, 10.0, "x"))
    result = dbt_project.materialize()

    passed = {e.check_name: e.passed for e in result.get_asset_check_evaluations()}
    assert passed.pop("filled_value")
    assert passed.pop("filled_category")
    assert sorted(name[:5] for name in passed) == ["rule_", "rule_"]
    assert sorted(passed.values()) == [False, True]
    assert "events_cleaned was not published" in (
        result.failure_data_for_node("dbt_models").user_failure_data.description
    )
    [failed] = [name for name, ok in passed.items() if not ok]
    dbt_project.load_events(("b", 2, 11.0, "y"))
    assert dbt_project.materialize().success
    alone = dbt_project.check(AssetCheckKey(AssetKey("events_cleaned"), failed))
    assert [(e.check_name, e.passed) for e in alone.get_asset_check_evaluations()] == [
        (failed, True)
    ]


NAMESAKE = """
from phlo_quality import NullCheck, phlo_quality


@phlo_quality(table="silver.events_cleaned", checks=[NullCheck(["id"], name="filled")], blocking={})
def cleaned(): ...
"""


@pytest.mark.parametrize("blocking", [True, False])
def test_a_test_may_have_the_name_of_a_check_of_a_suite(dbt_project, blocking):
    dbt_project.write_guide()
    tests = "data_tests: [not_null: {name: filled}]"
    dbt_project.write(
        "models/silver/silver.yml",
        f"models: [{{name: events_cleaned, columns: [{{name: value, {tests}}}]}}]",
    )
    dbt_project.project.write("workflows/quality/cleaned.py", NAMESAKE.format(blocking))
    dbt_project.load_events(("a", 1, 10.0, "x"))
    graph = dbt_project.project.definitions().resolve_asset_graph()
    names = {key.name for key in graph.asset_check_keys}
    assert {"filled", "filled_value"} <= names
    result = dbt_project.materialize()
    passed = {e.check_name: e.passed for e in result.get_asset_check_evaluations()}
    assert passed["filled_value"]


def test_a_withheld_model_is_kept_as_a_branch_to_look_into(dbt_project):
    dbt_project.write_guide()
    dbt_project.project.write("workflows/quality/cleaned.py", SUITE)
    dbt_project.load_events(("a", 1, 10.0, "x"))
    assert dbt_project.materialize().success
    dbt_project.load_events(("b", 2, 99.0, "x"))

    result = dbt_project.materialize()

    branch = f"audit/events_cleaned/table/{result.run_id[:8]}-0"
    description = result.failure_data_for_node("dbt_models").user_failure_data.description
    assert f"It is kept as branch '{branch}'." in description
    rows = dbt_project.project.lake.engine.query(
        "SELECT id FROM silver.events_cleaned ORDER BY id",
        at={TableName("silver", "events_cleaned"): branch},
    )
    assert rows.read_all().to_pydict() == {"id": ["a", "b"]}
    assert dbt_project.rows("silver.events_cleaned", "id") == [("a",)]


def test_a_test_that_only_warns_withholds_nothing(dbt_project):
    dbt_project.write_guide()
    dbt_project.write(
        "models/bronze/bronze.yml",
        """
        models:
          - name: stg_events
            columns:
              - name: value
                data_tests:
                  - not_null: {config: {severity: warn}}
        """,
    )
    dbt_project.load_events(("a", 1, None, "x"))

    result = dbt_project.materialize()

    assert result.success
    assert dbt_project.rows("bronze.stg_events", "id") == [("a",)]
    [check] = result.get_asset_check_evaluations()
    assert (check.passed, check.severity.name) == (False, "WARN")


def test_a_failing_model_fails_the_step_and_the_others_are_published(dbt_project):
    dbt_project.write_guide()
    dbt_project.write("models/gold/broken.sql", "select nothing from {{ ref('stg_events') }}")
    dbt_project.load_events(("a", 1, 10.0, "x"))

    result = dbt_project.materialize()

    assert not result.success
    failure = result.failure_data_for_node("dbt_models")
    assert "nothing" in failure.user_failure_data.description
    assert dbt_project.rows("gold.daily_aggregates", "event_count") == [(1,)]


def test_nothing_is_left_of_the_scratch_database_and_nothing_is_lost(dbt_project):
    dbt_project.write_guide()
    dbt_project.load_events(("a", 1, 10.0, "x"))
    assert dbt_project.materialize().success
    state = dbt_project.root / ".phlo" / "dbt"
    assert list((state / "runs").iterdir()) == []

    shutil.rmtree(state)
    dbt_project.load_events(("b", 2, 20.0, "x"))
    assert dbt_project.materialize().success

    assert dbt_project.rows("silver.events_cleaned", "id") == [("a",), ("b",)]


def test_what_a_killed_run_left_is_removed_and_what_runs_is_not(dbt_project):
    runs = dbt_project.root / ".phlo/dbt/runs"
    for name in ("killed", "alive"):
        (runs / name).mkdir(parents=True)
        (runs / name / "lake.duckdb").write_text("x")
    dbt_project.write("models/gold/one.sql", "select 1 as a")

    with locked(runs / "alive" / ".lock"):
        assert dbt_project.materialize().success

    assert [f.name for f in runs.iterdir()] == ["alive"]


def test_the_users_folder_stays_as_it_was(dbt_project):
    dbt_project.write_guide()
    dbt_project.load_events(("a", 1, 10.0, "x"))
    before = sorted(str(p) for p in dbt_project.dbt_dir.rglob("*"))
    assert dbt_project.materialize().success
    assert sorted(str(p) for p in dbt_project.dbt_dir.rglob("*")) == before


def test_one_model_alone_reads_what_was_published(dbt_project):
    dbt_project.write_guide()
    dbt_project.load_events(("a", 1, 10.0, "x"))
    assert dbt_project.materialize().success

    result = dbt_project.materialize("daily_aggregates")

    assert result.success
    assert [m.asset_key.to_user_string() for m in _materializations(result)] == ["daily_aggregates"]
    assert dbt_project.rows("gold.daily_aggregates", "event_count") == [(1,)]


def test_the_runs_partition_reaches_the_models(dbt_project):
    dbt_project.write(
        "models/gold/days.sql",
        "select '{{ var(\"partition_date\") }}' as a, '{{ var(\"min_date\") }}' as b, "
        "'{{ var(\"max_date\") }}' as c",
    )
    assert dbt_project.materialize(tags={"dagster/partition": "2025-02-03"}).success
    assert dbt_project.rows("gold.days") == [("2025-02-03",) * 3]


DAYS = {
    "dagster/asset_partition_range_start": "2025-02-01",
    "dagster/asset_partition_range_end": "2025-02-03",
}


def test_a_run_over_a_range_gives_models_its_first_and_last_day(dbt_project):
    dbt_project.write(
        "models/gold/days.sql",
        "select '{{ var(\"min_date\") }}' as b, '{{ var(\"max_date\") }}' as c",
    )
    assert dbt_project.materialize(tags=DAYS).success
    assert dbt_project.rows("gold.days") == [("2025-02-01", "2025-02-03")]


@pytest.mark.parametrize("tags", [DAYS, {"dagster/partition": "eu"}], ids=["a range", "no day"])
def test_a_model_that_needs_a_day_is_refused_where_the_run_has_none(dbt_project, tags):
    dbt_project.write(
        "models/gold/days.sql", 'select \'{{ var("partition_date", "2020-01-01") }}\' as a'
    )
    result = dbt_project.materialize(tags=tags)
    assert not result.success
    description = result.failure_data_for_node("dbt_models").user_failure_data.description
    assert "'days' (models/gold/days.sql) uses 'partition_date'" in description


def _materializations(result):
    return [event.materialization for event in result.get_asset_materialization_events()]


def test_a_materialization_tells_rows_columns_and_their_lineage(dbt_project):
    dbt_project.write_guide()
    dbt_project.load_events(("a", 1, 10.0, "x"))

    result = dbt_project.materialize()

    metadata = {m.asset_key.to_user_string(): m.metadata for m in _materializations(result)}
    facts = metadata["daily_aggregates"]
    assert facts["dagster/row_count"].value == 1
    assert facts["dagster/table_name"].value == "gold.daily_aggregates"
    assert [c.name for c in facts["dagster/column_schema"].value.columns][:3] == [
        "date",
        "category",
        "event_count",
    ]
    lineage = facts["dagster/column_lineage"].value.deps_by_column
    assert [(d.asset_key.to_user_string(), d.column_name) for d in lineage["max_value"]] == [
        ("events_cleaned", "value")
    ]
    source = metadata["stg_events"]["dagster/column_lineage"].value.deps_by_column["value"]
    assert [d.asset_key.to_user_string() for d in source] == ["dlt_events"]


SUITE = """
from phlo_quality import FreshnessCheck, NullCheck, RangeCheck, phlo_quality


@phlo_quality(
    table="silver.events_cleaned",
    checks=[
        RangeCheck(column="value", min_value=0, max_value=50),
        NullCheck(columns=["category"]),
        FreshnessCheck(column="timestamp", max_age_hours=10_000_000),
    ],
)
def cleaned(): ...
"""
RANGE = "cleaned__RangeCheck__value"


def test_a_blocking_suite_judges_a_model_before_it_is_published(dbt_project):
    dbt_project.write_guide()
    dbt_project.project.write("workflows/quality/cleaned.py", SUITE)
    dbt_project.load_events(("a", 1, 10.0, "x"))
    result = dbt_project.materialize()
    assert result.success
    assert sorted((e.check_name, e.passed) for e in result.get_asset_check_evaluations()) == [
        ("cleaned__FreshnessCheck__timestamp", True),
        ("cleaned__NullCheck__category", True),
        (RANGE, True),
    ]

    dbt_project.load_events(("b", 2, 99.0, "x"))
    result = dbt_project.materialize()

    assert not result.success
    assert dbt_project.rows("silver.events_cleaned", "id") == [("a",)]
    assert dbt_project.rows("gold.daily_aggregates", "event_count") == [(1,)]
    assert (RANGE, False) in [
        (e.check_name, e.passed) for e in result.get_asset_check_evaluations()
    ]


def test_checks_selected_alone_judge_the_published_table(dbt_project):
    dbt_project.write_guide()
    dbt_project.project.write("workflows/quality/cleaned.py", SUITE)
    dbt_project.write(
        "models/bronze/bronze.yml",
        "models: [{name: stg_events, columns: [{name: id, data_tests: [unique]}]}]",
    )
    dbt_project.load_events(("a", 1, 10.0, "x"))
    assert dbt_project.materialize().success

    result = dbt_project.check(
        AssetCheckKey(AssetKey("events_cleaned"), RANGE),
        AssetCheckKey(AssetKey("stg_events"), "unique_stg_events_id"),
    )

    assert result.success
    assert _materializations(result) == []
    assert sorted((e.check_name, e.passed) for e in result.get_asset_check_evaluations()) == [
        (RANGE, True),
        ("unique_stg_events_id", True),
    ]


MEDDLER = """
import pyarrow as pa
import pyarrow.dataset as ds
from phlo.lake import open_lake
from phlo.names import TableName
from phlo.values import Append
from phlo_dbt.command import run_command
from phlo_quality import QualityCheck, QualityCheckResult, phlo_quality

TABLE = TableName("silver", "days")
calls = []


class Meddle(QualityCheck):
    '''Somebody else writes the table between the stage and the publish, once.'''

    def execute(self, df, context):
        calls.append(len(df))
        if len(calls) == 1:
            row = pa.table({"id": ["theirs"]})
            rows, how = ds.dataset(row), Append(on_rerun="append")
            store = open_lake().store
            store.publish([store.stage(TABLE, rows, how, schema=row.schema)])
        return QualityCheckResult(passed=True)


@phlo_quality(table="silver.days", checks=[Meddle()])
def meddled(): ...
"""


def test_a_table_that_moved_meanwhile_is_built_and_judged_anew(dbt_project):
    dbt_project.write(
        "models/silver/days.sql",
        "{{ config(materialized='incremental', unique_key='id') }} select 'ours' as id",
    )
    assert dbt_project.materialize().success
    dbt_project.project.write("workflows/quality/meddle.py", MEDDLER)
    dbt_project.write(
        "models/silver/days.sql",
        "{{ config(materialized='incremental', unique_key='id') }} select 'new' as id",
    )

    result = dbt_project.materialize()

    assert result.success
    assert dbt_project.rows("silver.days", "id") == [("new",), ("ours",), ("theirs",)]
    [check] = result.get_asset_check_evaluations()
    assert check.passed


COUNTED = """
{{ config(materialized='incremental', incremental_strategy=STRATEGY, unique_key=KEY) }}
select 'row ' || (select count(*) from {{ this }}) as id
"""


@pytest.mark.parametrize(
    ("strategy", "key"), [("append", None), ("delete+insert", "id"), ("merge", "id")]
)
def test_a_model_is_built_anew_where_its_own_table_moved_after_it_was_read(
    dbt_project, monkeypatch, strategy, key
):
    config = "{{ config(materialized='incremental') }}"
    dbt_project.write("models/silver/days.sql", f"{config} select 'row 0' as id")
    assert dbt_project.materialize().success
    counted = COUNTED.replace("STRATEGY", repr(strategy)).replace("KEY", repr(key))
    dbt_project.write("models/silver/days.sql", counted)
    table, calls, plan = TableName("silver", "days"), [], phlo_dbt.session.plan_landing

    def after_somebody_wrote(*given):
        calls.append(given)
        if len(calls) == 1:
            rows, store = pa.table({"id": ["theirs"]}), open_lake().store
            how = Append(on_rerun="append")
            store.publish([store.stage(table, ds.dataset(rows), how, schema=rows.schema)])
        return plan(*given)

    monkeypatch.setattr(phlo_dbt.session, "plan_landing", after_somebody_wrote)

    assert dbt_project.materialize().success
    assert dbt_project.rows("silver.days", "id") == [("row 0",), ("row 2",), ("theirs",)]


@pytest.mark.slow
def test_two_processes_from_a_cold_start_both_succeed_or_say_why(dbt_project):
    for number in range(3):
        dbt_project.write(f"models/gold/m{number}.sql", f"select {number} as n")
    command = str(Path(sys.executable).parent / "phlo-dbt")
    runs = [
        subprocess.Popen(
            [command, "build", "--select", *selected],
            cwd=dbt_project.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for selected in (["m0"], ["m1", "m2"])
    ]
    outputs = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs
    assert [dbt_project.rows(f"gold.m{n}") for n in range(3)] == [[(0,)], [(1,)], [(2,)]]


CUSTOMERS, ORDERS = TableName("silver", "customers"), TableName("gold", "orders")
HAS_CUSTOMER = """
import pyarrow as pa
import pyarrow.dataset as ds
from phlo.lake import open_lake
from phlo.names import TableName
from phlo.values import Replace
from phlo_quality import QualityCheck, QualityCheckResult, RelationshipCheck, phlo_quality

REMAINING = [["a", "b"], ["a"]]


class AnotherWriter(QualityCheck):
    def execute(self, df, context):
        if REMAINING:
            put(TableName("silver", "customers"), REMAINING.pop())
        return QualityCheckResult(passed=True)


def put(name, ids):
    store, rows = open_lake().store, pa.table({"id": pa.array(ids, pa.string())})
    store.publish([store.stage(name, ds.dataset(rows), Replace(), schema=rows.schema)])


@phlo_quality(
    table="gold.orders",
    checks=[
        RelationshipCheck(column="id", to_table="silver.customers", to_column="id"),
        AnotherWriter(),
    ],
    scope="table",
)
def orders_quality():
    pass
"""


def test_a_model_is_judged_anew_where_a_table_that_its_audit_read_moved(dbt_project):
    """The customer goes after the first audit: the second one sees it, and nothing lands."""
    dbt_project.put(CUSTOMERS, pa.table({"id": ["a", "b"]}))
    dbt_project.write("models/gold/orders.sql", "select unnest(['a', 'b']) as id")
    dbt_project.project.write(
        "workflows/quality/orders.py", HAS_CUSTOMER.replace('[["a", "b"], ["a"]]', '[["a"]]')
    )

    result = dbt_project.materialize()

    assert not result.success
    description = result.failure_data_for_node("dbt_models").user_failure_data.description
    assert "orders was not published: the check orders_quality__RelationshipCheck" in description
    assert not open_lake().store.exists(ORDERS)


def test_a_model_whose_partner_came_back_is_published_by_a_later_audit(dbt_project):
    dbt_project.put(CUSTOMERS, pa.table({"id": ["a", "b"]}))
    dbt_project.write("models/gold/orders.sql", "select unnest(['a', 'b']) as id")
    dbt_project.project.write(
        "workflows/quality/orders.py", HAS_CUSTOMER.replace('["a"]]', '["b", "a"]]')
    )

    assert dbt_project.materialize().success

    assert dbt_project.rows("gold.orders", "id") == [("a",), ("b",)]
    assert dbt_project.rows("silver.customers", "id") == [("a",), ("b",)]


def test_a_verdict_never_rests_on_a_stage_that_is_withheld(dbt_project):
    """Orders match the new customers, whose own check fails: both stay as they were."""
    dbt_project.write("models/silver/customers.sql", "select unnest(['a', 'b']) as id")
    dbt_project.write("models/gold/orders.sql", "select unnest(['a', 'b']) as id")
    dbt_project.put(CUSTOMERS, pa.table({"id": ["a"]}))
    dbt_project.project.write("workflows/quality/both.py", BOTH)

    result = dbt_project.materialize()

    assert not result.success
    assert dbt_project.rows("silver.customers", "id") == [("a",)]
    assert not open_lake().store.exists(ORDERS)


BOTH = """
from phlo_quality import CountCheck, RelationshipCheck, phlo_quality


@phlo_quality(table="silver.customers", checks=[CountCheck(max_count=1)], scope="table")
def customers_quality():
    pass


@phlo_quality(
    table="gold.orders",
    checks=[RelationshipCheck(column="id", to_table="silver.customers", to_column="id")],
    scope="table",
)
def orders_quality():
    pass
"""


def test_a_model_is_selected_without_the_folder_of_its_name(dbt_project):
    dbt_project.write("models/silver/a.sql", "select 1 as x")
    dbt_project.write("models/silver/a/b.sql", "select 2 as x")
    result = dbt_project.materialize("a")
    assert result.success
    assert [m.asset_key.to_user_string() for m in _materializations(result)] == ["a"]
    assert not dbt_project.project.lake.store.exists(TableName("silver", "b"))


def test_disabled_nodes_and_versions_of_a_model_run(dbt_project):
    dbt_project.write(
        "models/silver/s.yml",
        """
        models:
          - {name: m, latest_version: 2, versions: [{v: 1}, {v: 2}],
             columns: [{name: id, data_tests: [not_null: {config: {enabled: false}}]}]}
        """,
    )
    for version in (1, 2):
        dbt_project.write(f"models/silver/m_v{version}.sql", f"select {version} as id")
    dbt_project.write("models/silver/off.sql", "{{ config(enabled=false) }} select 1 as id")
    dbt_project.write(
        "models/gold/both.sql",
        "select * from {{ ref('m') }} union all select * from {{ ref('m', v=1) }}",
    )
    result = dbt_project.materialize()
    assert result.success
    keys = {m.asset_key.to_user_string() for m in _materializations(result)}
    assert keys == {"m_v1", "m_v2", "both"}
    assert dbt_project.rows("gold.both") == [(1,), (2,)]


def test_a_package_may_have_a_model_of_the_same_name(dbt_project):
    dbt_project.write("packages.yml", "packages: [{local: pack}]")
    dbt_project.write("pack/dbt_project.yml", "name: pack\nversion: '1.0'\n")
    for folder, n in (("", 1), ("pack/", 2)):
        dbt_project.write(
            f"{folder}models/{'gold' if folder else 'silver'}/m.sql", f"select {n} as n"
        )
    dbt_project.write(
        "pack/models/s.yml", "models: [{name: m, columns: [{name: n, data_type: integer}]}]"
    )
    dbt_project.write(
        "models/gold/both.sql", "select a.n from {{ ref('m') }} a, {{ ref('pack', 'm') }} b"
    )
    assert run_command(["--log-level", "none", "deps"]) == 0

    result = dbt_project.materialize()

    assert result.success
    keys = {m.asset_key.to_user_string() for m in _materializations(result)}
    assert keys == {"m", "pack/m", "both"}
    assert (dbt_project.rows("silver.m"), dbt_project.rows("gold.m")) == ([(1,)], [(2,)])
    [alone] = _materializations(dbt_project.materialize("pack/m"))
    assert alone.asset_key.path == ["pack", "m"]


def test_a_model_may_have_letters_that_dagster_has_not(dbt_project):
    dbt_project.write("models/silver/über_uns.sql", "select 1 as n")
    dbt_project.write("models/gold/read.sql", "select * from {{ ref('über_uns') }}")
    dbt_project.write(
        "models/s.yml",
        "models: [{name: über_uns, columns: [{name: n, data_tests: [not_null, "
        "{unique: {name: 'only-one.ever'}}, {unique: {name: 'only-one,ever'}}]}]}]",
    )
    dbt_project.write("tests/no-größe.sql", "select * from {{ ref('über_uns') }} where n > 1")
    result = dbt_project.materialize()
    assert result.success
    assert {m.asset_key.to_user_string() for m in _materializations(result)} == {"_ber_uns", "read"}
    assert [e.passed for e in result.get_asset_check_evaluations()] == [True] * 4
    assert dbt_project.rows("silver.über_uns") == dbt_project.rows("gold.read") == [(1,)]
