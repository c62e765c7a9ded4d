"""Verdicts that hold for values at the edges: NaN, infinities, digits beyond a double, float32."""

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest
from phlo.errors import InvalidArgumentError
from phlo.lake import open_lake
from phlo.names import TableName
from phlo_quality import (
    AcceptedValuesCheck,
    AggregateConsistencyCheck,
    ChecksumReconciliationCheck,
    CustomSQLCheck,
    FreshnessCheck,
    KeyParityCheck,
    NullCheck,
    QualityCheck,
    QualityCheckResult,
    RangeCheck,
)
from phlo_quality.checks.custom_sql import is_same
from phlo_quality.suggest import suggest_suite

SOURCE = TableName("bronze", "source")
NAN, INF = math.nan, math.inf
ABOVE = 2**53 + 1
"""A whole number that no double holds: the nearest one is 2**53."""


@pytest.fixture
def reconcile(judge, lake):
    def reconcile_rows(source, target, check):
        lake.write(SOURCE, source)
        return judge(target, check)

    return reconcile_rows


@pytest.mark.parametrize("tolerance", [{"tolerance": 0.1}, {"absolute_tolerance": 1}])
@pytest.mark.parametrize(
    ("source", "target", "passed"),
    [
        (NAN, 5.0, False),
        (INF, 5.0, False),
        (-INF, 5.0, False),
        (5.0, NAN, False),
        (5.0, INF, False),
        (INF, -INF, False),
        (NAN, NAN, True),
        (INF, INF, True),
        (5.0, 5.4, True),
        (5.0, 7.0, False),
    ],
)
def test_nothing_but_itself_is_near_to_nan_or_infinity(
    reconcile, source, target, passed, tolerance
):
    check = AggregateConsistencyCheck(
        "bronze.source", "total", "SUM(amount)", group_by=["k"], **tolerance
    )
    rows = {"k": [1, 1, 2], "amount": [source, 0.0, 1.0]}
    result = reconcile(rows, {"k": [1, 2], "total": [target, 1.0]}, check)
    assert (result.passed, result.failed_count) == (passed, 0 if passed else 1)


LARGE = Decimal("99999999999999999999999999.10")


@pytest.mark.parametrize(
    ("source", "target", "allowed", "passed"),
    [
        (2**62, 2**62 + 1, 1, True),
        (2**62, 2**62 + 2, 1, False),
        (-(2**62), -(2**62) - 2, 1, False),
        (2**63 - 1, -(2**63), 1, False),
        (2.0**62, 2**62 + 1, 1, True),
        (2.0**62, 2**62 + 2, 1, False),
        (2**62 + 2, 2.0**62, 1, False),
        (LARGE, LARGE + Decimal("0.20"), 0.25, True),
        (LARGE, LARGE + Decimal("0.30"), 0.25, False),
        (LARGE, -LARGE, 0.25, False),
        (1e300, 1.0000001e300, 1e290, False),
    ],
)
def test_an_absolute_tolerance_counts_with_all_digits(reconcile, source, target, allowed, passed):
    sides = [{"v": pa.array([v], TYPES[type(v)])} for v in (source, target)]
    check = AggregateConsistencyCheck("bronze.source", "v", "SUM(v)", absolute_tolerance=allowed)
    assert reconcile(*sides, check).passed is passed


TYPES = {int: pa.int64(), float: pa.float64(), Decimal: pa.decimal128(38, 2)}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT INTERVAL '36' HOUR", timedelta(days=1, hours=12)),
        ("SELECT map(ARRAY['a'], ARRAY[1])", {"a": 1}),
        ("SELECT max(f) FROM bronze.events", 0.1),
    ],
)
def test_a_result_of_any_type_is_shown_as_python_writes_it(judge, query, expected):
    table = pa.table({"f": pa.array([0.1], pa.float32())})
    result = judge(table, CustomSQLCheck(query, expected))
    assert (result.passed, result.message) == (
        True,
        f"The query gave {expected}; {expected} expected.",
    )


@pytest.mark.parametrize("is_swapped", [False, True])
@pytest.mark.parametrize(
    "check",
    [
        ChecksumReconciliationCheck("bronze.source", key_columns=["k"]),
        KeyParityCheck("bronze.source", key_columns=["id"]),
        AggregateConsistencyCheck("bronze.source", "id", "MAX(id)", group_by=["k"]),
        AggregateConsistencyCheck("bronze.source", "k", "COUNT(*)", group_by=["id"]),
    ],
)
@pytest.mark.parametrize("digits", [ABOVE, 1234567890123456789, -ABOVE])
def test_ids_that_lost_digits_in_a_double_differ(reconcile, check, digits, is_swapped):
    exact, lossy = {"k": [1], "id": [digits]}, {"k": [1], "id": [float(digits)]}
    pair = (lossy, exact) if is_swapped else (exact, lossy)
    assert reconcile(*pair, check).status == "failed"
    exact["id"] = [int(float(digits))]
    assert reconcile(*((lossy, exact) if is_swapped else (exact, lossy)), check).passed


def test_a_decimal_equals_the_double_of_its_value(reconcile):
    decimals = pa.array([Decimal("1.10"), Decimal("-0.50"), Decimal("3.00")], pa.decimal128(10, 2))
    check = ChecksumReconciliationCheck("bronze.source", key_columns=["k"])
    rows = {"k": [1, 2, 3], "v": decimals}
    assert reconcile(rows, {"k": [1, 2, 3], "v": [1.1, -0.5, 3.0]}, check).passed
    assert reconcile(rows, {"k": [1, 2, 3], "v": [1.1, -0.5, 3.5]}, check).failed_count == 1


def test_keys_of_different_kinds_are_told_and_not_paired(reconcile):
    check = KeyParityCheck("bronze.source", key_columns=["id"])
    result = reconcile({"id": [1]}, {"id": ["1"]}, check)
    assert result.status == "could_not_run"
    assert "int64 in bronze.source" in result.message or "string in bronze" in result.message


@pytest.mark.parametrize(
    ("result", "expected", "same"),
    [
        (Decimal("1.10"), 1.1, True),
        (Decimal("0.3"), 0.1 * 3, True),
        (Decimal("1.11"), 1.1, False),
        (Decimal(ABOVE), float(ABOVE), False),
        (ABOVE, float(ABOVE), False),
        (1.1, Decimal("1.1"), True),
        (NAN, NAN, True),
        (NAN, 1.0, False),
        (1.0, NAN, False),
        (Decimal(1), NAN, False),
        (INF, INF, True),
        (INF, 1e308, False),
        (None, None, True),
        (None, NAN, False),
        (0, None, False),
    ],
)
def test_a_result_is_compared_as_the_number_that_is_meant(result, expected, same):
    assert is_same(result, expected) is same


def test_custom_sql_compares_columns_of_every_numeric_type(judge):
    rows = {
        "p": pa.array([Decimal("0.60"), Decimal("0.50")], pa.decimal128(10, 2)),
        "x": [1.0, NAN],
        "f": pa.array([0.1, 0.1], pa.float32()),
    }
    queries = {"sum(p)": 1.1, "sum(x)": NAN, "max(f)": 0.1}
    checks = [
        CustomSQLCheck(f"SELECT {value} FROM bronze.events -- all", expected, value)
        for value, expected in queries.items()
    ]
    assert [r.status for r in judge(rows, *checks)] == ["passed"] * 3


def test_custom_sql_names_the_types_of_values_that_look_alike(judge):
    result = judge({"d": [1]}, CustomSQLCheck("SELECT DATE '2025-01-15'", "2025-01-15"))
    assert result.message == "The query gave 2025-01-15 (date); 2025-01-15 (str) expected."


@pytest.mark.parametrize(("missing", "rows", "share"), [(1, 3, 1 / 3), (3, 10, 0.7 - 0.4)])
def test_a_computed_share_allows_what_it_says(judge, missing, rows, share):
    values = pa.array([None] * missing + [1] * (rows - missing), pa.int64())
    assert judge({"v": values}, NullCheck(["v"], allow_threshold=share)).passed
    values = pa.array([None] * (missing + 1) + [1] * (rows - missing - 1), pa.int64())
    assert judge({"v": values}, NullCheck(["v"], allow_threshold=share)).status == "failed"


def test_numbers_are_compared_with_a_32_bit_float_as_such(judge):
    rows = {"f": pa.array([0.1, 0.2, 0.3], pa.float32())}
    checks = [
        AcceptedValuesCheck("f", [0.1, 0.2, 0.3]),
        RangeCheck("f", min_value=0.1, max_value=0.3),
        RangeCheck("f", max_value=0.29, name="below"),
    ]
    assert [r.failed_count for r in judge(rows, *checks)] == [0, 0, 1]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([Decimal("0.00"), Decimal("5.00"), Decimal("7.25")], pa.decimal128(10, 2)),
        pa.array([0, 5, 7], pa.int64()),
        pa.array([0.0, 5.0, 7.25], pa.float64()),
        pa.array([0.0, 5.0, 7.25], pa.float32()),
    ],
)
@pytest.mark.parametrize(
    ("bounds", "outside"),
    [
        ({"min_value": 1e-45}, 1),
        ({"min_value": -1e-45}, 0),
        ({"max_value": 10**400}, 0),
        ({"min_value": -(10**400), "max_value": 6}, 1),
        ({"min_value": 10**400}, 3),
        ({"max_value": 4.999}, 2),
    ],
)
def test_bounds_with_more_digits_than_the_column_are_exact(judge, column, bounds, outside):
    assert judge({"v": column}, RangeCheck("v", **bounds)).failed_count == outside


@pytest.mark.parametrize("values", [[INF, 1.0, 2.0, 1.0], [-INF, INF, 1.0], [0.1, 0.3, 0.1]])
@pytest.mark.parametrize("kind", [pa.float64(), pa.float32()])
def test_a_suggested_suite_can_be_imported_and_passes(lake, values, kind):
    lake.write(SOURCE, {"v": pa.array(values, kind)})
    code = suggest_suite(SOURCE, open_lake())
    names = {}
    exec(code, names)
    assert "inf" not in code
    suite = names["source_quality"].__phlo_spec__
    results = suite.evaluate(lake, lake.store)
    assert [r.status for r in results] == ["passed"] * len(results)


def test_comments_in_a_users_text_end_where_it_ends(reconcile):
    check = AggregateConsistencyCheck(
        "bronze.source",
        "total",
        "SUM(amount) -- all of them",
        group_by=["k"],
        where_clause="k = 1 -- ours",
    )
    rows = {"k": [1, 2], "amount": [5, 6]}
    assert reconcile(rows, {"k": [1, 2], "total": [5, 0]}, check).passed


@pytest.mark.parametrize(
    "text", ["1=1) OR (1=1", "k = 1; SELECT 2", "k = 1 /* open", "", "SELECT 1", "k, v"]
)
def test_a_condition_that_is_no_single_expression_is_refused(text):
    with pytest.raises(InvalidArgumentError, match="where_clause"):
        KeyParityCheck("bronze.source", key_columns=["k"], where_clause=text)


class Dropping(QualityCheck):
    def execute(self, df: pd.DataFrame, context):
        df._update_inplace(df.iloc[:0])  # as df.drop(..., inplace=True) does, which warns
        return QualityCheckResult(passed=True)


class Exiting(QualityCheck):
    def execute(self, df: pd.DataFrame, context):
        raise SystemExit(3)


class PanicException(BaseException):
    """What a library written in Rust raises."""


class Panicking(QualityCheck):
    def execute(self, df: pd.DataFrame, context):
        raise PanicException("not implemented")


def test_a_custom_check_changes_no_other_result(judge):
    checks = [Dropping(), Exiting(), Panicking(), RangeCheck("v", max_value=2)]
    results = judge({"v": [1, 2, 3]}, *checks)
    assert [(r.status, r.row_count) for r in results] == [
        ("passed", 3),
        ("could_not_run", None),
        ("could_not_run", None),
        ("failed", 3),
    ]


@pytest.mark.parametrize(
    ("ahead", "passed"),
    [(timedelta(hours=14), True), (timedelta(hours=26), False), (timedelta(days=3650), False)],
)
def test_a_newest_value_in_the_future_hides_no_missing_data(judge, ahead, passed):
    now = datetime.now(UTC)
    rows = {"at": [now - timedelta(days=9), now + ahead]}
    result = judge(rows, FreshnessCheck("at", max_age_hours=24))
    assert result.passed is passed
    assert "hours ahead" in result.message


def test_a_column_of_times_of_day_is_named_where_it_cannot_be_compared(reconcile):
    rows = pa.table({"k": [1], "at": pa.array([1], pa.time64("us"))})
    result = reconcile(rows, rows, ChecksumReconciliationCheck(str(SOURCE), ["k"]))
    assert "Column 'at' of bronze.source cannot be compared" in result.message
