"""Verdicts on numbers of every type equal a plain oracle on exact Python values."""

from datetime import date

import pyarrow as pa
import pytest
from phlo.checks import CheckStatus
from phlo.names import TableName
from phlo_quality import RelationshipCheck
from phlo_testing import typed_pairs
from phlo_testing.exact_verdicts import SOURCE, ExactVerdicts


class TestExactVerdicts(ExactVerdicts):
    @pytest.fixture
    def judge_rows(self, judge):
        def judge_all(rows, *checks, **options):
            results = judge(rows, *checks, **(options or {"scope": "table"}))
            return results if isinstance(results, list) else [results]

        return judge_all

    @pytest.fixture
    def write_source(self, lake):
        return lambda rows: lake.write(TableName.parse(SOURCE), rows)


def test_numbers_and_times_of_two_types_pair_where_they_are_equal(judge, lake):
    lake.write(TableName.parse(typed_pairs.KEYS), typed_pairs.rows())
    results = judge(typed_pairs.rows(), *typed_pairs.CHECKS.values(), scope="table")
    counts = dict(zip(typed_pairs.CHECKS, [r.failed_count for r in results], strict=True))
    assert counts == dict(zip(counts, typed_pairs.expected_counts(), strict=True))


@pytest.mark.parametrize(
    ("column", "other"), [("s", "n"), ("n", "s"), ("s", "day"), ("list", "list")]
)
def test_a_relationship_of_two_families_is_told_before_it_runs(judge, lake, column, other):
    rows = pa.table({"n": [1], "s": ["1"], "day": [date(2025, 1, 1)], "list": [[1]]})
    lake.write(TableName.parse(SOURCE), rows)
    result = judge(rows, RelationshipCheck(column, SOURCE, other))
    assert result.status is CheckStatus.COULD_NOT_RUN
    assert "bronze.events" in result.message
    assert repr(column) in result.message
