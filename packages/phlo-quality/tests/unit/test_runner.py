"""How checks are run: fused, apart where one is broken, by metadata where that proves enough."""

import time
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from phlo.checks import CheckStatus
from phlo.errors import QueryError
from phlo.names import TableName
from phlo.sql import Identifier, sql
from phlo.values import ColumnStatistics, TableStatistics
from phlo_quality import (
    CountCheck,
    FreshnessCheck,
    NullCheck,
    QualityCheck,
    QualityCheckResult,
    RangeCheck,
    RelationshipCheck,
    SqlCheck,
    UniqueCheck,
)

ROWS = {"id": ["a", "b"], "value": [1.0, 2.0]}
ALL = (NullCheck(["id"]), RangeCheck("value", 0, 9), UniqueCheck(["id"]), CountCheck(1, 5))


def test_one_query_answers_all_checks_of_a_table(judge, lake):
    assert all(r.passed for r in judge(ROWS, *ALL))
    assert len(lake.queries) == 1


def test_only_a_failed_check_fetches_a_sample(judge, lake):
    judge(ROWS, *ALL, RangeCheck("value", 2, name="high"))
    assert len(lake.queries) == 2
    assert lake.queries[1].endswith("LIMIT 20")


def test_results_keep_the_order_of_the_checks_and_only_runs_those_asked_for(judge):
    results = judge(ROWS, *ALL, only=["events__CountCheck", "events__NullCheck__id"])
    assert [r.check for r in results] == ["events__NullCheck__id", "events__CountCheck"]


def test_a_missing_column_is_told_apart_and_spares_the_other_checks(judge):
    null, other, count = judge(ROWS, NullCheck(["idd"]), NullCheck(["id"]), CountCheck(1))
    assert null.status is CheckStatus.COULD_NOT_RUN
    assert "bronze.events has no column 'idd'" in null.message
    assert "Did you mean 'id'?" in null.message
    assert null.blocks
    assert null.row_count is None
    assert (other.passed, count.passed) == (True, True)


def test_a_wrong_type_is_told_apart_and_spares_the_other_checks(judge):
    wrong, right = judge(ROWS, RangeCheck("id", 0), RangeCheck("value", 0))
    assert (wrong.status, right.status) == ("could_not_run", "passed")
    assert "Column 'id' of bronze.events holds text" in wrong.message


def test_a_query_that_fails_blames_only_the_check_that_broke_it(judge):
    broken, *rest = judge(ROWS, RelationshipCheck("id", "bronze.gone", "id"), *ALL)
    assert broken.status is CheckStatus.COULD_NOT_RUN
    assert "gone" in broken.message
    assert all(r.passed for r in rest)


def test_an_engine_that_is_down_is_a_result_and_not_an_exception(judge, lake, monkeypatch):
    def down(*args, **kwargs):
        raise ConnectionError("refused")

    monkeypatch.setattr(lake, "query", down)
    *by_metadata, unique = judge(ROWS, ALL[0], ALL[1], ALL[3], ALL[2])
    assert (unique.status, unique.message) == ("could_not_run", "ConnectionError: refused")
    assert all(r.passed for r in by_metadata)


def test_a_table_that_is_not_there_could_not_be_judged(judge):
    result = judge(None, CountCheck(min_count=0))
    assert result.status is CheckStatus.COULD_NOT_RUN
    assert "bronze.events" in result.message
    assert (result.scope, result.kind) == ("none", "CountCheck")


def test_a_result_tells_how_long_the_check_took(judge):
    class Slow(QualityCheck):
        def execute(self, df, context):
            time.sleep(0.02)
            return QualityCheckResult(True)

    slow, count = judge(ROWS, Slow(), CountCheck(1))
    assert slow.seconds >= 0.02
    assert count.seconds > 0


class Even(SqlCheck):
    """A check in SQL as anybody may write one."""

    def __init__(self, column):
        self.columns = (column,)

    def measures(self, rows):
        return {"odd": sql("count(*) FILTER (WHERE {c} % 2 = 1)", c=Identifier(self.columns[0]))}

    def judge(self, measured):
        return QualityCheckResult(measured["odd"] == 0, row_count=measured["row_count"])

    def failing_rows(self, rows):
        return rows.where(sql("{c} % 2 = 1", c=Identifier(self.columns[0])))


def test_a_check_in_sql_of_your_own_joins_the_one_query(judge, lake):
    rows = {"n": [2, 4, 5], "id": ["a", "b", "c"]}
    even, null = judge(rows, Even("n"), NullCheck(["id"]))
    assert (even.status, list(even.sample)) == ("failed", [{"n": 5, "id": "c"}])
    assert (null.passed, len(lake.queries)) == (True, 2)


HOSTILE = ['a"b', "it's", "sp ace", "ünïcode", "select", "a;--", "{x}", "percent%", "a.b"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_of_columns_are_only_names(judge, name):
    rows = {name: ["x", None, "x"]}
    null, unique = judge(rows, NullCheck([name]), UniqueCheck([name]))
    assert (null.failed_count, list(null.sample)) == (1, [{name: None}])
    assert (unique.failed_count, list(unique.sample)) == (2, [{name: "x"}] * 2)


@pytest.mark.parametrize("name", HOSTILE[:-1])
def test_hostile_names_of_tables_are_only_names(lake, suite_of, name):
    table = TableName("bro\"n'ze", name)
    lake.write(table, {"v": [1, None]})
    suite = suite_of(NullCheck(["v"]), UniqueCheck(["v"]), table=str(table))
    null, unique = suite.evaluate(lake, lake.store)
    assert (null.failed_count, unique.failed_count) == (1, 0)


@pytest.fixture
def known(lake, monkeypatch):
    """Statistics of the table as its metadata would tell them."""

    def tell(row_count, **columns):
        found = {name: ColumnStatistics(**facts) for name, facts in columns.items()}
        monkeypatch.setattr(
            lake.store,
            "statistics",
            lambda table, names, at=None: TableStatistics(row_count, found),
        )

    return tell


def test_what_metadata_proves_needs_no_query(judge, lake, known):
    now = datetime.now(UTC)
    known(
        2,
        id={"null_count": 0},
        value={"null_count": 0, "nan_count": 0, "lower": 1.0, "upper": 2.0},
        at={"upper": now},
    )
    rows = {**ROWS, "at": [now, now]}
    checks = (*ALL[:2], ALL[3], FreshnessCheck("at", 1), NullCheck(["id", "value"]))
    results = judge(rows, *checks, scope="table")
    assert [(r.status, r.row_count) for r in results] == [("passed", 2)] * 5
    assert lake.queries == []


@pytest.mark.parametrize(
    "statistics",
    [
        {"null_count": 1, "nan_count": 0, "lower": 1.0, "upper": 2.0},
        {"null_count": 0, "lower": 1.0, "upper": 9.5},
        {"null_count": None},
        {},
    ],
)
def test_what_metadata_does_not_prove_is_scanned(judge, lake, known, statistics):
    known(2, value=statistics)
    null, within = judge(ROWS, NullCheck(["value"]), RangeCheck("value", 0, 9))
    assert (null.status, within.status) == ("passed", "passed")
    assert len(lake.queries) == 1


def test_floats_without_nulls_and_nan_are_proven_by_what_a_load_wrote(judge, lake):
    rows = {"v": [1.0, 2.0], "w": [1.0, float("nan")]}
    assert judge(rows, NullCheck(["v"])).passed
    assert lake.queries == []
    assert judge(rows, NullCheck(["v", "w"])).failed_count == 1


def test_metadata_of_a_table_says_nothing_about_one_partition(judge, lake, known):
    known(2, id={"null_count": 0})
    assert judge(ROWS, ALL[0]).passed
    assert lake.queries == []
    judge(ROWS, ALL[0], partition=None, scope="table")
    assert lake.queries == []


def test_an_empty_table_known_by_metadata_is_skipped(judge, lake, known):
    known(0, id={"null_count": 0})
    result = judge({"id": pa.array([], pa.string())}, NullCheck(["id"]))
    assert (result.status, result.row_count, lake.queries) == ("skipped", 0, [])


def test_statistics_that_cannot_be_had_are_done_without(judge, lake, monkeypatch):
    def broken(*args, **kwargs):
        raise QueryError("no statistics")

    monkeypatch.setattr(lake.store, "statistics", broken)
    assert judge(ROWS, ALL[0]).passed
