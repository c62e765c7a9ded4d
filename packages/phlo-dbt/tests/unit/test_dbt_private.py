"""What is used of dbt's and dagster-dbt's private parts does what phlo-dbt needs of it."""

import duckdb
import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.duckdb.environments.local import DuckDBCursorWrapper
from dbt_common.context import get_invocation_context, set_invocation_context
from phlo.config import get_settings
from phlo.errors import QueryTimeoutError
from phlo_dbt.dbt_private import (
    connection_lock,
    copy_manifest,
    extend_environment,
    limit_statements,
)
from phlo_dbt.folders import DbtWorkspace
from phlo_dbt.manifest import parse_manifest


def test_copy_manifest_keeps_disabled_nodes_and_leaves_the_original_alone(dbt_project):
    dbt_project.write("models/gold/one.sql", "select 1 as a")
    dbt_project.write("models/gold/off.sql", "{{ config(enabled=false) }} select 1 as a")
    manifest = parse_manifest(DbtWorkspace.of(get_settings()))

    copy = copy_manifest(manifest)
    copy.nodes["model.shop.one"].compiled_code = "written by a run"

    assert list(copy.disabled) == ["model.shop.off"]
    assert copy.flat_graph["nodes"].keys() == {"model.shop.one"}
    assert manifest.nodes["model.shop.one"].compiled_code is None


def test_extend_environment_adds_variables_and_changes_none():
    set_invocation_context({"KEPT": "as it was"})
    extend_environment({"KEPT": "other", "NEW": "added"})
    assert dict(get_invocation_context().env) == {"KEPT": "as it was", "NEW": "added"}


SEMANTICS = """
models:
  - name: days
    time_spine: {standard_granularity_column: sold_on}
    columns: [{name: sold_on, granularity: day}]
semantic_models:
  - name: counted
    model: ref('days')
    defaults: {agg_time_dimension: sold_on}
    entities: [{name: sale, type: primary, expr: n}]
    dimensions: [{name: sold_on, type: time, type_params: {time_granularity: day}}]
    measures: [{name: total, agg: sum, expr: n}]
metrics:
  - {name: total, label: Total, type: simple, type_params: {measure: total}}
saved_queries:
  - name: saved
    query_params: {metrics: [total], group_by: ["TimeDimension('sale__sold_on', 'day')"]}
    exports: [{name: exported, config: {export_as: table}}]
unit_tests:
  - name: by_fixture
    model: below
    given: [{input: ref('days'), format: csv, fixture: given}]
    expect: {rows: [{n: 3}]}
"""


def test_metrics_saved_queries_and_fixtures_stand_beside_a_run(dbt_project):
    dbt_project.write("models/gold/days.sql", "select date '2025-01-01' as sold_on, 2 as n")
    dbt_project.write("models/gold/below.sql", "select n + 1 as n from {{ ref('days') }}")
    dbt_project.write("models/s.yml", SEMANTICS)
    dbt_project.write("tests/fixtures/given.csv", "sold_on,n\n2025-01-01,2\n")
    manifest = parse_manifest(DbtWorkspace.of(get_settings()))
    assert copy_manifest(manifest).fixtures == manifest.fixtures != {}
    assert dbt_project.materialize().success
    assert dbt_project.rows("gold.below") == [(3,)]


def test_connection_lock_is_held_while_dbt_duckdb_opens_its_connection():
    assert connection_lock() is DuckDBConnectionManager._LOCK
    with connection_lock(), connection_lock():  # opening a connection takes it once more
        pass


def test_a_statement_of_dbt_is_stopped_when_its_time_is_over(dbt_project):
    cursor = DuckDBCursorWrapper(duckdb.connect())
    endless = "SELECT count(*) FROM range(10_000_000_000) AS a WHERE range = 1.5"
    with limit_statements(0.2):
        with pytest.raises(QueryTimeoutError, match=r"longer than 0\.2 s"):
            cursor.execute(endless)
        assert cursor.execute("SELECT 1").fetchall() == [(1,)]
    assert DuckDBCursorWrapper.execute.__name__ == "execute"
