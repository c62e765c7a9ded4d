"""Which rows a suite judges: a partition, a load's rows, the table, a window of time."""

from datetime import date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from phlo.checks import CheckStatus
from phlo.names import Partition, TableName
from phlo.values import Append, Merge
from phlo_quality import CountCheck, FreshnessCheck, NullCheck, UniqueCheck

EVENTS = TableName("bronze", "events")
DAY = Partition.parse("2025-01-15")
ROWS = pa.table(
    {
        "id": ["a", "b", "b", "c", None],
        "_phlo_partition_date": [date(2025, 1, d) for d in (14, 14, 15, 15, 15)],
        "at": [datetime(2025, 1, d, h) for d, h in ((14, 0), (14, 23), (15, 0), (15, 23), (16, 0))],
        "when": pa.array([datetime(2025, 1, 15, 12)] * 5, pa.timestamp("us", tz="UTC")),
    }
)


@pytest.fixture
def count(judge):
    def count_rows(**options):
        result = judge(ROWS, CountCheck(min_count=0), **options)
        return result.row_count, result.scope

    return count_rows


def test_a_partition_is_told_by_its_column(count):
    assert count(partition=DAY) == (3, "partition 2025-01-15")
    assert count(partition=DAY, partition_column="at") == (2, "partition 2025-01-15")
    assert count(partition=DAY, partition_column="when") == (5, "partition 2025-01-15")
    assert count(partition=Partition(date(2025, 1, 14), 7)) == (5, "partition 2025-01-14")


def test_the_whole_table_is_judged_where_no_partition_can_be_told(count, judge, lake):
    assert count(scope="table", partition=DAY) == (5, "table")
    assert count(partition=None) == (5, "table")
    other = judge({"id": [1, 2]}, CountCheck(0), partition=DAY)
    assert (other.row_count, other.scope) == (2, "table")


def test_a_partition_column_that_was_named_and_is_missing_could_not_run(judge):
    result = judge(ROWS, CountCheck(0), partition=DAY, partition_column="att")
    assert result.status is CheckStatus.COULD_NOT_RUN
    assert "no column 'att'" in result.message
    assert "Did you mean 'at'?" in result.message


def test_a_time_counts_back_from_the_end_of_the_partition(count):
    day = {"partition": DAY, "partition_column": "at"}
    assert count(scope=timedelta(days=2), **day) == (4, "2 days, 0:00:00 before 2025-01-16")
    assert count(scope=timedelta(hours=1), **day) == (1, "1:00:00 before 2025-01-16")
    assert count(scope=timedelta(hours=1), **day | {"partition_column": "when"})[0] == 0
    dates = {"partition": DAY, "partition_column": "_phlo_partition_date"}
    assert count(scope=timedelta(days=2), **dates)[0] == 5


def test_a_day_of_zoned_timestamps_is_a_day_of_the_project(judge, monkeypatch):
    from phlo.config import reset_settings

    moments = [datetime(2025, 1, 15, 3), datetime(2025, 1, 15, 7), datetime(2025, 1, 16, 3)]
    rows = {"when": pa.array(moments, pa.timestamp("us", tz="UTC"))}
    monkeypatch.setenv("PHLO_TIMEZONE", "America/New_York")
    reset_settings()
    result = judge(rows, CountCheck(0), partition=DAY, partition_column="when")
    reset_settings()
    assert result.row_count == 2


def test_a_partition_is_told_by_text_that_begins_with_a_date(judge):
    rows = {"day": ["2025-01-14", "2025-01-15", "2025-01-15T10:00:00Z", "2025-01-16"]}
    assert judge(rows, CountCheck(0), partition=DAY, partition_column="day").row_count == 2


def test_a_partition_without_rows_is_skipped(judge):
    empty = Partition.parse("2024-12-31")
    result = judge(ROWS, NullCheck(columns=["id"]), partition=empty)
    assert (result.status, result.scope) == ("skipped", "partition 2024-12-31")


def test_partners_of_a_repeated_key_are_sought_in_the_whole_table(judge):
    result = judge(ROWS, UniqueCheck(columns=["id"]), partition=DAY)
    assert (result.row_count, result.failed_count) == (3, 1)
    assert [row["at"] for row in result.sample] == [datetime(2025, 1, 15)]


def test_a_failing_row_of_another_partition_does_not_fail_this_one(judge):
    day_before = Partition.parse("2025-01-14")
    assert judge(ROWS, NullCheck(columns=["id"]), partition=day_before).passed
    assert judge(ROWS, NullCheck(columns=["id"]), partition=DAY).failed_count == 1


def test_a_merge_table_is_judged_whole_unless_another_column_tells_the_day(judge, lake):
    rows = ROWS.filter(pc.field("id").is_valid()).slice(0, 2)
    lake.write(EVENTS, rows, Append(DAY))
    count = CountCheck(min_count=0)
    assert judge(None, count, partition=DAY).scope == "partition 2025-01-15"
    lake.write(EVENTS, rows, Merge(key=("id",), partition=DAY))
    assert judge(None, count, partition=DAY).scope == "table"
    assert judge(None, count, partition=DAY, partition_column="at").row_count == 0


@pytest.fixture
def audit(judge, lake):
    """Judge the stage of a load; the table's other rows are published before."""

    def audit_rows(*checks, delivered=(2, 3), **options):
        others = [n for n in range(5) if n not in delivered]
        lake.write(EVENTS, take(others))
        stage = lake.stage(EVENTS, take(delivered), Append(DAY, on_rerun="append"))
        return judge(None, *checks, **{"partition": DAY, "at": {EVENTS: stage}} | options)

    return audit_rows


def take(numbers):
    return ROWS.take(pa.array(list(numbers), pa.int64()))


def test_an_audit_judges_what_the_load_delivered(audit):
    result = audit(CountCheck(min_count=0))
    assert (result.row_count, result.scope) == (2, "delivered rows of partition 2025-01-15")
    assert audit(NullCheck(columns=["id"])).passed
    assert audit(NullCheck(columns=["id"]), delivered=[4]).failed_count == 1
    assert audit(NullCheck(columns=["id"]), delivered=[]).status == "skipped"


def test_an_audit_of_scope_table_judges_the_staged_table(audit):
    result = audit(NullCheck(columns=["id"]), scope="table")
    assert (result.row_count, result.failed_count, result.scope) == (5, 1, "table")


def test_an_audit_seeks_partners_in_the_staged_table(audit):
    result = audit(UniqueCheck(columns=["id"]))
    assert (result.row_count, result.failed_count) == (2, 1)
    assert [row["id"] for row in result.sample] == ["b"]
    assert '"delivered"' not in result.sql


def test_freshness_takes_no_part_in_an_audit(audit):
    results = audit(CountCheck(0), FreshnessCheck("at", 1))
    assert [r.kind for r in results] == ["CountCheck"]


def test_a_kept_branch_is_read_like_a_published_table(judge, lake):
    lake.write(EVENTS, take([0, 1]))
    stage = lake.stage(EVENTS, take([2, 3]), Append(DAY, on_rerun="append"))
    lake.store.keep(stage, "audit/x")
    result = judge(None, CountCheck(0), at={EVENTS: "audit/x"}, partition=DAY)
    assert (result.row_count, result.scope) == (2, "partition 2025-01-15")
    assert judge(None, CountCheck(0), at={EVENTS: "audit/x"}).row_count == 4


def test_hours_cannot_be_told_by_a_column_of_text(judge):
    result = judge(
        pa.table({"day": ["2025-01-15"]}),
        CountCheck(min_count=1),
        partition=Partition.parse("2025-01-15"),
        partition_column="day",
        scope=timedelta(hours=36),
    )
    assert result.status is CheckStatus.COULD_NOT_RUN
    assert "'day' of bronze.events holds text, which tells no hours" in result.message
