"""The tests and helpers that phlo brings to every dbt project."""

import hashlib
from datetime import UTC, datetime

from phlo_dbt.command import run_command

MODEL = """
select
    {{ count_where('n > 1') }} as above_one,
    {{ share(count_where('n > 1'), 'count(*)') }} as share_above_one,
    {{ share('1', '0') }} as share_of_nothing,
    {{ from_epoch_milliseconds('1762214400500') }} as moment,
    {{ hour_of_day(from_epoch_milliseconds('1762225200000')) }} as hour
from {{ ref('numbers') }}
"""
RANGES = {
    "accepted_range": [
        ("{min_value: 1, max_value: 3}", True),
        ("{min_value: 1}", True),
        ("{max_value: 2}", False),
        ("{min_value: 1, inclusive: false}", False),
        ("{max_value: n + 1}", True),
    ],
    "expect_column_values_to_be_between": [
        ("{min_value: 1, max_value: 3}", True),
        ("{min_value: 1, max_value: 3, strictly: true}", False),
        ("{max_value: 2, row_condition: n < 3}", True),
    ],
}


def test_ranges_judge_as_the_packages_do_and_helpers_answer(dbt_project):
    dbt_project.write(
        "models/silver/numbers.sql", "select * from (values (1), (2), (3), (null)) as t(n)"
    )
    dbt_project.write("models/gold/helped.sql", MODEL)
    tests = [
        f"{name}: {{name: {name}_{number}_{verdict}, arguments: {arguments}, "
        "config: {severity: warn}}"
        for name, cases in RANGES.items()
        for number, (arguments, verdict) in enumerate(cases)
    ]
    dbt_project.write(
        "models/silver/s.yml",
        "models: [{name: numbers, columns: [{name: n, data_tests: ["
        + ", ".join(f"{{{test}}}" for test in tests)
        + "]}]}]",
    )
    result = dbt_project.materialize()

    assert result.success
    verdicts = {e.check_name: e.passed for e in result.get_asset_check_evaluations()}
    assert len(verdicts) == len(tests)
    assert all(str(passed) == name.split("_")[-1] for name, passed in verdicts.items()), verdicts
    moment = datetime(2025, 11, 4, 0, 0, 0, 500_000, tzinfo=UTC)
    assert dbt_project.rows("gold.helped") == [(2, 0.5, None, moment, 3)]


# In the shape of the packages that projects bring most often: dispatch by adapter, tests that have
# the names of phlo's own, macros of another package.
PACKAGES = {
    "dbt_utils/macros/keys.sql": """
{% macro generate_surrogate_key(columns) %}
  {{ return(adapter.dispatch('generate_surrogate_key', 'dbt_utils')(columns)) }}
{% endmacro %}
{% macro default__generate_surrogate_key(columns) %}
  {%- set parts = [] -%}
  {%- for column in columns -%}
    {%- do parts.append("coalesce(cast(" ~ column ~ " as " ~ dbt.type_string() ~ "), '_null_')") -%}
    {%- if not loop.last %}{% do parts.append("'-'") %}{% endif -%}
  {%- endfor -%}
  {{ dbt.hash(dbt.concat(parts)) }}
{% endmacro %}
{% macro star(from) %}
  {%- for column in adapter.get_columns_in_relation(from) -%}
    {{ adapter.quote(column.name) }}{{ ', ' if not loop.last }}
  {%- endfor -%}
{% endmacro %}
{% test accepted_range(model, column_name, min_value=none, max_value=none, inclusive=true) %}
  {{ return(adapter.dispatch('test_accepted_range', 'dbt_utils')(model, column_name, max_value)) }}
{% endtest %}
{% macro default__test_accepted_range(model, column_name, max_value) %}
  select * from {{ model }} where {{ column_name }} > {{ max_value }}
{% endmacro %}
""",
    "dbt_date/macros/dates.sql": """
{% macro week_start(date) %}
  {{- return(adapter.dispatch('week_start', 'dbt_date')(date)) -}}
{% endmacro %}
{% macro default__week_start(date) %}not_of_duckdb({{ date }}){% endmacro %}
{% macro duckdb__week_start(date) %}cast(date_trunc('week', {{ date }}) as date){% endmacro %}
""",
    "dbt_expectations/macros/tests.sql": """
{% test expect_column_values_to_be_between(model, column_name, min_value=none, max_value=none) %}
  with judged as (
    select {{ column_name }} >= {{ min_value }} as is_met,
      {{ dbt_date.week_start("date '2025-01-01'") }} as week from {{ model }}
  )
  select * from judged where not is_met
{% endtest %}
""",
}


def test_packages_that_a_project_brings_work_beside_phlos_own_macros(dbt_project):
    for path, text in PACKAGES.items():
        dbt_project.write(f"brought/{path}", text)
        name = path.split("/")[0]
        dbt_project.write(f"brought/{name}/dbt_project.yml", f"name: {name}\nversion: '1.0'\n")
    names = sorted({path.split("/")[0] for path in PACKAGES})
    dbt_project.write("packages.yml", f"packages: {[{'local': f'brought/{n}'} for n in names]}")
    dbt_project.write(
        "models/silver/numbers.sql", "select * from (values (1, null), (2, 'b')) t(n, v)"
    )
    dbt_project.write(
        "models/gold/keyed.sql",
        "select {{ dbt_utils.star(ref('numbers')) }}, "
        "{{ dbt_utils.generate_surrogate_key(['n', 'v']) }} as k, "
        "{{ dbt_date.week_start(\"date '2025-01-01'\") }} as week from {{ ref('numbers') }}",
    )
    bounds = "arguments: {min_value: 2, max_value: 1}, config: {severity: warn}"
    tests = [
        f"{test}: {{name: n{number}, {bounds}}}"
        for number, test in enumerate(
            [
                "dbt_utils.accepted_range",
                "accepted_range",
                "dbt_expectations.expect_column_values_to_be_between",
            ]
        )
    ]
    dbt_project.write(
        "models/s.yml",
        "models: [{name: numbers, columns: [{name: n, data_tests: "
        f"[{', '.join(f'{{{test}}}' for test in tests)}]}}]}}]",
    )
    assert run_command(["--log-level", "none", "deps"]) == 0

    result = dbt_project.materialize()

    assert result.success
    rows = dbt_project.rows("gold.keyed", "n", "v", "k", "week")
    assert [(n, v, week.isoformat()) for n, v, _, week in rows] == [
        (1, None, "2024-12-30"),
        (2, "b", "2024-12-30"),
    ]
    assert {k for _, _, k, _ in rows} == {
        hashlib.md5(text.encode()).hexdigest() for text in ("1-_null_", "2-b")
    }
    failed_rows = {
        e.check_name: e.metadata["dagster_dbt/failed_row_count"].value
        for e in result.get_asset_check_evaluations()
    }
    assert failed_rows == {"n0": 1, "n1": 2, "n2": 1}
