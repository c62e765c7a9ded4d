"""For every rule: rows that keep it, then one cell changed, and exactly that rule names the row."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from phlo.checks import CheckStatus
from phlo.names import TableName
from phlo_quality import (
    AcceptedValuesCheck,
    CountCheck,
    NullCheck,
    PatternCheck,
    RangeCheck,
    RelationshipCheck,
    UniqueCheck,
)

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("value", pa.float64()),
        ("qty", pa.int64()),
        ("price", pa.decimal128(10, 2)),
        ("day", pa.date32()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("local", pa.timestamp("us")),
        ("zip", pa.string()),
        ("country", pa.string()),
        ('we"ird ünïcode', pa.string()),
    ]
)
GOOD = [
    {
        "id": f"e{n}",
        "value": float(n),
        "qty": n,
        "price": Decimal(n),
        "day": date(2025, 1, 1 + n),
        "at": datetime(2025, 1, 1, n, tzinfo=UTC),
        "local": datetime(2025, 1, 1, n),
        "zip": f"1000{n}",
        "country": "DE",
        'we"ird ünïcode': "x",
    }
    for n in range(4)
]
ODD = 'we"ird ünïcode'
CHECKS = {
    "null": NullCheck(columns=["value"]),
    "null_of_two": NullCheck(columns=["country", ODD]),
    "range": RangeCheck(column="value", min_value=0, max_value=3),
    "range_of_whole_numbers": RangeCheck(column="qty", min_value=-0.5, max_value=3.5),
    "range_of_decimals": RangeCheck(column="price", max_value=3.1),
    "range_of_days": RangeCheck(column="day", min_value=date(2025, 1, 1)),
    "range_of_moments": RangeCheck(column="at", max_value=datetime(2025, 1, 1, 3)),
    "range_of_local_times": RangeCheck(column="local", max_value=date(2025, 1, 2)),
    "unique": UniqueCheck(columns=["id"]),
    "unique_pair": UniqueCheck(columns=["qty", ODD]),
    "pattern": PatternCheck(column="zip", pattern=r"\d{5}|none"),
    "accepted": AcceptedValuesCheck(column="country", values=["DE", "it's"]),
    "accepted_numbers": AcceptedValuesCheck(column="price", values=[0, 1, 2.0, Decimal(3), 3.1]),
    "accepted_odd_name": AcceptedValuesCheck(column=ODD, values=["x", "y"]),
    "relationship": RelationshipCheck(column="country", to_table="ref.geo", to_column="co de"),
}
MUTATIONS = [
    ("value", None, {"null"}),
    ("value", float("nan"), {"null"}),
    ("value", 3.0000000001, {"range"}),
    ("value", -0.0000001, {"range"}),
    ("value", float("inf"), {"range"}),
    ("value", 3.0, set()),
    ("qty", 4, {"range_of_whole_numbers"}),
    ("qty", -1, {"range_of_whole_numbers"}),
    ("qty", None, set()),
    ("qty", 0, {"unique_pair"}),
    ("price", Decimal("3.10"), set()),
    ("price", Decimal("3.11"), {"range_of_decimals", "accepted_numbers"}),
    ("day", date(2024, 12, 31), {"range_of_days"}),
    ("at", datetime(2025, 1, 1, 3, 0, 0, 1, tzinfo=UTC), {"range_of_moments"}),
    ("local", datetime(2025, 1, 2), set()),
    ("local", datetime(2025, 1, 2, 0, 0, 0, 1), {"range_of_local_times"}),
    ("id", "e0", {"unique"}),
    ("id", None, set()),
    ("id", "E0", set()),
    ("zip", "1000", {"pattern"}),
    ("zip", "10000\n", {"pattern"}),
    ("zip", "x10000", {"pattern"}),
    ("zip", "nonesuch", {"pattern"}),
    ("zip", "", {"pattern"}),
    ("zip", "none", set()),
    ("zip", None, set()),
    ("country", "it's", {"relationship"}),
    ("country", "FR", {"accepted"}),
    ("country", "de", {"accepted", "relationship"}),
    ("country", None, {"null_of_two"}),
    (ODD, "z", {"accepted_odd_name"}),
    (ODD, None, {"null_of_two"}),
]


@pytest.fixture
def verdicts(lake, judge):
    lake.write(TableName("ref", "geo"), {"co de": ["DE", "FR", None]})

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
