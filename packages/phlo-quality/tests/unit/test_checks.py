"""The edges of each check's rule."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from phlo.checks import CheckStatus
from phlo.errors import InvalidArgumentError, InvalidNameError
from phlo.names import TableName
from phlo_quality import (
    AcceptedValuesCheck,
    CountCheck,
    CustomSQLCheck,
    FreshnessCheck,
    NullCheck,
    PatternCheck,
    QualityCheck,
    QualityCheckResult,
    RangeCheck,
    RelationshipCheck,
    UniqueCheck,
)

NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("threshold", "failing", "status"),
    [(0.0, 0, "passed"), (0.0, 1, "failed"), (0.29, 29, "passed"), (0.29, 30, "failed")],
)
def test_the_threshold_is_the_share_of_rows_that_may_fail(judge, threshold, failing, status):
    rows = {"v": pa.array([None] * failing + [1] * (100 - failing), pa.int64())}
    result = judge(rows, NullCheck(columns=["v"], allow_threshold=threshold))
    assert (result.status, result.failed_count) == (status, failing)
    assert result.metrics["failed_share"] == failing / 100


def test_a_threshold_of_one_lets_every_row_fail(judge):
    result = judge({"v": pa.array([None, None], pa.int64())}, NullCheck(["v"], allow_threshold=1))
    assert (result.status, result.failed_count) == ("passed", 2)


def test_unique_counts_every_row_of_a_repeated_key_and_passes_over_nulls(judge):
    rows = {"a": [1, 1, 1, 2, None, None], "b": ["x", "x", "x", "x", "y", "y"]}
    result = judge(rows, UniqueCheck(columns=["a", "b"]))
    assert (result.row_count, result.failed_count) == (6, 3)
    assert list(result.sample) == [{"a": 1, "b": "x"}] * 3


def test_unique_passes_over_nan(judge):
    result = judge({"v": [float("nan"), float("nan"), 1.0]}, UniqueCheck(columns=["v"]))
    assert (result.status, result.failed_count) == ("passed", 0)


def test_a_sample_holds_at_most_twenty_rows(judge):
    result = judge({"v": list(range(100))}, RangeCheck("v", max_value=9))
    assert (result.failed_count, len(result.sample)) == (90, 20)


def test_whole_numbers_beyond_the_precision_of_floats_are_compared_exactly(judge):
    large = 2**53
    rows = {"v": [large, large + 1]}
    assert judge(rows, RangeCheck("v", max_value=float(large))).failed_count == 1
    assert judge(rows, AcceptedValuesCheck("v", [large, float(large)])).failed_count == 1


def test_infinite_bounds_are_no_bounds(judge):
    rows = {"v": [1.0, 1e300, None]}
    assert judge(rows, RangeCheck("v", min_value=0, max_value=float("inf"))).passed


@pytest.mark.parametrize(
    ("age", "status"),
    [(timedelta(hours=23), "passed"), (timedelta(hours=25), "failed"), (timedelta(-1), "passed")],
)
@pytest.mark.parametrize("zone", ["UTC", None])
def test_freshness_is_the_age_of_the_newest_value(judge, age, status, zone):
    now = datetime.now(UTC)  # not NOW: a whole run of the tests takes longer than the tolerance
    moments = [None, now - age, now - timedelta(days=9)]
    at = pa.array(moments, pa.timestamp("us", tz="UTC"))
    rows = {"at": at.cast(pa.timestamp("us", tz=zone)) if zone else at.cast(pa.timestamp("us"))}
    result = judge(rows, FreshnessCheck(column="at", max_age_hours=24))
    assert (result.status, result.row_count, result.scope) == (status, 3, "table")
    assert result.metrics["age_hours"] == pytest.approx(age.total_seconds() / 3600, abs=0.1)


def test_a_date_is_as_old_as_its_first_moment(judge):
    today = NOW.date()
    rows = {"day": [today - timedelta(days=2), today]}
    assert judge(rows, FreshnessCheck("day", max_age_hours=25)).passed
    assert not judge({"day": [today - timedelta(days=2)]}, FreshnessCheck("day", 25)).passed


@pytest.mark.parametrize(
    ("values", "message"),
    [([], "Not fresh: the table is empty."), ([None], "Not fresh: column 'at' has no value.")],
)
def test_a_table_without_values_is_not_fresh(judge, values, message):
    rows = {"at": pa.array(values, pa.timestamp("us"))}
    result = judge(rows, FreshnessCheck("at", 24))
    assert (result.status, result.message) == (CheckStatus.FAILED, message)


def test_custom_sql_compares_the_one_value_of_a_query(judge):
    query = "SELECT COUNT(*) FROM bronze.events WHERE value < 0 -- none;\n;"
    good = judge({"value": [1, 2]}, CustomSQLCheck(query, 0, "No negative values"))
    assert (good.status, good.row_count, good.scope) == ("passed", 2, "table")
    assert good.check == "events__CustomSQLCheck__no_negative_values"
    bad = judge({"value": [1, -2]}, CustomSQLCheck(query, 0, "No negative values"))
    assert (bad.status, bad.metrics) == ("failed", {"result": 1, "expected_result": 0})


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT CAST(NULL AS BIGINT)", None),
        ("SELECT 0.1e0 + 0.2e0", 0.3),
        ("SELECT SUM(value) FROM bronze.events", 3),
        ("SELECT DATE '2025-01-02'", date(2025, 1, 2)),
        ("SELECT MAX(value) = 2 FROM bronze.events", True),
        ("WITH v AS (SELECT value FROM bronze.events) SELECT MIN(value) FROM v", Decimal(1)),
        ("SELECT value FROM bronze.events ORDER BY value DESC LIMIT 1", 2),
    ],
)
def test_custom_sql_expects_a_value_of_any_type(judge, query, expected):
    assert judge({"value": [1, 2]}, CustomSQLCheck(query, expected)).status == "passed"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT value FROM bronze.events", "2 rows of 1 column"),
        ("SELECT 1, 2", "1 row of 2 columns"),
        ("SELECT value FROM bronze.events WHERE FALSE", "0 rows of 1 column"),
        ("SELECT nonsense(", "nonsense"),
    ],
)
def test_a_query_that_gives_no_single_value_could_not_run(judge, query, said):
    result = judge({"value": [1, 2]}, CustomSQLCheck(query, 0))
    assert result.status is CheckStatus.COULD_NOT_RUN
    assert said in result.message


def test_a_relationship_sees_several_tables_in_one_query(judge, lake):
    lake.write(TableName("bronze", "users"), {"id": [1, 2, None]})
    rows = {"user_id": [1, 2, 3, None]}
    result = judge(rows, RelationshipCheck("user_id", "bronze.users", "id"))
    assert (result.failed_count, list(result.sample)) == (1, [{"user_id": 3}])


class Longest(QualityCheck):
    columns = ("name",)

    def __init__(self, length):
        self.length = length

    def execute(self, df, context):
        bad = df[df["name"].str.len() > self.length]
        return QualityCheckResult(passed=bad.empty, failed_count=len(bad), message=str(context))


def test_a_check_of_your_own_judges_a_frame_of_its_columns(judge):
    rows = {"name": ["a", "abc"], "other": [1, 2]}
    result = judge(rows, Longest(2))
    assert (result.status, result.row_count, result.failed_count) == ("failed", 2, 1)
    assert (result.check, result.kind) == ("events__Longest__name", "Longest")
    assert (result.columns, result.message) == (("name",), "None")


def test_a_check_of_your_own_that_raises_or_answers_nothing_could_not_run(judge):
    class Broken(QualityCheck):
        def execute(self, df, context):
            raise ZeroDivisionError("no luck")

    class Mute(QualityCheck):
        def execute(self, df, context):
            return None

    broken, mute = judge({"v": [1]}, Broken(), Mute())
    assert (broken.status, broken.message) == ("could_not_run", "ZeroDivisionError: no luck")
    assert mute.status == "could_not_run"
    assert "Mute.execute returned NoneType" in mute.message


def test_a_check_of_your_own_is_called_by_its_class_unless_it_is_named():
    class Mine(QualityCheck):
        pass

    class Named(QualityCheck):
        name = "my_name"

    assert (Mine().name, Named().name, Mine(name="other").name) == ("Mine", "my_name", "other")


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: NullCheck(columns="id"), "columns"),
        (lambda: NullCheck(columns=[]), "columns"),
        (lambda: UniqueCheck(columns=["a", "a"]), "columns"),
        (lambda: UniqueCheck(columns=[1]), "columns"),
        (lambda: NullCheck(columns=["a"], allow_threshold=1.1), "allow_threshold"),
        (lambda: NullCheck(columns=["a"], allow_threshold=float("nan")), "allow_threshold"),
        (lambda: NullCheck(columns=["a"], severity="fatal"), "severity"),
        (lambda: RangeCheck(column="a"), "min_value"),
        (lambda: RangeCheck("a", min_value=2, max_value=1), "min_value"),
        (lambda: RangeCheck("a", min_value=float("nan")), "min_value"),
        (lambda: RangeCheck("a", min_value="1"), "min_value"),
        (lambda: RangeCheck("a", min_value=True), "min_value"),
        (lambda: RangeCheck("a", min_value=1, max_value=date(2025, 1, 1)), "max_value"),
        (lambda: RangeCheck("", min_value=1), "column"),
        (lambda: CountCheck(), "min_count"),
        (lambda: CountCheck(min_count=-1), "min_count"),
        (lambda: CountCheck(min_count=1.5), "min_count"),
        (lambda: CountCheck(min_count=2, max_count=1), "min_count"),
        (lambda: FreshnessCheck("at", max_age_hours=0), "max_age_hours"),
        (lambda: FreshnessCheck("at", max_age_hours="24"), "max_age_hours"),
        (lambda: AcceptedValuesCheck("c", values="DE"), "values"),
        (lambda: AcceptedValuesCheck("c", values=[None]), "values"),
        (lambda: AcceptedValuesCheck("c", values=["a", 1]), "values"),
        (lambda: PatternCheck("c", pattern="("), "pattern"),
        (lambda: CustomSQLCheck(" ;", 0), "query"),
    ],
)
def test_a_wrong_argument_is_refused_where_it_is_written(make, argument):
    with pytest.raises(InvalidArgumentError) as caught:
        make()
    assert caught.value.argument == argument
    assert caught.value.hint


def test_an_unknown_argument_is_refused_as_python_does():
    with pytest.raises(TypeError, match="NullCheck takes no argument 'treshold'"):
        NullCheck(columns=["a"], treshold=0.1)


def test_a_relationship_names_a_whole_table():
    with pytest.raises(InvalidNameError, match="'users' is not a table identifier"):
        RelationshipCheck("user_id", "users", "id")


@pytest.mark.parametrize(
    ("pattern", "failing"),
    [
        (r"(?!b)\w+", {"b", "b c"}),
        (r"(\w)\1", {"a", "b", "b c"}),
        ("(?i)A|B|AA", {"b c"}),
    ],
)
def test_a_pattern_that_sql_does_not_know_is_judged_by_python(judge, pattern, failing):
    rows = {"c": ["a", "b", "b c", "aa", None, "b"]}
    result = judge(rows, PatternCheck("c", pattern))
    assert {row["c"] for row in result.sample} == failing
    assert result.failed_count == sum(value in failing for value in rows["c"])


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM read_csv('/etc/hostname')",
        "SELECT count(*) FROM '/etc/hostname'",
        "SELECT count(*) FROM read_parquet('https://example.org/x.parquet')",
        "SELECT getenv('HOME')",
        "DELETE FROM bronze.events",
        "SELECT 0; DROP TABLE bronze.events",
        "COPY bronze.events TO '/tmp/out.csv'",
    ],
)
def test_custom_sql_reaches_nothing_but_tables_and_only_reads(judge, lake, query):
    result = judge({"value": [1, 2]}, CustomSQLCheck(query, 0))
    assert result.status is CheckStatus.COULD_NOT_RUN
    assert result.blocks
    assert lake.store.load(TableName("bronze", "events")).row_count == 2
