"""The tests and helpers that phlo brings to every dbt project."""

from datetime import UTC, datetime

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
