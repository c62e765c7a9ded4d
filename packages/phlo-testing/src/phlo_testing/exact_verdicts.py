"""A conformance suite for verdicts on numbers: they equal a plain oracle on exact Python values.

A test module inherits it, and says how rows are judged, on which engines.
"""

from __future__ import annotations

import math
import struct
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phlo_quality import (
    AcceptedValuesCheck,
    AggregateConsistencyCheck,
    ChecksumReconciliationCheck,
    CustomSQLCheck,
    KeyParityCheck,
    NullCheck,
    RangeCheck,
    UniqueCheck,
)

if TYPE_CHECKING:
    from collections.abc import Callable

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
FEW = settings(
    max_examples=12,
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
    """A column's name, its rows, two bounds, and a share of rows that may fail."""
    name = draw(st.sampled_from(list(KINDS)))
    rows = draw(st.lists(st.none() | st.sampled_from(VALUES[name]), min_size=1, max_size=6))
    low, high = sorted(draw(st.tuples(*[st.sampled_from(BOUNDS)] * 2)), key=exact)
    return name, rows, low, high, draw(st.sampled_from(SHARES))


def exact(value: Any) -> Any:
    """The number that is meant: a float stands for the digits it is written with."""
    if isinstance(value, float) and not math.isfinite(value):
        return value
    return Fraction(repr(value)) if isinstance(value, float) else Fraction(value)


def held(name: str, value: Any) -> Any:
    """A number as a column of 32-bit or 64-bit floats holds it; others hold it as it is."""
    if name == "f" and abs(value) < 1e38:
        return exact(struct.unpack("f", struct.pack("f", float(value)))[0])
    if name in "xf" and abs(value) > 1e308:
        return math.copysign(math.inf, 1 if value > 0 else -1)
    return exact(float(value)) if name in "xf" else exact(value)


def has_value(value: Any) -> bool:
    """Whether it is neither null nor NaN."""
    return value is not None and not (isinstance(value, float) and math.isnan(value))


@st.composite
def pairs(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """A number on each side, of numeric types that may differ."""
    kinds = draw(st.tuples(*[st.sampled_from(["n", "x", "p"])] * 2))
    return [(kind, draw(st.none() | st.sampled_from(VALUES[kind]))) for kind in kinds]


def is_same(left: Any, right: Any) -> bool:
    """Null equals null and NaN equals NaN; numbers are equal with all their digits."""
    if not has_value(left) or not has_value(right):
        return (left is None) is (right is None) and has_value(left) is has_value(right)
    return exact(left) == exact(right)


class ExactVerdicts:
    """Inherit this; provide the fixtures ``judge_rows`` and ``write_source``.

    ``judge_rows(rows, *checks)`` makes the table of rows and gives the results of the checks over
    all of it; ``write_source(rows)`` makes :data:`SOURCE`.

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
        """A query that gives a number passes where it is expected, and nowhere else."""
        kind, number = value
        table = pa.table({"v": pa.array([number], KINDS[kind])})
        query = f"SELECT v FROM {self.table}"
        others = [v for v in [0, 0.5, 2**53, 2.0**53, math.nan] if not is_same(v, number)]
        checks = [CustomSQLCheck(query, v, f"value {n}") for n, v in enumerate([number, *others])]
        verdicts = [result.passed for result in judge_rows(table, *checks)]
        assert verdicts == [True] + [False] * len(others), number
