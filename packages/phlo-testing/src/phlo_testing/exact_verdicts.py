"""A conformance suite for verdicts on numbers: they equal a plain oracle on exact Python values.

A test module inherits it, and says how rows are judged, on which engines.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phlo_quality import (
    AcceptedValuesCheck,
    AggregateConsistencyCheck,
    AggregateSpec,
    ChecksumReconciliationCheck,
    CountCheck,
    CustomSQLCheck,
    DistributionCheck,
    FreshnessCheck,
    KeyParityCheck,
    MultiAggregateConsistencyCheck,
    NullCheck,
    PatternCheck,
    RangeCheck,
    ReconciliationCheck,
    RelationshipCheck,
    SchemaCheck,
    UniqueCheck,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from phlo.checks import CheckResult

    Judge = Callable[..., list[CheckResult]]

SOURCE = "bronze.source"
"""The table that pairs are reconciled with."""

KINDS = {
    "n": pa.int64(),
    "x": pa.float64(),
    "f": pa.float32(),
    "p": pa.decimal128(10, 2),
}
VALUES = {
    "n": [0, 1, -1, 3, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)],
    "x": [0.0, -0.0, 0.1, 1.0, 3.0, math.nan, math.inf, -math.inf, 2.0**53, 5e-324],
    "f": [0.0, 0.1, 0.3, 1.0, math.nan, math.inf],
    "p": [Decimal("0.00"), Decimal("0.10"), Decimal("1.00"), Decimal("-99999999.99")],
}
BOUNDS = [0, 0.1, 1, Decimal("0.3"), 2**53, float(2**53), -1e-45, math.inf, 10**400]
SHARES = [0.0, 1 / 3, 0.7 - 0.4, 1.0]
TEXTS = [
    *("", "a", "A", "ab", "a b", "a\n", "é", "e\u0301", "😀", "٣", "12", "x'y", 'q"', "\t", "-_.&"),
    *("\x85", "\x07", "\xff"),
]
PATTERNS = [
    *(r"\w+", r"\W*", r"\d*", r"\D+", r"\s?\S+", r"\S*\s", r"[^a]+", r"[\w.&~-]*", "a|b", "."),
    *(r"(a)\1?b?", "(?=a).*", ".*", r"[^\x00-\x7f]+", r"[\x80-\xff]", "x'y", "^a$", r"[ab]{1,2}\Z"),
    *(r"[\t\v\a\"'-]+", "(?i)é|a", r"\[|a", r"(?s).+"),
]
MOMENTS = [
    *(datetime(1, 1, 1), datetime(1883, 11, 18, 12), datetime(2024, 2, 29, 23, 59, 59, 999999)),
    *(datetime(2025, 3, 30, 1), datetime(2025, 3, 30), datetime(9999, 12, 31, 23, 59, 59, 999999)),
]
TIMES = {
    "day": pa.date32(),
    "at": pa.timestamp("us"),
    "zoned": pa.timestamp("us", "UTC"),
}
TERMS = {
    "n": [0, 1, -3, 2**53 + 1, -(2**53) - 1, 10**17],
    "x": [0.0, -0.5, 1.5, 2.0**40, math.nan, math.inf, -math.inf],
    "p": [Decimal("0.00"), Decimal("0.10"), Decimal("-3.30"), Decimal("99999999.99")],
}
"""Numbers whose sums are the same in every order."""
FEW = settings(
    max_examples=int(os.environ.get("PHLO_VERDICTS", "6")),
    deadline=None,
    database=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.differing_executors,
        HealthCheck.too_slow,
    ],
)


@st.composite
def columns(draw: st.DrawFn) -> tuple[str, list[Any], Any, Any, float]:
    """Return a column's name, its rows, two bounds, and a share of rows that may fail."""
    name = draw(st.sampled_from(list(KINDS)))
    rows = draw(st.lists(st.none() | st.sampled_from(VALUES[name]), min_size=1, max_size=6))
    low, high = sorted(draw(st.tuples(*[st.sampled_from(BOUNDS)] * 2)), key=exact)
    return name, rows, low, high, draw(st.sampled_from(SHARES))


def exact(value: Any) -> Any:
    """Return the number that is meant: a float stands for the digits it is written with."""
    if isinstance(value, float) and not math.isfinite(value):
        return value
    return Fraction(repr(value)) if isinstance(value, float) else Fraction(value)


def held(name: str, value: Any) -> Any:
    """Return a number as a column of 32-bit or 64-bit floats holds it; others hold it as it is."""
    if name == "f" and abs(value) < 1e38:
        return exact(struct.unpack("f", struct.pack("f", float(value)))[0])
    if name in "xf" and abs(value) > 1e308:
        return math.copysign(math.inf, 1 if value > 0 else -1)
    return exact(float(value)) if name in "xf" else exact(value)


def has_value(value: Any) -> bool:
    """Return whether it is neither null nor NaN."""
    return value is not None and not (isinstance(value, float) and math.isnan(value))


@st.composite
def pairs(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """Return a number on each side, of numeric types that may differ."""
    kinds = draw(st.tuples(*[st.sampled_from(["n", "x", "p"])] * 2))
    return [(kind, draw(st.none() | st.sampled_from(VALUES[kind]))) for kind in kinds]


def is_same(left: Any, right: Any) -> bool:
    """Compare: null equals null, NaN equals NaN, numbers are equal with all their digits."""
    if not has_value(left) or not has_value(right):
        return (left is None) is (right is None) and has_value(left) is has_value(right)
    return exact(left) == exact(right)


@st.composite
def sums(draw: st.DrawFn) -> tuple[str, list[tuple[str, Any]], dict[str, Any]]:
    """Return a column's name, terms by group, and the sum that the target has of each group."""
    name = draw(st.sampled_from(list(TERMS)))
    term = st.none() | st.sampled_from(TERMS[name])
    source = draw(st.lists(st.tuples(st.sampled_from("ab"), term), min_size=1, max_size=5))
    groups = draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True))
    target = {}
    for group in groups:
        total = sum_of([v for g, v in source if g == group])
        moved = [total + step for step in STEPS[name]] if total is not None else []
        target[group] = draw(st.sampled_from([total, None, *TERMS[name], *moved]))
    return name, source, target


STEPS = {
    "n": [1, -1, 10],
    "x": [0.5, -1.0, 10.0],
    "p": [Decimal("0.01"), Decimal("-1.00"), Decimal("10.00")],
}


def sum_of(terms: Sequence[Any]) -> Any:
    """Return the sum of the values, which is null where there are none."""
    present = [v for v in terms if v is not None]
    return sum(present[1:], present[0]) if present else None


def is_near(source: Any, target: Any, share: float, absolute: float) -> bool:
    """Return whether a target is equal to its source, or within a tolerance of it."""
    if is_same(source, target):
        return True
    numbers = [v for v in (source, target) if has_value(v) and math.isfinite(v)]
    if len(numbers) < 2 or not (share or absolute):
        return False
    allowed = max(Fraction(str(absolute)), Fraction(str(share)) * abs(exact(source)))
    return abs(exact(target) - exact(source)) <= allowed * (1 + Fraction(1, 10**12))


def shares_of(rows: Sequence[Any], cuts: Sequence[Any]) -> list[Fraction]:
    """Return the share of rows with each value, or at or below each number."""
    if cuts and has_value(cuts[0]) and not isinstance(cuts[0], str | bool):
        return [Fraction(sum(v <= cut for v in rows), len(rows)) for cut in cuts]
    counts = Counter(rows)
    return [Fraction(counts[cut], len(rows)) for cut in cuts]


def cuts_of(
    before: Sequence[Any], judged: Sequence[Any], percentiles: Sequence[float]
) -> list[Any]:
    """Return where shares are compared: at each value, or at the percentiles of numbers."""
    if any(isinstance(v, str | bool) for v in [*before, *judged]):
        return list({*before, *judged})
    ranked = sorted(before)
    places = [min(math.floor(p * len(ranked)), len(ranked) - 1) for p in percentiles]
    return [ranked[place] for place in places]


class ExactVerdicts:
    """Inherit this; provide the fixtures ``judge_rows`` and ``write_source``.

    ``judge_rows(rows, *checks, **options)`` makes the table of rows and gives the results of the
    checks over all of it, or over ``partition``; ``write_source(rows)`` makes :data:`SOURCE`.

    Attributes:
        table: The table that is judged.
    """

    table: ClassVar[str] = "bronze.events"

    @given(column=columns())
    @FEW
    def test_row_rules_equal_an_oracle_of_exact_numbers(
        self, judge_rows: Judge, column: tuple[str, list[Any], Any, Any, float]
    ) -> None:
        """Draw a column, and hold the rules about its rows to exact numbers."""
        name, rows, low, high, share = column
        table = pa.table({name: pa.array(rows, KINDS[name])})
        present = [held(name, v) for v in rows if has_value(v)]
        accepted = [v for v in BOUNDS if abs(exact(v)) < 2**62][:4]
        outside = [v for v in present if v < held(name, low) or v > held(name, high)]
        strange = [v for v in present if v not in [held(name, a) for a in accepted]]
        repeated = [v for v in present if present.count(v) > 1]
        failed = [len(rows) - len(present), len(outside), len(strange), len(repeated)]
        checks = [
            NullCheck([name], allow_threshold=share),
            RangeCheck(name, low, high, allow_threshold=share),
            AcceptedValuesCheck(name, accepted, allow_threshold=share),
            UniqueCheck([name], allow_threshold=share),
        ]
        for result, count in zip(judge_rows(table, *checks), failed, strict=True):
            assert (result.row_count, result.failed_count) == (len(rows), count), result.message
            allowed = Fraction(str(share)) * len(rows) * (1 + Fraction(1, 10**12))
            assert result.passed is (count <= allowed), result.message

    @given(pair=pairs(), tolerance=st.sampled_from([0.0, 0.5]))
    @FEW
    def test_two_sides_agree_where_their_numbers_do(
        self,
        judge_rows: Judge,
        write_source: Callable[[pa.Table], None],
        pair: list[tuple[str, Any]],
        tolerance: float,
    ) -> None:
        """Draw a number for each side; they agree where the exact numbers do."""
        (kind, source), (other, target) = pair
        write_source(pa.table({"k": [1], "v": pa.array([source], KINDS[kind])}))
        table = pa.table({"k": [1], "v": pa.array([target], KINDS[other])})
        checks = [
            ChecksumReconciliationCheck(SOURCE, key_columns=["k"]),
            KeyParityCheck(SOURCE, key_columns=["v"]),
            AggregateConsistencyCheck(SOURCE, "v", "MAX(v)", group_by=["k"], tolerance=tolerance),
        ]
        same = is_same(source, target)
        is_near = same
        if not same and has_value(source) and has_value(target):
            distance = abs(float(target) - float(source))
            allowed = tolerance * abs(float(source))
            is_near = tolerance > 0 and distance < math.inf and distance <= allowed
        verdicts = [result.passed for result in judge_rows(table, *checks)]
        assert verdicts == [same, same, is_near], (source, target)

    @given(value=st.sampled_from([(k, v) for k, values in VALUES.items() for v in values]))
    @FEW
    def test_a_query_gives_the_number_that_is_expected(
        self, judge_rows: Judge, value: tuple[str, Any]
    ) -> None:
        """Judge a query that gives a number: it passes where that is expected, and nowhere else."""
        kind, number = value
        table = pa.table({"v": pa.array([number], KINDS[kind])})
        query = f"SELECT v FROM {self.table}"
        others = [v for v in [0, 0.5, 2**53, 2.0**53, math.nan] if not is_same(v, number)]
        checks = [CustomSQLCheck(query, v, f"value {n}") for n, v in enumerate([number, *others])]
        verdicts = [result.passed for result in judge_rows(table, *checks)]
        assert verdicts == [True] + [False] * len(others), number

    @given(
        rows=st.lists(st.none() | st.sampled_from(TEXTS), min_size=1, max_size=6),
        others=st.lists(st.none() | st.sampled_from(TEXTS), min_size=1, max_size=6),
        patterns=st.lists(st.sampled_from(PATTERNS), min_size=3, max_size=3, unique=True),
        count=st.integers(1, 6),
    )
    @FEW
    def test_rules_of_texts_and_counts_equal_an_oracle(
        self,
        judge_rows: Judge,
        write_source: Callable[[pa.Table], None],
        rows: list[str | None],
        others: list[str | None],
        patterns: list[str],
        count: int,
    ) -> None:
        """Draw texts, and hold patterns, lists, keys and partners to Python's."""
        write_source(pa.table({"o": pa.array(others, pa.string())}))
        present = [text for text in rows if text is not None]
        failed = [
            *(sum(re.fullmatch(pattern, text) is None for text in present) for pattern in patterns),
            sum(text not in TEXTS[:4] for text in present),
            sum(present.count(text) > 1 for text in present),
            sum(text not in others for text in present),
        ]
        checks = [
            *(PatternCheck("s", pattern, name=f"p{n}") for n, pattern in enumerate(patterns)),
            AcceptedValuesCheck("s", TEXTS[:4]),
            UniqueCheck(["s"]),
            RelationshipCheck("s", SOURCE, "o"),
            CountCheck(min_count=count),
            CountCheck(max_count=count, name="at_most"),
            ReconciliationCheck(SOURCE, absolute_tolerance=1),
        ]
        results = judge_rows(pa.table({"s": pa.array(rows, pa.string())}), *checks)
        counts = [result.failed_count for result in results[: len(failed)]]
        assert counts == failed, (rows, patterns)
        verdicts = [result.passed for result in results[len(failed) :]]
        is_close = abs(len(rows) - len(others)) <= 1
        assert verdicts == [len(rows) >= count, len(rows) <= count, is_close]

    @given(
        name=st.sampled_from(list(TIMES)),
        picks=st.lists(st.none() | st.sampled_from(MOMENTS), min_size=1, max_size=5),
        bounds=st.tuples(*[st.sampled_from(MOMENTS)] * 2),
        age=st.sampled_from([-87_600, -25, -23, 0.5, 30, 87_600]),
    )
    @FEW
    def test_rules_of_times_equal_an_oracle(
        self,
        judge_rows: Judge,
        write_source: Callable[[pa.Table], None],
        name: str,
        picks: list[datetime | None],
        bounds: tuple[datetime, datetime],
        age: float,
    ) -> None:
        """Draw days or moments, and hold bounds, keys and ages to Python's."""
        is_day = name == "day"
        rows: list[Any] = [m if m is None or not is_day else m.date() for m in picks]
        low, high = sorted(bounds)
        column = pa.array(rows, TIMES["day" if is_day else "at"]).cast(TIMES[name])
        newest = pa.array([datetime.now(UTC) - timedelta(hours=age)], pa.timestamp("us", "UTC"))
        table = pa.table({"t": column, "seen": pa.chunked_array([newest] * len(rows))})
        write_source(pa.table({"t": column}))
        moments = [
            m.replace(hour=0, minute=0, second=0, microsecond=0) if is_day else m
            for m in picks
            if m is not None
        ]
        outside = sum(not low <= m <= high for m in moments)
        repeated = sum(moments.count(m) > 1 for m in moments)
        checks = [
            RangeCheck("t", low, high),
            UniqueCheck(["t"]),
            KeyParityCheck(SOURCE, ["t"]),
            FreshnessCheck("seen", 29),
        ]
        results = judge_rows(table, *checks)
        assert [r.failed_count for r in results[:3]] == [outside, repeated, 0], (rows, bounds)
        assert results[3].passed is (-24 <= age <= 29)

    @given(
        totals=sums(),
        share=st.sampled_from([0.0, 0.5]),
        absolute=st.sampled_from([0, 1, 0.3]),
    )
    @FEW
    def test_sums_of_groups_agree_within_their_tolerances(
        self,
        judge_rows: Judge,
        write_source: Callable[[pa.Table], None],
        totals: tuple[str, list[tuple[str, Any]], dict[str, Any]],
        share: float,
        absolute: float,
    ) -> None:
        """Draw terms and totals; groups differ where exact sums do by more than is allowed."""
        name, source, target = totals
        kind = pa.decimal128(20, 2) if name == "p" else KINDS[name]
        groups, terms = zip(*source, strict=True)
        write_source(pa.table({"g": groups, "v": pa.array(terms, kind)}))
        table = pa.table({"g": list(target), "v": pa.array(target.values(), kind)})
        tolerances: Any = {"tolerance": share, "absolute_tolerance": absolute}
        spec = AggregateSpec("total", "SUM(v)", "v")
        checks = [
            AggregateConsistencyCheck(SOURCE, "v", "SUM(v)", group_by=["g"], **tolerances),
            MultiAggregateConsistencyCheck(SOURCE, [spec], group_by=["g"], **tolerances),
        ]
        sums_ = {g: sum_of([v for k, v in source if k == g]) for g in groups}
        differing = sum(
            group not in sums_
            or group not in target
            or not is_near(sums_[group], target[group], share, absolute)
            for group in {*sums_, *target}
        )
        for result in judge_rows(table, *checks):
            assert result.failed_count == differing, (source, target, result.message)
            assert result.passed is (differing == 0)

    @given(
        column=st.sampled_from(["n", "x", "f", "p", "s", "b"]),
        data=st.data(),
        change=st.sampled_from([0.0, 0.25, 0.5, 1 / 3, 1.0]),
    )
    @FEW
    def test_distributions_equal_an_oracle(
        self, judge_rows: Judge, column: str, data: st.DataObject, change: float
    ) -> None:
        """Draw the values of two days, and hold the change of their shares to exact shares."""
        from phlo.names import Partition

        values = {**VALUES, "s": TEXTS[:5], "b": [True, False]}[column]
        kind = {**KINDS, "s": pa.string(), "b": pa.bool_()}[column]
        cells = st.lists(st.none() | st.sampled_from(values), min_size=1, max_size=5)
        before, judged = data.draw(cells), data.draw(cells)
        days = [date(2025, 1, 14)] * len(before) + [date(2025, 1, 15)] * len(judged)
        array = pa.array([*before, *judged], kind)
        table = pa.table({"day": days, "c": array})
        check = DistributionCheck("c", change, percentiles=(0.1, 0.5, 1.0), partition_column="day")
        (result,) = judge_rows(
            table, check, partition=Partition.parse("2025-01-15"), partition_column="day"
        )
        held_values = array.to_pylist()
        sides = [held_values[: len(before)], held_values[len(before) :]]
        if column in KINDS:
            sides = [[v for v in side if has_value(v)] for side in sides]
        if not all(sides):
            assert result.status == "skipped"
            return
        cuts = cuts_of(sides[0], sides[1], check.percentiles)
        shares = [shares_of(side, cuts) for side in sides]
        moved = [abs(a - b) for a, b in zip(*shares, strict=True)]
        allowed = Fraction(str(change)) + Fraction(1, 10**12)
        assert result.passed is all(m <= allowed for m in moved), (before, judged, result.message)

    @given(rows=st.lists(st.none() | st.sampled_from(VALUES["x"]), min_size=1, max_size=5))
    @FEW
    def test_a_schema_judges_numbers_as_an_oracle_does(
        self, judge_rows: Judge, rows: list[float | None]
    ) -> None:
        """Draw a column, and hold the rules of a schema about it to exact numbers."""
        import pandera.pandas as pandera

        class Rows(pandera.DataFrameModel):
            x: float = pandera.Field(ge=0, le=3, unique=True, nullable=False)

        present: list[Any] = [v for v in rows if has_value(v)]
        is_right = (
            len(present) == len(rows)
            and all(0 <= v <= 3 for v in present)
            and len(set(present)) == len(present)
        )
        (result,) = judge_rows(pa.table({"x": pa.array(rows, pa.float64())}), SchemaCheck(Rows))
        assert result.passed is is_right, result.message
