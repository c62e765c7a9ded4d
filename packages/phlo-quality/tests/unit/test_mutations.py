"""For every rule: rows that keep it, then one cell changed, and exactly that rule names the row."""

import pyarrow as pa
import pytest
from phlo.checks import CheckStatus
from phlo.names import TableName
from phlo_quality import CountCheck
from phlo_testing.mutations import CHECKS, COUNTRIES, GOOD, MUTATIONS, SCHEMA


@pytest.fixture
def verdicts(lake, judge):
    lake.write(TableName("ref", "geo"), COUNTRIES)

    def run(rows):
        results = judge(pa.Table.from_pylist(rows, SCHEMA), *CHECKS.values())
        return dict(zip(CHECKS, results, strict=True))

    return run


def test_rows_that_keep_every_rule_pass_every_check(verdicts):
    for name, result in verdicts(GOOD).items():
        assert (result.status, result.row_count, result.failed_count) == ("passed", 4, 0), name


@pytest.mark.parametrize(("column", "value", "broken"), MUTATIONS)
def test_one_changed_cell_fails_exactly_the_rules_it_breaks(verdicts, column, value, broken):
    changed = [*GOOD[:3], {**GOOD[3], column: value}]
    results = verdicts(changed)
    assert {name for name, r in results.items() if r.status is CheckStatus.FAILED} == broken
    for name in broken:
        culprits = [row["id"] for row in results[name].sample]
        partner = ["e0"] if name.startswith("unique") else []
        assert sorted(culprits) == sorted([changed[3]["id"], *partner]), name
        assert results[name].failed_count == len(culprits)


def test_the_sql_of_a_result_finds_the_same_rows(verdicts, lake):
    results = verdicts([*GOOD[:3], {**GOOD[3], "country": "FR", "id": "e0"}])
    for name in ("accepted", "unique"):
        found = lake.query(results[name].sql).read_all().to_pylist()
        assert found == list(results[name].sample), name


def test_over_zero_rows_a_row_rule_is_skipped_and_a_count_is_judged(judge):
    *rules, at_least, at_most = judge(
        SCHEMA.empty_table(),
        *[c for name, c in CHECKS.items() if name != "relationship"],
        CountCheck(min_count=1),
        CountCheck(max_count=9, name="at_most"),
    )
    assert {r.status for r in rules} == {CheckStatus.SKIPPED}
    assert {r.message for r in rules} == {"no data"}
    assert not any(r.passed or r.blocks for r in rules)
    assert (at_least.status, at_least.row_count) == (CheckStatus.FAILED, 0)
    assert at_most.status is CheckStatus.PASSED


def test_columns_of_nulls_pass_every_rule_but_the_one_about_nulls(verdicts):
    nothing = [dict.fromkeys(SCHEMA.names) for _ in range(3)]
    results = verdicts(nothing)
    failed = {name for name, r in results.items() if not r.passed}
    assert failed == {"null", "null_of_two"}
    assert results["null_of_two"].failed_count == 3
    assert results["null_of_two"].metrics["null_count"] == 6
