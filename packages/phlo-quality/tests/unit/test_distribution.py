"""DistributionCheck: shares of a day beside those of the days before."""

from datetime import date, timedelta

import pyarrow as pa
import pytest
from phlo.checks import CheckStatus
from phlo.errors import InvalidArgumentError
from phlo.names import Partition
from phlo_quality import DistributionCheck

TODAY = date(2025, 1, 15)
DAY = {"partition": Partition(TODAY), "partition_column": "day"}


def table(before, today, kind=None, days_ago=1):
    values = pa.array([*before, *today], kind)
    days = [TODAY - timedelta(days=days_ago)] * len(before) + [TODAY] * len(today)
    return pa.table({"v": values, "day": pa.array(days, pa.date32())})


def check(**options):
    return DistributionCheck("v", partition_column="day", **options)


@pytest.mark.parametrize(
    ("today", "moved"),
    [
        (["a"] * 5 + ["b"] * 5, []),
        (["a"] * 6 + ["b"] * 4, []),
        (["a"] * 7 + ["b"] * 3, ["a", "b"]),
        (["a"] * 5 + ["b"] * 3 + ["c"] * 2, ["b", "c"]),
        (["a"] * 5 + ["b"] * 3 + [None] * 2, ["b", None]),
    ],
)
def test_shares_of_values_may_move_so_far_and_no_farther(judge, today, moved):
    rows = table(["a"] * 5 + ["b"] * 5, today, pa.string())
    result = judge(rows, check(max_change=0.1), **DAY)
    assert (result.passed, result.failed_count) == (not moved, len(moved))
    assert sorted(map(str, (row["value"] for row in result.sample))) == sorted(map(str, moved))


def test_the_values_that_moved_are_shown_with_both_shares(judge):
    rows = table([True] * 2 + [False] * 2, [True] * 4)
    (first, second) = judge(rows, check(), **DAY).sample
    assert {(r["value"], r["share"], r["share_before"]) for r in (first, second)} == {
        (True, 1.0, 0.5),
        (False, 0.0, 0.5),
    }


def test_numbers_are_compared_at_the_percentiles_of_before(judge):
    before = [float(n) for n in range(100)]
    same = judge(table(before, before), check(), **DAY)
    assert same.passed, same.message
    shifted = judge(table(before, [n + 30 for n in before]), check(percentiles=[0.5]), **DAY)
    assert (shifted.status, shifted.failed_count) == ("failed", 1)
    (row,) = shifted.sample
    assert (row["percentile"], round(row["share_before"], 1), round(row["share"], 1)) == (
        0.5,
        0.5,
        0.2,
    )
    with_nothing = [*before, float("nan"), None]
    assert judge(table(before, with_nothing), check(), **DAY).passed


@pytest.mark.parametrize(
    ("before", "today", "days_ago"),
    [([], ["a"], 1), (["a"], [], 1), (["a"], ["a"], 8), ([], [], 1)],
)
def test_a_side_without_rows_is_skipped(judge, before, today, days_ago):
    result = judge(table(before, today, pa.string(), days_ago), check(), **DAY)
    assert (result.status, result.row_count) == ("skipped", len(today))


def test_a_run_without_partition_is_skipped(judge):
    result = judge(table(["a"], ["b"]), check(), partition_column="day")
    assert result.status == "skipped"
    assert "no partition" in result.message


def test_a_column_of_days_could_not_be_compared(judge):
    result = judge(table(["a"], ["b"]), DistributionCheck("day", partition_column="day"), **DAY)
    assert result.status is CheckStatus.COULD_NOT_RUN


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"max_change": 2}, "max_change"),
        ({"reference_days": 0}, "reference_days"),
        ({"percentiles": []}, "percentiles"),
        ({"percentiles": [50]}, "percentiles"),
    ],
)
def test_a_wrong_argument_is_refused(options, argument):
    with pytest.raises(InvalidArgumentError) as caught:
        DistributionCheck("v", **options)
    assert caught.value.argument == argument
