"""Reconciliation: planted differences are found, named, counted, and held against tolerances."""

import math
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from phlo.checks import CheckStatus
from phlo.errors import InvalidArgumentError, InvalidNameError
from phlo.names import Partition, TableName
from phlo_quality import phlo_quality
from phlo_quality.reconciliation import (
    AggregateConsistencyCheck,
    AggregateSpec,
    ChecksumReconciliationCheck,
    KeyParityCheck,
    MultiAggregateConsistencyCheck,
    ReconciliationCheck,
)

SOURCE, TARGET = TableName("silver", "stg"), TableName("gold", "fct")
DAY = Partition.parse("2025-01-15")


@pytest.fixture
def reconcile(lake, suite_of):
    """Write a source and a target, and judge the target by one check."""

    def judge_tables(source, target, check, partition=None):
        lake.write(SOURCE, source)
        lake.write(TARGET, target)
        suite = suite_of(check, table="gold.fct")
        return suite.evaluate(lake, lake.store, partition=partition)[0]

    return judge_tables


def ids(count):
    return pa.table({"id": pa.array(range(count), pa.int64())})


# -- row counts


@pytest.mark.parametrize(
    ("source", "target", "options", "status"),
    [
        (100, 100, {}, "passed"),
        (100, 99, {}, "failed"),
        (100, 101, {}, "failed"),
        (100, 98, {"tolerance": 0.02}, "passed"),
        (100, 97, {"tolerance": 0.02}, "failed"),
        (100, 71, {"tolerance": 0.29}, "passed"),
        (100, 97, {"tolerance": 0.02, "absolute_tolerance": 3}, "passed"),
        (100, 96, {"tolerance": 0.02, "absolute_tolerance": 3}, "failed"),
        (0, 3, {"tolerance": 1.0}, "failed"),
        (0, 3, {"absolute_tolerance": 3}, "passed"),
        (3, 0, {}, "failed"),
        (0, 0, {}, "skipped"),
        (100, 200, {"check_type": "rowcount_gte"}, "passed"),
        (100, 99, {"check_type": "rowcount_gte"}, "failed"),
        (100, 99, {"check_type": "rowcount_gte", "tolerance": 0.01}, "passed"),
    ],
)
def test_row_counts_agree_within_either_tolerance(reconcile, source, target, options, status):
    check = ReconciliationCheck(source_table="silver.stg", **options)
    result = reconcile(ids(source), ids(target), check)
    assert result.status == status
    if status != "skipped":
        assert result.metrics["source_rows"] == source
        assert result.metrics["target_rows"] == target
        assert result.row_count == source + target


def test_a_difference_of_row_counts_is_told_in_words(reconcile):
    check = ReconciliationCheck("silver.stg", tolerance=0.02, absolute_tolerance=50)
    result = reconcile(ids(10_000), ids(9_000), check)
    assert result.message == (
        "gold.fct has 9,000 rows, silver.stg 10,000; allowed difference: 0.02 of the source or 50."
    )


def days(*counts):
    rows = [date(2025, 1, 14 + n) for n, count in enumerate(counts) for _ in range(count)]
    return {"day": pa.array(rows, pa.date32()), "id": pa.array(range(len(rows)), pa.int64())}


def test_each_side_that_has_the_partition_column_is_narrowed(reconcile):
    check = ReconciliationCheck("silver.stg", partition_column="day")
    both = reconcile(days(1, 4), days(2, 4), check, DAY)
    assert both.passed
    assert both.scope == "partition 2025-01-15 of silver.stg and gold.fct"
    one = reconcile(days(1, 4), ids(4), check, DAY)
    assert (one.passed, one.scope) == (True, "partition 2025-01-15 of silver.stg")
    whole = reconcile(days(1, 4), days(2, 4), check)
    assert (whole.passed, whole.scope) == (False, "table")


def test_a_condition_narrows_both_sides(reconcile):
    check = ReconciliationCheck("silver.stg", where_clause="id < 3 OR id IS NULL")
    assert reconcile(ids(10), ids(3), check).passed


def test_the_target_may_be_a_third_table(reconcile, lake):
    lake.write(TableName("gold", "other"), ids(7))
    check = ReconciliationCheck("silver.stg", target_table="gold.other")
    result = reconcile(ids(7), ids(1), check)
    assert (result.passed, result.metrics["target_table"]) == (True, "gold.other")


# -- keys


def test_keys_missing_on_either_side_are_named(reconcile):
    source = {"a": [1, 2, None, 4], "b": ["x", "x", "y", None]}
    target = {"a": [1, 2, None, 5], "b": ["x", "X", "y", None]}
    result = reconcile(source, target, KeyParityCheck("silver.stg", key_columns=["a", "b"]))
    assert (result.status, result.failed_count) == ("failed", 4)
    assert [(r["a"], r["b"], r["source_rows"], r["target_rows"]) for r in result.sample] == [
        (2, "X", 0, 1),
        (2, "x", 1, 0),
        (4, None, 1, 0),
        (5, None, 0, 1),
    ]
    assert (result.metrics["missing_in_target"], result.metrics["missing_in_source"]) == (2, 2)


def test_the_sql_of_a_failure_finds_all_keys(reconcile, lake):
    result = reconcile(ids(100), ids(50), KeyParityCheck("silver.stg", key_columns=["id"]))
    assert (result.failed_count, len(result.sample)) == (50, 20)
    assert len(lake.query(result.sql).read_all()) == 50


@pytest.mark.parametrize(
    ("target", "options", "status"),
    [
        (100, {}, "passed"),
        (99, {"tolerance": 0.01}, "passed"),
        (98, {"tolerance": 0.01}, "failed"),
        (98, {"absolute_tolerance": 2}, "passed"),
        (0, {}, "failed"),
    ],
)
def test_tolerances_are_about_the_number_of_keys(reconcile, target, options, status):
    check = KeyParityCheck("silver.stg", key_columns=["id"], **options)
    assert reconcile(ids(100), ids(target), check).status == status


def test_how_often_a_key_occurs_is_no_matter_of_key_parity(reconcile):
    check = KeyParityCheck("silver.stg", key_columns=["id"])
    assert reconcile({"id": [1, 1, 2]}, {"id": [1, 2, 2]}, check).passed
    assert reconcile({"id": pa.array([], pa.int64())}, {"id": [1]}, check).failed_count == 1
    nothing = pa.table({"id": pa.array([], pa.int64())})
    assert reconcile(nothing, nothing, check).status == "skipped"


# -- aggregates

EVENTS = {"day": ["mon", "mon", "tue", None], "amount": [1.5, 2.5, 3.0, 4.0]}


def daily(**options):
    return AggregateConsistencyCheck("silver.stg", "total", "COUNT(*)", group_by=["day"], **options)


def totals(*rows):
    return {
        "day": pa.array([day for day, _ in rows], pa.string()),
        "total": pa.array([total for _, total in rows], pa.int64()),
    }


def test_groups_agree_and_null_is_a_group_too(reconcile):
    result = reconcile(EVENTS, totals(("mon", 2), ("tue", 1), (None, 1)), daily())
    assert (result.status, result.failed_count) == ("passed", 0)
    assert (result.metrics["group_count"], result.row_count) == (3, 7)


@pytest.mark.parametrize(
    ("rows", "bad"),
    [
        ([("mon", 3), ("tue", 1), (None, 1)], ("mon", 2, 3)),
        ([("mon", None), ("tue", 1), (None, 1)], ("mon", 2, None)),
        ([("tue", 1), (None, 1)], ("mon", 2, None)),
        ([("mon", 2), ("tue", 1), (None, 1), ("wed", 0)], ("wed", None, 0)),
        ([("mon", 2), ("mon", 2), ("tue", 1), (None, 1)], ("mon", 2, 4)),
    ],
)
def test_a_group_that_differs_is_named_with_both_values(reconcile, rows, bad):
    result = reconcile(EVENTS, totals(*rows), daily())
    assert (result.status, result.failed_count) == ("failed", 1)
    (row,) = result.sample
    assert (row["day"], row["source total"], row["target total"]) == bad


def test_a_tolerance_spares_values_and_no_missing_group(reconcile):
    rows = [("mon", 3), ("tue", 1), (None, 1)]
    assert reconcile(EVENTS, totals(*rows), daily(absolute_tolerance=1)).passed
    assert reconcile(EVENTS, totals(*rows), daily(tolerance=0.5)).passed
    assert not reconcile(EVENTS, totals(*rows), daily(tolerance=0.49)).passed
    assert not reconcile(EVENTS, totals(*rows[:2]), daily(absolute_tolerance=9)).passed
    null = [("mon", None), *rows[1:]]
    assert not reconcile(EVENTS, totals(*null), daily(absolute_tolerance=9)).passed


def test_several_aggregates_tell_which_of_them_differ(reconcile):
    check = MultiAggregateConsistencyCheck(
        source_table="silver.stg",
        aggregates=[
            AggregateSpec("row_count", "COUNT(*)", "total"),
            AggregateSpec(name="total_amount", expression="SUM(amount)", target_column="amount"),
        ],
        group_by=["day"],
    )
    target = totals(("mon", 2), ("tue", 1), (None, 1)) | {"amount": [4.0, 3.5, 4.0]}
    result = reconcile(EVENTS, target, check)
    assert result.metrics["differing_by_aggregate"] == {"row_count": 0, "total_amount": 1}
    assert [(r["day"], r["target total_amount"]) for r in result.sample] == [("tue", 3.5)]
    assert "(total_amount in 1)" in result.message


def test_without_groups_totals_are_compared(reconcile):
    check = AggregateConsistencyCheck("silver.stg", "total", "COUNT(*)")
    assert reconcile(EVENTS, totals(("a", 3), ("b", 1)), check).passed
    failed = reconcile(EVENTS, totals(("a", 3)), check)
    assert [dict(row) for row in failed.sample] == [
        {"source total": 4, "target total": 3, "source_rows": 4, "target_rows": 1}
    ]


def test_aggregates_may_be_days(reconcile):
    source = {"k": ["a", "a"], "day": [date(2025, 1, 1), date(2025, 1, 2)]}
    check = AggregateConsistencyCheck("silver.stg", "last_day", "MAX(day)", group_by=["k"])
    assert reconcile(source, {"k": ["a"], "last_day": [date(2025, 1, 2)]}, check).passed
    assert not reconcile(source, {"k": ["a"], "last_day": [date(2025, 1, 1)]}, check).passed


def test_a_missing_column_could_not_run_and_names_the_table(reconcile):
    result = reconcile({"dy": ["mon"]}, totals(("mon", 1)), daily())
    assert result.status is CheckStatus.COULD_NOT_RUN
    assert "silver.stg has no column 'day'" in result.message


# -- checksums

CONTENT = {
    "id": [1, 2, 3],
    "text": ["a", "", None],
    "n": [1, None, 3],
    "x": [0.1, 0.0, math.nan],
    "at": pa.array([datetime(2025, 1, 1, tzinfo=UTC)] * 3, pa.timestamp("us", tz="UTC")),
    "day": [date(2025, 1, 1)] * 3,
    "yes": [True, False, None],
    "price": pa.array([Decimal("1.50")] * 3, pa.decimal128(10, 2)),
    "_phlo_run_id": ["r1", "r1", "r1"],
}
SAME_VALUES = CONTENT | {
    "n": pa.array([1, None, 3], pa.int32()),
    "x": [0.1, -0.0, math.nan],
    "at": pa.array([datetime(2025, 1, 1)] * 3, pa.timestamp("us")),
    "price": pa.array([Decimal("1.5000")] * 3, pa.decimal128(20, 4)),
    "_phlo_run_id": ["r2", "r2", "r2"],
}


def checksum(**options):
    return ChecksumReconciliationCheck("silver.stg", key_columns=["id"], **options)


@pytest.mark.parametrize("algorithm", ["xxhash64", "md5", "sha256"])
def test_equal_values_have_equal_checksums_whatever_their_types(reconcile, algorithm):
    check = checksum(hash_algorithm=algorithm)
    assert reconcile(CONTENT, CONTENT, check).passed
    assert reconcile(CONTENT, SAME_VALUES, check).passed


@pytest.mark.parametrize("algorithm", ["xxhash64", "md5", "sha256"])
@pytest.mark.parametrize(
    ("column", "row", "value"),
    [
        ("text", 0, "A"),
        ("text", 1, None),
        ("text", 2, ""),
        ("n", 0, 0),
        ("n", 1, 0),
        ("x", 0, 0.1000000000000001),
        ("x", 2, None),
        ("at", 0, datetime(2025, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
        ("day", 0, date(2025, 1, 2)),
        ("yes", 2, False),
        ("price", 0, Decimal("1.51")),
    ],
)
def test_one_changed_cell_is_found_and_named(reconcile, algorithm, column, row, value):
    source = pa.table(CONTENT)
    cells = source.column(column).to_pylist()
    cells[row] = value
    position = source.column_names.index(column)
    target = source.set_column(position, column, pa.array(cells, source.schema.field(column).type))
    result = reconcile(source, target, checksum(hash_algorithm=algorithm))
    assert (result.status, result.failed_count) == ("failed", 1)
    assert [r["id"] for r in result.sample] == [row + 1]


def test_values_of_neighbouring_columns_are_not_confused(reconcile):
    source = {"id": [1, 2], "a": ["x", "1:"], "b": ["yz", "n"]}
    target = {"id": [1, 2], "a": ["xy", "1"], "b": ["z", ":n"]}
    assert reconcile(source, target, checksum()).failed_count == 2


def test_only_the_columns_named_are_compared(reconcile):
    source = {"id": [1], "a": ["x"], "b": ["y"]}
    target = {"id": [1], "a": ["x"], "b": ["z"]}
    assert reconcile(source, target, checksum(columns=["a"])).passed
    assert not reconcile(source, target, checksum(columns=["b"])).passed


def test_repeated_keys_agree_when_their_rows_occur_equally_often(reconcile):
    rows = {"id": [1, 1, 1], "a": ["x", "x", "y"]}
    assert reconcile(rows, {"id": [1, 1, 1], "a": ["y", "x", "x"]}, checksum()).passed
    other = reconcile(rows, {"id": [1, 1, 1], "a": ["y", "y", "x"]}, checksum())
    assert [(r["id"], r["source_rows"], r["target_rows"]) for r in other.sample] == [(1, 3, 3)]


def test_a_key_that_one_side_lacks_differs(reconcile):
    result = reconcile({"id": [1, 2], "a": ["x", "y"]}, {"id": [1, 3], "a": ["x", "y"]}, checksum())
    assert sorted(row["id"] for row in result.sample) == [2, 3]
    within = checksum(absolute_tolerance=2)
    assert reconcile(
        {"id": [1, 2], "a": ["x", "y"]}, {"id": [1, 3], "a": ["x", "y"]}, within
    ).passed


def test_columns_of_different_kinds_cannot_be_compared(reconcile):
    result = reconcile({"id": [1], "a": ["1"]}, {"id": [1], "a": [1]}, checksum())
    assert result.status is CheckStatus.COULD_NOT_RUN
    assert "Column 'a' cannot be compared" in result.message


MILLION = pa.array(range(1_000_000), pa.int64())


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["xxhash64", "md5", "sha256"])
def test_one_changed_value_among_a_million_is_found_with_few_rows_fetched(
    reconcile, lake, algorithm
):
    changed = pc.if_else(pc.equal(MILLION, 123_456), -1, MILLION)
    result = reconcile(
        pa.table({"id": MILLION, "v": MILLION}),
        pa.table({"id": MILLION, "v": changed}),
        checksum(hash_algorithm=algorithm),
    )
    assert (result.status, result.failed_count, result.row_count) == ("failed", 1, 2_000_000)
    assert [row["id"] for row in result.sample] == [123_456]
    assert lake.fetched_rows <= 20


@pytest.mark.slow
def test_one_missing_key_among_a_million_is_found_with_few_rows_fetched(reconcile, lake):
    target = pa.table({"id": MILLION.filter(pc.not_equal(MILLION, 654_321))})
    check = KeyParityCheck("silver.stg", key_columns=["id"])
    result = reconcile(pa.table({"id": MILLION}), target, check)
    assert (result.status, result.failed_count) == ("failed", 1)
    assert [(r["id"], r["source_rows"], r["target_rows"]) for r in result.sample] == [
        (654_321, 1, 0)
    ]
    assert lake.fetched_rows <= 20


def test_all_rows_differing_fetches_no_more_than_the_sample(reconcile, lake):
    source = pa.table({"id": range(1000), "v": range(1000)})
    target = pa.table({"id": range(1000), "v": range(1, 1001)})
    result = reconcile(source, target, checksum())
    assert (result.failed_count, len(result.sample)) == (1000, 20)
    assert lake.fetched_rows <= 25


# -- arguments and the guide


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: ReconciliationCheck("a.b", check_type="equal"), "check_type"),
        (lambda: ReconciliationCheck("a.b", tolerance=1.5), "tolerance"),
        (lambda: ReconciliationCheck("a.b", absolute_tolerance=-1), "absolute_tolerance"),
        (lambda: ReconciliationCheck("a.b", where_clause=" "), "where_clause"),
        (lambda: ReconciliationCheck("a.b", partition_column=""), "partition_column"),
        (lambda: KeyParityCheck("a.b", key_columns="id"), "key_columns"),
        (lambda: AggregateConsistencyCheck("a.b", "", "COUNT(*)"), "aggregate_column"),
        (lambda: AggregateConsistencyCheck("a.b", "n", " "), "expression"),
        (lambda: MultiAggregateConsistencyCheck("a.b", aggregates=[]), "aggregates"),
        (
            lambda: MultiAggregateConsistencyCheck(
                "a.b", [AggregateSpec("n", "COUNT(*)", "x"), AggregateSpec("n", "SUM(y)", "y")]
            ),
            "aggregates",
        ),
        (
            lambda: ChecksumReconciliationCheck("a.b", ["id"], hash_algorithm="crc"),
            "hash_algorithm",
        ),
    ],
)
def test_a_wrong_argument_is_refused(make, argument):
    with pytest.raises(InvalidArgumentError) as caught:
        make()
    assert caught.value.argument == argument


def test_tables_are_named_whole_and_unknown_arguments_refused():
    with pytest.raises(InvalidNameError):
        ReconciliationCheck("stg")
    with pytest.raises(TypeError, match="takes no argument 'tolerence'"):
        ReconciliationCheck("a.b", tolerence=1)


def test_the_checks_of_the_guide_are_declared_as_written():
    checks = [
        ReconciliationCheck(
            source_table="silver.stg_github_events",
            partition_column="_phlo_partition_date",
            check_type="rowcount_parity",
            tolerance=0.02,
            absolute_tolerance=50,
        ),
        AggregateConsistencyCheck(
            source_table="silver.stg_github_events",
            aggregate_column="total_events",
            source_expression="COUNT(*)",
            group_by=["activity_date"],
            partition_column="_phlo_partition_date",
            tolerance=0.0,
            absolute_tolerance=5,
        ),
        ChecksumReconciliationCheck(
            source_table="silver.stg_github_events",
            target_table="gold.fct_github_events",
            key_columns=["event_id"],
            columns=["event_type", "actor_id", "repo_id"],
            partition_column="_phlo_partition_date",
            tolerance=0.0,
            absolute_tolerance=10,
            hash_algorithm="xxhash64",
        ),
    ]

    @phlo_quality(table="gold.fct_github_events", checks=checks)
    def github():
        pass
